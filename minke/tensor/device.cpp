#include "minke/tensor/device.h"

#include <cstdlib>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace minke {
#if defined(__x86_64__)
namespace {

// clang 16 cannot ask for it by name.
bool has_avx_vnni() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & 1u << 4) != 0;
}

}  // namespace
#endif

const char* cpu_level_name(CpuLevel level) {
  switch (level) {
    case CpuLevel::kRef:
      return "ref";
    case CpuLevel::kNeon:
      return "neon";
    case CpuLevel::kNeonDot:
      return "neon_dot";
    case CpuLevel::kNeonI8mm:
      return "neon_i8mm";
    case CpuLevel::kAvx2:
      return "avx2";
    case CpuLevel::kAvxVnni:
      return "avx_vnni";
    case CpuLevel::kAvx512Vnni:
      return "avx512_vnni";
    case CpuLevel::kAvx512Bf16:
      return "avx512_bf16";
  }
  return "?";
}

bool cpu_level_supported(CpuLevel level) {
  if (level == CpuLevel::kRef) return true;
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  // F16C is older than AVX2 and on every CPU that has it; clang 16 cannot ask for it.
  if (level == CpuLevel::kAvx2) return avx2;
  if (level == CpuLevel::kAvxVnni) return avx2 && has_avx_vnni();
  const bool vnni = avx2 && __builtin_cpu_supports("avx512f") &&
                    __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                    __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni");
  if (level == CpuLevel::kAvx512Vnni) return vnni;
  return level == CpuLevel::kAvx512Bf16 && vnni && __builtin_cpu_supports("avx512bf16");
#elif defined(__aarch64__)
  if (level == CpuLevel::kNeon) return true;  // part of every 64-bit Arm
  const bool dot = (::getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
  if (level == CpuLevel::kNeonDot) return dot;
  return level == CpuLevel::kNeonI8mm && dot && (::getauxval(AT_HWCAP2) & HWCAP2_I8MM) != 0;
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
  for (const CpuLevel level : kCpuLevels) {
    if (!name.empty() && name != cpu_level_name(level)) continue;
    if (cpu_level_supported(level)) {
      return std::make_unique<Device>(num_threads, config.pin_threads, level);
    }
    if (!name.empty()) {
      return fail(ErrorCode::kUsage, "kernels '{}' need instructions that this CPU does not have",
                  name);
    }
  }
  std::string usable;
  for (const CpuLevel level : kCpuLevels) {
    if (!cpu_level_supported(level)) continue;
    usable += fmt::format("{}{}", usable.empty() ? "" : " or ", cpu_level_name(level));
  }
  return fail(ErrorCode::kUsage, "no kernels named '{}': use {}", name, usable);
}

}  // namespace minke
