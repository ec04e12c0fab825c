#pragma once
#include <filesystem>

#include "minke/base/result.h"

namespace minke {

/// The error that errno tells of `action` ("write") on a file: kWillNotFit when the disk is full,
/// kNotFound when it is not there, else kFailed.
tl::unexpected<Error> fail_errno(const char* action, const std::filesystem::path& path);

}  // namespace minke
