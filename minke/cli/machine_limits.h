#pragma once
#include <string>
#include <vector>

#include "minke/base/json.h"
#include "minke/base/thread_pool.h"
#include "minke/nn/precision.h"

namespace minke {

/// A peak of arithmetic with one kind of instructions.
struct PeakRate {
  std::string name;  ///< as PeakLoop::name
  Precision kind = Precision::kF32;
  double ops_per_second = 0;
};

/// What this machine can do at most with a number of threads; medians of several runs.
struct ThreadLimits {
  int threads = 1;
  double read_bytes_per_second = 0;  ///< from memory, in a buffer larger than the caches
  std::vector<PeakRate> peaks;       ///< the fastest kind first
  double barrier_seconds = 0;        ///< one start and end of a task on all threads

  /// The best peak of the kind; 0 where this CPU has none.
  double best(Precision kind) const;
};

/// How long and how often to measure.
struct LimitsOptions {
  int repeats = 5;
  /// Beyond the last-level cache of the machines minke is for; half of it is what a shared L3 of a
  /// server may still hold, so a run reads all of it once.
  size_t buffer_bytes = size_t{512} << 20;
  double seconds_per_run = 0.05;  ///< of the arithmetic
};

/// Memory read bandwidth at the pool's number of threads, in bytes per second.
double measure_read_bandwidth(ThreadPool& pool, const LimitsOptions& options = {});

/// The peak rates at the pool's number of threads.
std::vector<PeakRate> measure_peaks(ThreadPool& pool, const LimitsOptions& options = {});

/// All limits for one number of threads.
ThreadLimits measure_limits(int threads, const LimitsOptions& options = {});

/// The middle of some numbers (the mean of two), which must not be empty.
double median(std::vector<double> values);

}  // namespace minke
