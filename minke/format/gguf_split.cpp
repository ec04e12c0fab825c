// A model split over several GGUF files, as llama.cpp's gguf-split writes them:
//
//   NAME-00001-of-00003.gguf   split.no 0, split.count 3, split.tensors.count of all; all metadata
//   NAME-00002-of-00003.gguf   split.no 1, ...; some of the tensors
//   NAME-00003-of-00003.gguf   split.no 2, ...
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "minke/format/gguf.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kPartsMax = 99999;  // the names have five digits

struct SplitInfo {
  uint64_t no = 0;
  uint64_t count = 1;
  uint64_t num_tensors = 0;  ///< of all parts
};

/// The split's keys; count 1 when the file is whole.
Result<SplitInfo> split_info(const GgufFile& file, const std::string& name) {
  const auto read = [&](std::string_view key, uint64_t missing) -> Result<uint64_t> {
    auto value = file.get_uint_or(key, missing);
    if (value) return value;
    return fail(value.error().code, "{}: {}", name, value.error().message);
  };
  SplitInfo info;
  MK_ASSIGN(info.count, read("split.count", 1));
  if (info.count <= 1) return SplitInfo{};
  MK_ASSIGN(info.no, read("split.no", info.count));
  MK_ASSIGN(info.num_tensors, read("split.tensors.count", 0));
  if (info.count > kPartsMax || info.no >= info.count) {
    return fail(ErrorCode::kCorrupt,
                "{}: split.no is {} and split.count {}, expected no < count <= {}", name, info.no,
                info.count, kPartsMax);
  }
  return info;
}

std::string part_suffix(uint64_t no, uint64_t count) {
  return fmt::format("-{:05}-of-{:05}.gguf", no + 1, count);
}

/// Part `no` must say the same of the whole as the part that was opened.
Result<void> check_part(const GgufFile& part, const std::string& name, uint64_t no,
                        const SplitInfo& whole) {
  MK_ASSIGN(const SplitInfo info, split_info(part, name));
  if (info.count != whole.count || info.num_tensors != whole.num_tensors) {
    return fail(ErrorCode::kCorrupt,
                "{}: split.count is {} and split.tensors.count {}, the other parts have {} and {}: "
                "they are not of one model",
                name, info.count, info.num_tensors, whole.count, whole.num_tensors);
  }
  if (info.no != no) {
    return fail(ErrorCode::kCorrupt, "{}: split.no is {} when its name says {}", name, info.no, no);
  }
  return {};
}

}  // namespace

Result<GgufFile> GgufFile::open(const fs::path& path) {
  const std::string name = path.filename().string();
  MK_ASSIGN(GgufFile opened, open_part(path));
  MK_ASSIGN(const SplitInfo info, split_info(opened, name));
  if (info.count == 1) return opened;
  const std::string suffix = part_suffix(info.no, info.count);
  if (!name.ends_with(suffix)) {
    return fail(ErrorCode::kFailed,
                "{} is part {} of {} of a model, but the others cannot be found because its name "
                "does not end in {}; give the parts their names back",
                name, info.no + 1, info.count, suffix);
  }
  const std::string stem = name.substr(0, name.size() - suffix.size());
  std::optional<GgufFile> whole;
  for (uint64_t no = 0; no < info.count; ++no) {
    const std::string part_name = stem + part_suffix(no, info.count);
    auto part = no == info.no ? Result<GgufFile>(std::move(opened))
                              : open_part(path.parent_path() / part_name);
    if (!part && part.error().code == ErrorCode::kNotFound) {
      return fail(ErrorCode::kNotFound, "{} is missing: part {} of the {} of {}", part_name, no + 1,
                  info.count, stem);
    }
    if (!part) return tl::unexpected(part.error());
    MK_TRY(check_part(*part, part_name, no, info));
    if (!whole) {
      whole = std::move(*part);
    } else {
      whole->append(std::move(*part));
    }
  }
  if (whole->weights_.size() != info.num_tensors) {
    return fail(ErrorCode::kCorrupt, "{}: its {} parts have {} tensors, split.tensors.count is {}",
                stem, info.count, whole->weights_.size(), info.num_tensors);
  }
  MK_TRY(whole->index_weights(stem));
  return std::move(*whole);
}

void GgufFile::append(GgufFile&& part) {
  file_bytes_ += part.file_bytes_;
  std::move(part.maps_.begin(), part.maps_.end(), std::back_inserter(maps_));
  std::move(part.weights_.begin(), part.weights_.end(), std::back_inserter(weights_));
}

}  // namespace minke
