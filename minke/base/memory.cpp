#include "minke/base/memory.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <sstream>
#include <vector>

#include "minke/base/files.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

// Files of a version of cgroups: limits, what is used, and the names in memory.stat of the bytes of
// cached files (of all groups below, too) and of those among them that cannot be given up.
struct CgroupVersion {
  const char* limits[2];
  const char* usage;
  const char* cached;
  const char* kept;
};
constexpr CgroupVersion kVersion2 = {
    {"memory.max", "memory.high"}, "memory.current", "file", "shmem"};
constexpr CgroupVersion kVersion1 = {
    {"memory.limit_in_bytes", nullptr}, "memory.usage_in_bytes", "total_cache", "total_shmem"};

// Version 1 says "no limit" with a number close to 2^63.
constexpr uint64_t kNoLimit = uint64_t{1} << 60;

std::optional<uint64_t> number_in(const fs::path& path) {
  const Result<std::string> text = read_file(path, 4096);
  uint64_t number = 0;
  if (!text) return std::nullopt;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), number);
  if (error != std::errc()) return std::nullopt;  // "max"
  return number;
}

uint64_t stat_of(const fs::path& folder, const std::string& field) {
  std::istringstream lines(read_file(folder / "memory.stat").value_or(""));
  std::string name;
  uint64_t value = 0;
  while (lines >> name >> value) {
    if (name == field) return value;
  }
  return 0;
}

void apply_limits(const fs::path& folder, const CgroupVersion& version, AvailableMemory& memory) {
  for (const char* name : version.limits) {
    if (name == nullptr) continue;
    const std::optional<uint64_t> limit = number_in(folder / name);
    if (!limit || *limit >= kNoLimit) continue;
    const uint64_t used = number_in(folder / version.usage).value_or(0);
    const uint64_t cached = stat_of(folder, version.cached), kept = stat_of(folder, version.kept);
    const uint64_t firm = used - std::min(used, cached - std::min(cached, kept));
    const uint64_t left = std::max<uint64_t>(*limit - std::min(*limit, firm), 1);
    if (memory.bytes == 0 || left < memory.bytes) {
      memory = {left, fmt::format("the cgroup's {}", name)};
    }
  }
}

// Where the memory controller is mounted, and which of its groups that mount shows as its root.
struct Mount {
  bool version2 = false;
  std::string root;
  fs::path point;
};

// Lines "36 35 98:0 ROOT POINT OPTIONS - TYPE SOURCE SUPER_OPTIONS" of proc(5).
std::vector<Mount> memory_mounts(const fs::path& proc) {
  std::vector<Mount> mounts;
  std::istringstream text(read_file(proc / "self/mountinfo").value_or(""));
  std::string line;
  while (std::getline(text, line)) {
    const size_t dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    std::istringstream left(line.substr(0, dash)), right(line.substr(dash + 3));
    std::string skipped, root, point, type, source, options;
    left >> skipped >> skipped >> skipped >> root >> point;
    right >> type >> source >> options;
    const bool has_memory = fmt::format(",{},", options).find(",memory,") != std::string::npos;
    if (type == "cgroup2" || (type == "cgroup" && has_memory)) {
      mounts.push_back({type == "cgroup2", root, point});
    }
  }
  return mounts;
}

// This process's group in a hierarchy: lines "ID:CONTROLLERS:PATH", "0::PATH" for version 2.
std::string group_of(const fs::path& proc, bool version2) {
  std::istringstream text(read_file(proc / "self/cgroup").value_or(""));
  std::string line;
  while (std::getline(text, line)) {
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = fmt::format(",{},", line.substr(first + 1, second - first - 1));
    if (version2 ? controllers == ",," : controllers.find(",memory,") != std::string::npos) {
      return line.substr(second + 1);
    }
  }
  return "/";
}

}  // namespace

AvailableMemory available_memory(const fs::path& proc) {
  AvailableMemory memory{meminfo_bytes("MemAvailable", proc), "this machine"};
  for (const Mount& mount : memory_mounts(proc)) {
    std::string group = group_of(proc, mount.version2);
    // In a container the mount may show a group as its root that the process knows by its path from
    // outside.
    if (mount.root != "/" && group.starts_with(mount.root)) group.erase(0, mount.root.size());
    fs::path below = fs::path(group).relative_path();
    while (true) {
      apply_limits(mount.point / below, mount.version2 ? kVersion2 : kVersion1, memory);
      if (below.empty()) break;
      below = below.parent_path();
    }
  }
  return memory;
}

uint64_t meminfo_bytes(const std::string& field, const fs::path& proc) {
  std::istringstream lines(read_file(proc / "meminfo").value_or(""));
  std::string name;
  uint64_t kilobytes = 0;
  std::string rest;
  while (lines >> name >> kilobytes && std::getline(lines, rest)) {
    if (name == field + ":") return kilobytes * 1024;
  }
  return 0;
}

}  // namespace minke
