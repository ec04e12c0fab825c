#include "minke/base/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <utility>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "minke/base/check.h"

namespace minke {
namespace {

// How a thread waits: it spins through the gaps inside a token (a few microseconds), then lets
// others run where more threads than CPUs want to, and sleeps in a person's pause.
constexpr int kSpins = 1000;  // x 5-25 ns a pause = 5-25 us
constexpr int kYields = 300;  // x 0.3 us when nobody else wants the CPU = 0.1 ms

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
  if (turn < kSpins + kYields) {
    sched_yield();
    return true;
  }
  return false;
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
    (*task_)(worker_index);
    if (num_running_.fetch_sub(1, std::memory_order_acq_rel) == 1) num_running_.notify_one();
  }
}

void ThreadPool::run(FunctionRef<void(int)> task) {
  if (num_threads_ == 1) {
    task(0);
    return;
  }
  task_ = &task;
  num_running_.store(num_threads_ - 1, std::memory_order_relaxed);
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();
  task(0);
  int running = num_running_.load(std::memory_order_acquire);
  for (int turn = 0; running != 0; ++turn) {
    if (!wait_turn(turn)) num_running_.wait(running);
    running = num_running_.load(std::memory_order_acquire);
  }
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
  run([&](int worker_index) {
    while (true) {
      const int64_t begin = next.fetch_add(grain, std::memory_order_relaxed);
      if (begin >= count) return;
      body(begin, std::min(begin + grain, count), worker_index);
    }
  });
}

}  // namespace minke
