#include "minke/cli/packed_cache.h"

#include <algorithm>

#include "minke/cli/weight_placement.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

PackedState state_of(const std::vector<PackedSource>& sources) {
  PackedState state = PackedState::kCurrent;
  for (const auto& [path, stamp] : sources) {
    const auto now = file_stamp(path);
    if (!now) return PackedState::kGone;
    if (!(*now == stamp)) state = PackedState::kChanged;
  }
  return state;
}

PackedEntry entry_of(const fs::path& path) {
  PackedEntry entry;
  entry.path = path;
  std::error_code ignored;
  entry.bytes = fs::file_size(path, ignored);
  if (path.extension() == ".part") {
    entry.state =
        PackedFileWriter::is_in_work(path) ? PackedState::kInWork : PackedState::kUnfinished;
    return entry;
  }
  const auto file = PackedFile::open(path);
  if (!file) return entry;
  entry.state = state_of(file->label().sources);
  if (!file->label().sources.empty()) entry.source = file->label().sources.front().path;
  return entry;
}

}  // namespace

const char* packed_state_name(PackedState state) {
  switch (state) {
    case PackedState::kCurrent:
      return "current";
    case PackedState::kChanged:
      return "changed";
    case PackedState::kGone:
      return "gone";
    case PackedState::kDamaged:
      return "damaged";
    case PackedState::kUnfinished:
      return "unfinished";
    case PackedState::kInWork:
      return "in work";
  }
  return "?";
}

std::vector<PackedEntry> packed_entries() {
  std::vector<PackedEntry> entries;
  std::error_code error;
  for (const fs::directory_entry& file : fs::directory_iterator(packed_folder(), error)) {
    const std::string name = file.path().filename().string();
    const bool is_ours = name.ends_with(".panels") || name.ends_with(".panels.part");
    if (is_ours && file.is_regular_file(error)) entries.push_back(entry_of(file.path()));
  }
  std::sort(entries.begin(), entries.end(),
            [](const PackedEntry& a, const PackedEntry& b) { return a.path < b.path; });
  return entries;
}

}  // namespace minke
