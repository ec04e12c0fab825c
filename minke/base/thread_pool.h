#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

namespace minke {

/// A reference to a callable, without ownership or allocation (it must outlive the call).
template <class Signature>
class FunctionRef;
template <class R, class... Args>
class FunctionRef<R(Args...)> {
 public:
  template <class F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, FunctionRef>)
  FunctionRef(F&& f)
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(f)))),
        call_([](void* object, Args... args) -> R {
          return (*static_cast<std::remove_reference_t<F>*>(object))(std::forward<Args>(args)...);
        }) {}
  R operator()(Args... args) const { return call_(object_, std::forward<Args>(args)...); }

 private:
  void* object_;
  R (*call_)(void*, Args...);
};

/// Threads that run one task at a time together with the caller.
///
/// Life of a task: 1. the caller stores it, opens `gate_` for it and raises `epoch_`; 2. each
/// worker, spinning for a bounded time and then asleep on the epoch, joins at the gate and runs
/// it; 3. the caller, when it finds no more work, closes the gate and waits for those who joined. A
/// worker that another process keeps from its CPU joins late or never, and is not waited for. A
/// spinning barrier costs 70-150 ns against 4-22 us for a sleeping one (a token has ~150 of them),
/// and the bound on spinning keeps an idle server at rest.
///
/// One thread may call run() at a time. The pool flushes denormals to zero in its workers and, with
/// flush_denormals(), in the caller, so that all threads compute alike.
class ThreadPool {
 public:
  /// `num_threads` >= 1 counts the caller. `pin` binds worker i to the i-th allowed CPU.
  explicit ThreadPool(int num_threads, bool pin = false);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const { return num_threads_; }

  /// Runs task(worker_index) on every thread, the caller being worker 0, and returns when all
  /// ended.
  void run(FunctionRef<void(int)> task);

  /// Splits [0, count) into chunks of `grain` items that threads take from a shared counter; calls
  /// body(begin, end, worker_index). Which thread takes a chunk is open, so a chunk's result must
  /// not depend on it (work is split by output, DESIGN 4.6).
  void parallel_for(int64_t count, int64_t grain, FunctionRef<void(int64_t, int64_t, int)> body);

 private:
  void worker_loop(int worker_index, int cpu);
  void open(FunctionRef<void(int)>& task);
  bool join(uint32_t epoch);
  void wait_for(int num_workers);

  const int num_threads_;
  std::vector<std::thread> workers_;
  const FunctionRef<void(int)>* task_ = nullptr;  // written by the caller before epoch_ rises
  alignas(64) std::atomic<uint32_t> epoch_{0};
  alignas(64) std::atomic<uint64_t> gate_{0};  // epoch << 32 | kClosed | how many joined
  alignas(64) std::atomic<int> num_finished_{0};
  std::atomic<bool> stopping_{false};
};

/// Sets the calling thread to flush denormals to zero (results and inputs).
void flush_denormals();

/// The number of CPUs this process may use (its affinity mask), >= 1.
int available_cpus();

}  // namespace minke
