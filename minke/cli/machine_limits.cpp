#include "minke/cli/machine_limits.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "minke/base/check.h"
#include "minke/base/clock.h"
#include "minke/cli/peak_loops.h"
#include "minke/tensor/arena.h"

namespace minke {
namespace {

// Memory straight from the system, with huge pages where it has them.
struct Buffer {
  explicit Buffer(size_t size) : bytes(size), data(static_cast<std::byte*>(allocate_pages(size))) {}
  ~Buffer() { free_pages(data, bytes); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  size_t bytes;
  std::byte* data;
};

double seconds_of(FunctionRef<void()> work) {
  const double start = seconds_now();
  work();
  return seconds_now() - start;
}

double measure_barrier(ThreadPool& pool, int repeats) {
  constexpr int kTasks = 2000;
  std::vector<double> seconds;
  for (int repeat = 0; repeat < repeats; ++repeat) {
    seconds.push_back(seconds_of([&] {
                        for (int i = 0; i < kTasks; ++i) pool.run([](int) {});
                      }) /
                      kTasks);
  }
  return median(std::move(seconds));
}

// Doubles the turns until a run is long enough for the clock and for the threads to start together.
int64_t turns_for(ThreadPool& pool, const PeakLoop& loop, double seconds_wanted) {
  int64_t turns = 1 << 12;
  while (turns < (int64_t{1} << 40)) {
    const double seconds = seconds_of([&] { pool.run([&](int) { loop.run(turns); }); });
    if (seconds >= seconds_wanted / 2) {
      return std::max<int64_t>(1,
                               std::llround(static_cast<double>(turns) * seconds_wanted / seconds));
    }
    turns *= 2;
  }
  return turns;
}

}  // namespace

double median(std::vector<double> values) {
  MK_CHECK(!values.empty(), "median of nothing");
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

double ThreadLimits::best(Precision kind) const {
  double best = 0;
  for (const PeakRate& peak : peaks) {
    if (peak.kind == kind) best = std::max(best, peak.ops_per_second);
  }
  return best;
}

double measure_read_bandwidth(ThreadPool& pool, const LimitsOptions& options) {
  const size_t threads = static_cast<size_t>(pool.num_threads());
  const size_t share = options.buffer_bytes / threads / 4096 * 4096;
  MK_CHECK(share > 0, "read bandwidth: {} bytes for {} threads", options.buffer_bytes, threads);
  const Buffer buffer(share * threads);
  // Each thread touches its own share first, so that on a NUMA machine it lies near.
  pool.run([&](int worker) {
    std::memset(buffer.data + share * static_cast<size_t>(worker), worker + 1, share);
  });
  std::vector<double> rates;
  std::vector<uint64_t> sums(threads * 8);  // one a cache line
  for (int repeat = 0; repeat < options.repeats; ++repeat) {
    const double seconds = seconds_of([&] {
      pool.run([&](int worker) {
        const size_t index = static_cast<size_t>(worker);
        sums[index * 8] ^= read_all(buffer.data + share * index, share);
      });
    });
    rates.push_back(static_cast<double>(buffer.bytes) / seconds);
  }
  asm volatile("" : : "r"(sums.data()) : "memory");
  return median(std::move(rates));
}

std::vector<PeakRate> measure_peaks(ThreadPool& pool, const LimitsOptions& options) {
  std::vector<PeakRate> peaks;
  for (const PeakLoop& loop : peak_loops()) {
    const int64_t turns = turns_for(pool, loop, options.seconds_per_run);
    std::vector<double> rates;
    for (int repeat = 0; repeat < options.repeats; ++repeat) {
      const double seconds = seconds_of([&] { pool.run([&](int) { loop.run(turns); }); });
      rates.push_back(loop.ops_per_turn * static_cast<double>(turns) * pool.num_threads() /
                      seconds);
    }
    peaks.push_back({std::string(loop.name), loop.kind, median(std::move(rates))});
  }
  return peaks;
}

ThreadLimits measure_limits(int threads, const LimitsOptions& options) {
  ThreadPool pool(threads);
  ThreadLimits limits;
  limits.threads = threads;
  limits.read_bytes_per_second = measure_read_bandwidth(pool, options);
  limits.peaks = measure_peaks(pool, options);
  limits.barrier_seconds = measure_barrier(pool, options.repeats);
  return limits;
}

}  // namespace minke
