#pragma once
#include <filesystem>

#include "minke/base/result.h"

namespace minke {

/// Whether a model may be written to the file `destination`: kUsage where it exists without
/// `overwrite`, or is a folder, a mount point, no GGUF file, the source or a part of it. A device
/// or a pipe may be written to.
Result<void> check_file_destination(const std::filesystem::path& source,
                                    const std::filesystem::path& destination, bool overwrite);
/// The same of a folder, which is replaced as a whole: kUsage where it is no folder, is a mount
/// point, holds the source, or has anything that a model's folder does not.
Result<void> check_folder_destination(const std::filesystem::path& source,
                                      const std::filesystem::path& destination, bool overwrite);

}  // namespace minke
