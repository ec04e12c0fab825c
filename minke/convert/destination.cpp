#include "minke/convert/destination.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <string>
#include <system_error>

#include "minke/base/files.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

tl::unexpected<Error> refuse(const fs::path& destination, std::string_view why) {
  return fail(ErrorCode::kUsage, "{} {}", destination.string(), why);
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// "name" of "name-00001-of-00002.gguf", else the whole name: parts of one model have the same.
std::string stem_of_parts(const fs::path& path) {
  constexpr std::string_view kPattern = "-#####-of-#####.gguf";
  const std::string name = path.filename().string();
  if (name.size() <= kPattern.size()) return name;
  const std::string end = name.substr(name.size() - kPattern.size());
  for (size_t i = 0; i < end.size(); ++i) {
    if (kPattern[i] == '#' ? !is_digit(end[i]) : end[i] != kPattern[i]) return name;
  }
  return name.substr(0, name.size() - kPattern.size());
}

// Whether the file is the source, or another part of it.
bool is_part_of(const fs::path& source, const fs::path& file) {
  std::error_code error;
  if (fs::equivalent(source, file, error)) return true;
  const fs::path a = fs::weakly_canonical(source, error), b = fs::weakly_canonical(file, error);
  return a.parent_path() == b.parent_path() && stem_of_parts(a) == stem_of_parts(b);
}

// Whether the source is the folder or lies in it.
bool holds(const fs::path& folder, const fs::path& source) {
  std::error_code error;
  for (fs::path at = fs::weakly_canonical(source, error); !at.empty(); at = at.parent_path()) {
    if (fs::equivalent(folder, at, error)) return true;
    if (at == at.parent_path()) break;
  }
  return false;
}

// Nothing can be renamed over one, which would only be found once all is written.
bool is_mount_point(const fs::path& path) {
  struct statx found {};
  return ::statx(AT_FDCWD, path.c_str(), 0, 0, &found) == 0 &&
         (found.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

bool is_gguf_or_empty(const fs::path& path) {
  constexpr std::string_view kMagic = "GGUF";
  const auto file = MappedFile::open(path);
  if (!file) return false;
  const auto bytes = file->bytes();
  return bytes.empty() ||
         (bytes.size() >= kMagic.size() &&
          std::string_view(reinterpret_cast<const char*>(bytes.data()), kMagic.size()) == kMagic);
}

// Nothing but files, a model's among them; or nothing at all.
bool is_model_folder(const fs::path& folder) {
  std::error_code error;
  if (fs::is_empty(folder, error)) return true;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    std::error_code ignored;
    if (!at->is_regular_file(ignored)) return false;
  }
  return !error && fs::exists(folder / "config.json", error) &&
         (fs::exists(folder / "model.safetensors", error) ||
          fs::exists(folder / "model.safetensors.index.json", error));
}

}  // namespace

Result<void> check_file_destination(const fs::path& source, const fs::path& destination,
                                    bool overwrite) {
  std::error_code error;
  if (fs::is_directory(destination, error)) {
    return refuse(destination, fmt::format("is a folder; the result is a file, such as {}",
                                           (destination / "model.gguf").string()));
  }
  if (!fs::exists(destination, error) || fs::is_other(fs::status(destination, error))) return {};
  if (is_mount_point(destination))
    return refuse(destination, "is a mount point, which cannot be replaced");
  if (is_part_of(source, destination)) {
    return refuse(destination, "is both source and destination");
  }
  if (!overwrite) return refuse(destination, "exists; overwrite it with --force");
  if (is_gguf_or_empty(destination)) return {};
  return refuse(destination, "is no GGUF file; it is not overwritten");
}

Result<void> check_folder_destination(const fs::path& source, const fs::path& destination,
                                      bool overwrite) {
  std::error_code error;
  if (!fs::exists(destination, error)) return {};
  if (!fs::is_directory(destination, error)) {
    return refuse(destination, "is no folder; a file's name ends in .gguf");
  }
  if (is_mount_point(destination)) {
    return refuse(destination, fmt::format("is a mount point, which cannot be replaced; a folder "
                                           "in it can be written, such as {}",
                                           (destination / "model").string()));
  }
  if (holds(destination, source)) return refuse(destination, "is or holds the source");
  if (!overwrite) return refuse(destination, "exists; overwrite it with --force");
  if (is_model_folder(destination)) return {};
  return refuse(destination,
                "has something that is no model's, such as a folder, or no model; it is not "
                "overwritten");
}

}  // namespace minke
