#pragma once
#include <memory>
#include <string>

#include "minke/base/result.h"
#include "minke/base/thread_pool.h"
#include "minke/tensor/arena.h"

namespace minke {

/// The instruction sets that the CPU kernels are written for, the least first. A level includes the
/// ones before it in use, not in ISA terms: see cpu_level_supported().
enum class CpuLevel { kRef, kNeon, kNeonDot, kNeonI8mm, kAvx2, kAvxVnni, kAvx512Vnni, kAvx512Bf16 };

/// All of them, the best first; a CPU runs those of its own kind, and kRef.
inline constexpr CpuLevel kCpuLevels[] = {
    CpuLevel::kAvx512Bf16, CpuLevel::kAvx512Vnni, CpuLevel::kAvxVnni, CpuLevel::kAvx2,
    CpuLevel::kNeonI8mm,   CpuLevel::kNeonDot,    CpuLevel::kNeon,    CpuLevel::kRef};

/// "ref", "neon", "neon_dot", "neon_i8mm", "avx2", "avx_vnni", "avx512_vnni", "avx512_bf16".
const char* cpu_level_name(CpuLevel level);
/// True when this CPU (and its operating system) can run the level's instructions.
bool cpu_level_supported(CpuLevel level);

/// What to compute with.
struct DeviceConfig {
  int num_threads = 0;  ///< 0: all CPUs this process may use
  bool pin_threads = false;
  /// The kernels to use: a name as in cpu_level_name(), or empty for MINKE_KERNELS from the
  /// environment, or else the best one supported.
  std::string kernels;
};

/// What computes: memory, threads and the kernels chosen. Passed, never global. One thread may
/// compute on a Device at a time.
class Device {
 public:
  /// kUsage when the named kernels do not exist or do not run on this CPU.
  static Result<std::unique_ptr<Device>> create(const DeviceConfig& config = {});

  Device(int num_threads, bool pin_threads, CpuLevel level);
  CpuLevel level() const { return level_; }
  /// Whether it has kernels for Precision::kBf16.
  bool has_bf16() const { return level_ == CpuLevel::kAvx512Bf16; }
  ThreadPool& pool() const { return *pool_; }
  Arena& arena() const { return *arena_; }

 private:
  CpuLevel level_;
  std::unique_ptr<ThreadPool> pool_;
  std::unique_ptr<Arena> arena_;
};

}  // namespace minke
