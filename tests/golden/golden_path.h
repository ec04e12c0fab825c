#pragma once
#include <cstdlib>
#include <filesystem>
#include <string_view>

namespace minke {

/// Where `name` of tests/golden lies; ctest and ./check set MINKE_SOURCE_DIR, without it the tests
/// run in the source folder.
inline std::filesystem::path golden_path(std::string_view name = "") {
  const char* source = std::getenv("MINKE_SOURCE_DIR");
  return std::filesystem::path(source == nullptr ? "." : source) / "tests/golden" / name;
}

}  // namespace minke
