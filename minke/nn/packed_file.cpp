#include "minke/nn/packed_file.h"

#include <sys/mman.h>

#include <cstring>

#include "minke/base/hash128.h"
#include "minke/base/json.h"
#include "minke/nn/packed_header.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

tl::unexpected<Error> damaged(const fs::path& path, std::string_view what) {
  return fail(ErrorCode::kCorrupt, "{} is no whole file of packed weights: {}", path.string(),
              what);
}

bool read_sources(const Json* list, std::vector<PackedSource>& sources) {
  if (list == nullptr || !list->is_array()) return false;
  for (const Json& item : list->as_array()) {
    if (!item.is_array() || item.as_array().size() != 4) return false;
    const Json::Array& fields = item.as_array();
    if (!fields[0].is_string() || !fields[1].is_int() || !fields[2].is_int() ||
        !fields[3].is_int()) {
      return false;
    }
    sources.push_back(
        {fields[0].as_string(),
         {static_cast<uint64_t>(fields[1].as_int()), fields[2].as_int(), fields[3].as_int()}});
  }
  return true;
}

}  // namespace

std::string packed_key(const PanelMatrix& matrix) {
  return fmt::format("{} {} {}x{}", matrix.name, dtype_info(matrix.dtype).name, matrix.rows,
                     matrix.cols);
}

Result<PackedFile> PackedFile::open(const fs::path& path) {
  MK_ASSIGN(MappedFile file, MappedFile::open(path));
  const std::span<const std::byte> bytes = file.bytes();
  PackedHeader header;
  if (bytes.size() < kPackedPanelsAt) return damaged(path, "it is too short");
  std::memcpy(&header, bytes.data(), sizeof header);
  if (std::memcmp(header.magic, kPackedMagic, sizeof header.magic) != 0) {
    return damaged(path, "it does not begin as one");
  }
  if (header.file_bytes != bytes.size() || header.index_offset < kPackedPanelsAt ||
      header.index_offset > bytes.size() ||
      header.index_bytes != bytes.size() - header.index_offset) {
    return damaged(path, "its length is not what its header says");
  }
  const auto index_bytes = bytes.subspan(header.index_offset);
  if (hash128_hex(index_bytes) != std::string_view(header.index_hash, sizeof header.index_hash)) {
    return damaged(path, "its index is not what its header says");
  }
  const auto index = parse_json(
      {reinterpret_cast<const char*>(index_bytes.data()), index_bytes.size()}, kPackedIndexLimits);
  PackedFile packed;
  const Json* identity = index ? index->find("identity") : nullptr;
  const Json* matrices = index ? index->find("matrices") : nullptr;
  if (identity == nullptr || !identity->is_string() || matrices == nullptr ||
      !matrices->is_object() || !read_sources(index->find("sources"), packed.label_.sources)) {
    return damaged(path, "its index lacks fields");
  }
  packed.label_.identity = identity->as_string();
  for (const auto& [key, offset] : matrices->as_object()) {
    if (offset.is_int()) packed.offsets_.emplace(key, offset.as_int());
  }
  packed.index_offset_ = static_cast<int64_t>(header.index_offset);
  // Faults would read megabytes around an expert, and so push out others: products ask for what
  // they need (Tensor::will_read()).
  ::madvise(const_cast<std::byte*>(bytes.data()), bytes.size(), MADV_RANDOM);
  packed.map_ = Tensor::mapped(std::move(file));
  return packed;
}

Result<Tensor> PackedFile::place(const PanelMatrix& matrix, PackRows) {
  const auto at = offsets_.find(packed_key(matrix));
  const int64_t offset = at == offsets_.end() ? -1 : at->second;
  const int64_t bytes = matrix.bytes();
  if (offset < static_cast<int64_t>(kPackedPanelsAt) || offset % kPackedAlignment != 0 ||
      offset > index_offset_ || bytes > index_offset_ - offset) {
    lacks_ = true;
    return fail(ErrorCode::kCorrupt, "the packed weights have no '{}'", packed_key(matrix));
  }
  const Tensor panels = map_.part(offset, matrix.tensor_dtype(), matrix.tensor_shape());
  if (is_expert(matrix) || bytes > memory_left_) return panels;
  memory_left_ -= bytes;
  const Tensor copy = Tensor::zeros(panels.dtype(), panels.shape());
  panels.will_read();
  std::memcpy(copy.view().data, panels.view().data, static_cast<size_t>(bytes));
  return copy;
}

}  // namespace minke
