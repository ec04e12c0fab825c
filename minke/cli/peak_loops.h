#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "minke/nn/precision.h"

namespace minke {

/// A loop that does nothing but one kind of arithmetic, as fast as the units take it: twelve
/// independent accumulators (16 on Arm) cover the latency times the units, so that throughput is
/// what limits. Operations count a multiplication and an addition as two.
struct PeakLoop {
  std::string_view name;             ///< "avx512_vnni", ...
  Precision kind = Precision::kF32;  ///< f32 multiply-adds, products of bf16 into f32 sums, or of
                                     ///< int8 into int32 sums
  double ops_per_turn = 0;
  void (*run)(int64_t turns) = nullptr;
};

/// The loops that this CPU can run, the fastest kind first; never without f32 and int8.
std::span<const PeakLoop> peak_loops();

/// Reads `bytes` (a multiple of 256) at `data` (64-byte aligned) once and gives their exclusive or,
/// with the widest loads that the CPU has and four accumulators.
uint64_t read_all(const std::byte* data, size_t bytes);

}  // namespace minke
