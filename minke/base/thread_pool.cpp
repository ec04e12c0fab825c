#include "minke/base/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <utility>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "minke/base/check.h"
#include "minke/base/clock.h"

namespace minke {
namespace {

// How a thread waits: it spins through the gaps inside a token (a few microseconds), then lets
// others run where more threads than CPUs want to, and sleeps in a person's pause.
constexpr int kSpins = 1000;  // x 5-25 ns a pause = 5-25 us
constexpr int kYields = 300;  // x 0.3 us when nobody else wants the CPU = 0.1 ms
// A yield that took longer let somebody else run. Who yields again waits for whole time slices of
// theirs; who sleeps is woken at once when there is something to do.
constexpr double kYieldSecondsMax = 20e-6;

constexpr uint64_t kClosed = uint64_t{1} << 31;

void pause_cpu() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// One turn of waiting; false: it is time to sleep.
bool wait_turn(int turn) {
  if (turn < kSpins) {
    pause_cpu();
    return true;
  }
  if (turn >= kSpins + kYields) return false;
  const double before = seconds_now();
  sched_yield();
  return seconds_now() - before < kYieldSecondsMax;
}

std::vector<int> allowed_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cpus;
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
    }
  }
  if (cpus.empty()) cpus.push_back(0);
  return cpus;
}

void pin_to(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  sched_setaffinity(0, sizeof set, &set);
}

}  // namespace

void flush_denormals() {
#if defined(__x86_64__)
  _mm_setcsr(_mm_getcsr() | 0x8040);  // FTZ | DAZ
#elif defined(__aarch64__)
  uint64_t fpcr;
  asm volatile("mrs %0, fpcr" : "=r"(fpcr));
  asm volatile("msr fpcr, %0" ::"r"(fpcr | (uint64_t{1} << 24)));
#endif
}

int available_cpus() { return static_cast<int>(allowed_cpus().size()); }

ThreadPool::ThreadPool(int num_threads, bool pin) : num_threads_(num_threads) {
  MK_CHECK(num_threads >= 1 && num_threads <= 1024, "thread pool: {} threads", num_threads);
  const std::vector<int> cpus = allowed_cpus();
  for (int i = 1; i < num_threads; ++i) {
    const int cpu = pin ? cpus[i % cpus.size()] : -1;
    workers_.emplace_back([this, i, cpu] { worker_loop(i, cpu); });
  }
  if (pin) pin_to(cpus[0]);
}

ThreadPool::~ThreadPool() {
  stopping_.store(true);
  epoch_.fetch_add(1);
  epoch_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::worker_loop(int worker_index, int cpu) {
  if (cpu >= 0) pin_to(cpu);
  flush_denormals();
  uint32_t seen = 0;
  while (true) {
    uint32_t epoch = epoch_.load(std::memory_order_acquire);
    for (int turn = 0; epoch == seen; ++turn) {
      if (!wait_turn(turn)) epoch_.wait(seen);
      epoch = epoch_.load(std::memory_order_acquire);
    }
    seen = epoch;
    if (stopping_.load()) return;
    if (!join(epoch)) continue;
    (*task_)(worker_index);
    num_finished_.fetch_add(1, std::memory_order_acq_rel);
    num_finished_.notify_one();
  }
}

void ThreadPool::open(FunctionRef<void(int)>& task) {
  const uint32_t epoch = epoch_.load(std::memory_order_relaxed) + 1;
  task_ = &task;
  num_finished_.store(0, std::memory_order_relaxed);
  gate_.store(uint64_t{epoch} << 32, std::memory_order_release);
  epoch_.store(epoch, std::memory_order_release);
  epoch_.notify_all();
}

// Whether the task of `epoch` still takes workers; if so, the caller now waits for this one.
bool ThreadPool::join(uint32_t epoch) {
  uint64_t gate = gate_.load(std::memory_order_acquire);
  while (gate >> 32 == epoch && (gate & kClosed) == 0) {
    if (gate_.compare_exchange_weak(gate, gate + 1, std::memory_order_acq_rel)) return true;
  }
  return false;
}

void ThreadPool::wait_for(int num_workers) {
  int finished = num_finished_.load(std::memory_order_acquire);
  for (int turn = 0; finished != num_workers; ++turn) {
    if (!wait_turn(turn)) num_finished_.wait(finished);
    finished = num_finished_.load(std::memory_order_acquire);
  }
}

void ThreadPool::run(FunctionRef<void(int)> task) {
  if (num_threads_ > 1) open(task);
  task(0);
  if (num_threads_ > 1) wait_for(num_threads_ - 1);
}

void ThreadPool::parallel_for(int64_t count, int64_t grain,
                              FunctionRef<void(int64_t, int64_t, int)> body) {
  if (count <= 0) return;
  if (num_threads_ == 1 || count <= grain) {
    for (int64_t begin = 0; begin < count; begin += grain) {
      body(begin, std::min(begin + grain, count), 0);
    }
    return;
  }
  std::atomic<int64_t> next{0};
  const auto take_chunks = [&](int worker_index) {
    while (true) {
      const int64_t begin = next.fetch_add(grain, std::memory_order_relaxed);
      if (begin >= count) return;
      body(begin, std::min(begin + grain, count), worker_index);
    }
  };
  FunctionRef<void(int)> task(take_chunks);
  open(task);
  take_chunks(0);
  const uint64_t gate = gate_.fetch_or(kClosed, std::memory_order_acq_rel);
  wait_for(static_cast<int>(gate & (kClosed - 1)));
}

}  // namespace minke
