#pragma once
#include <filesystem>
#include <string>

#include "minke/base/result.h"

namespace minke {

/// The SHA-256 of a file as 64 lower-case hex digits.
Result<std::string> sha256_file(const std::filesystem::path& path);

}  // namespace minke
