#include "minke/tensor/device.h"

#include <cstdlib>

namespace minke {
namespace {

constexpr CpuLevel kLevels[] = {CpuLevel::kAvx512Vnni, CpuLevel::kAvx2, CpuLevel::kRef};

}  // namespace

const char* cpu_level_name(CpuLevel level) {
  switch (level) {
    case CpuLevel::kRef:
      return "ref";
    case CpuLevel::kAvx2:
      return "avx2";
    case CpuLevel::kAvx512Vnni:
      return "avx512_vnni";
  }
  return "?";
}

bool cpu_level_supported(CpuLevel level) {
  if (level == CpuLevel::kRef) return true;
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  // F16C is older than AVX2 and on every CPU that has it; clang 16 cannot ask for it.
  if (level == CpuLevel::kAvx2) return avx2;
  return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vnni");
#else
  return false;
#endif
}

Device::Device(int num_threads, bool pin_threads, CpuLevel level)
    : level_(level),
      pool_(std::make_unique<ThreadPool>(num_threads, pin_threads)),
      arena_(std::make_unique<Arena>()) {}

Result<std::unique_ptr<Device>> Device::create(const DeviceConfig& config) {
  const char* forced = std::getenv("MINKE_KERNELS");
  std::string name = config.kernels;
  if (name.empty() && forced != nullptr) name = forced;
  if (config.num_threads < 0 || config.num_threads > 1024) {
    return fail(ErrorCode::kUsage, "threads must be 0 (all) to 1024, not {}", config.num_threads);
  }
  const int num_threads = config.num_threads > 0 ? config.num_threads : available_cpus();
  for (const CpuLevel level : kLevels) {
    if (!name.empty() && name != cpu_level_name(level)) continue;
    if (cpu_level_supported(level)) {
      return std::make_unique<Device>(num_threads, config.pin_threads, level);
    }
    if (!name.empty()) {
      return fail(ErrorCode::kUsage, "kernels '{}' need instructions that this CPU does not have",
                  name);
    }
  }
  return fail(ErrorCode::kUsage, "no kernels named '{}': use ref, avx2 or avx512_vnni", name);
}

}  // namespace minke
