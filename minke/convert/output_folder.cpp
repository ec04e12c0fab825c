#include "minke/convert/output_folder.h"

#include <sys/stat.h>

#include <string>
#include <system_error>
#include <utility>

#include "minke/base/atomic_file.h"

namespace minke {

namespace fs = std::filesystem;

Result<OutputFolder> OutputFolder::create(const fs::path& path) {
  // "out/" is the folder out, whose name the temporary one begins with.
  const fs::path target = path.has_filename() ? path : path.parent_path();
  std::error_code ignored;
  if (target.has_parent_path()) fs::create_directories(target.parent_path(), ignored);
  MK_ASSIGN(const std::string temporary,
            make_beside(target, [](const char* name) { return ::mkdir(name, 0777) == 0; }));
  return OutputFolder(target, temporary);
}

OutputFolder::OutputFolder(OutputFolder&& other) noexcept
    : target_(std::move(other.target_)), temporary_(std::exchange(other.temporary_, {})) {}

OutputFolder::~OutputFolder() {
  std::error_code ignored;
  if (!temporary_.empty()) fs::remove_all(temporary_, ignored);
}

Result<void> OutputFolder::commit() {
  std::error_code error;
  if (fs::exists(target_, error)) {
    // Aside first: a folder that is not empty cannot be replaced in one step.
    const fs::path old = temporary_.string() + ".old";
    fs::rename(target_, old, error);
    if (!error) fs::rename(temporary_, target_, error);
    if (error) {
      std::error_code ignored;
      if (!fs::exists(target_, ignored)) fs::rename(old, target_, ignored);
    } else {
      std::error_code ignored;
      fs::remove_all(old, ignored);
    }
  } else {
    fs::rename(temporary_, target_, error);
  }
  if (error) {
    return fail(ErrorCode::kFailed, "cannot write {}: {}", target_.string(), error.message());
  }
  temporary_.clear();
  return {};
}

}  // namespace minke
