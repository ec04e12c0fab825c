#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace minke {

/// What is known of a packed file from its source.
enum class PackedState {
  kCurrent,     ///< made from files that are still as they were
  kChanged,     ///< made from files that have changed since, so that it will not be used
  kGone,        ///< made from files of which some are no longer there
  kDamaged,     ///< cannot be read
  kUnfinished,  ///< left behind by a process that was killed
  kInWork,      ///< being written now
};

/// "current", "changed", "gone", "damaged", "unfinished", "in work".
const char* packed_state_name(PackedState state);

/// A file in packed_folder().
struct PackedEntry {
  std::filesystem::path path;
  uint64_t bytes = 0;
  PackedState state = PackedState::kDamaged;
  std::string source;  ///< the first of the files that it was made from; empty: unknown

  /// Whether nothing will ever read it again.
  bool is_useless() const {
    return state != PackedState::kCurrent && state != PackedState::kInWork;
  }
};

/// All packed files and what is left of unfinished ones, by name.
std::vector<PackedEntry> packed_entries();

}  // namespace minke
