#pragma once
#include <cstdint>
#include <filesystem>
#include <string>

namespace minke {

/// How much memory this process could still take.
struct AvailableMemory {
  uint64_t bytes = 0;  ///< 0: unknown
  /// What sets the bound: "this machine", or "the cgroup's memory.max" and the like.
  std::string bound_by;
};

/// The least of the machine's MemAvailable and, for this process's cgroup and each one around it,
/// what its limit leaves: memory.max and memory.high of version 2, memory.limit_in_bytes of version
/// 1, less what is used, cached file pages not counted, which the system gives up when asked.
/// `proc` is where /proc lies, for tests.
AvailableMemory available_memory(const std::filesystem::path& proc = "/proc");

/// A field of /proc/meminfo ("MemTotal") in bytes; 0 where there is none.
uint64_t meminfo_bytes(const std::string& field, const std::filesystem::path& proc = "/proc");

}  // namespace minke
