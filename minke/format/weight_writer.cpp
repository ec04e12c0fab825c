#include "minke/format/weight_writer.h"

#include <fmt/format.h>

#include <algorithm>

#include "minke/base/json.h"
#include "minke/format/gguf_bytes.h"
#include "minke/format/gguf_writer.h"
#include "minke/format/safetensors.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kGgufAlignment = 32;
constexpr uint64_t kSafetensorsAlignment = 8;  // of the header's end; tensors follow without gaps

std::string safetensors_header(std::span<const WeightDeclaration> tensors) {
  Json header = Json::object({{"__metadata__", Json::object({{"format", "pt"}})}});
  Json::Object& members = header.as_object();
  uint64_t at = 0;
  for (const WeightDeclaration& tensor : tensors) {
    Json::Array shape;
    for (int i = 0; i < tensor.shape.num_dims(); ++i) shape.emplace_back(tensor.shape[i]);
    members.emplace_back(tensor.name,
                         Json::object({{"dtype", safetensors_type_name(tensor.dtype)},
                                       {"shape", std::move(shape)},
                                       {"data_offsets", Json::array({at, at + tensor.bytes()})}}));
    at += tensor.bytes();
  }
  std::string text = header.dump();
  text.resize(aligned(text.size(), kSafetensorsAlignment), ' ');
  std::string out;
  append_string(out, text);
  return out;
}

/// How many tensors each shard has.
std::vector<size_t> shard_sizes(std::span<const WeightDeclaration> tensors, uint64_t bytes_max) {
  std::vector<size_t> sizes = {0};
  uint64_t bytes = 0;
  for (const WeightDeclaration& tensor : tensors) {
    if (sizes.back() > 0 && bytes + tensor.bytes() > bytes_max) {
      sizes.push_back(0);
      bytes = 0;
    }
    ++sizes.back();
    bytes += tensor.bytes();
  }
  return sizes;
}

}  // namespace

Result<void> WeightWriter::add_file(const fs::path& path, std::string_view header,
                                    std::span<const WeightDeclaration> tensors) {
  MK_ASSIGN(AtomicFile file, AtomicFile::create(path));
  uint64_t file_bytes = header.size();
  for (const WeightDeclaration& tensor : tensors) {
    const uint64_t bytes = tensor.bytes();
    segments_.push_back({files_.size(), bytes, aligned(bytes, alignment_) - bytes});
    total_bytes_ += bytes;
    file_bytes += aligned(bytes, alignment_);
  }
  MK_TRY(file.reserve(file_bytes));
  MK_TRY(file.write(std::as_bytes(std::span(header))));
  files_.push_back(std::move(file));
  return {};
}

Result<void> WeightWriter::skip_finished() {
  constexpr std::byte kZeros[kGgufAlignment] = {};
  for (; next_ < segments_.size() && segments_[next_].bytes_left == 0; ++next_) {
    const Segment& segment = segments_[next_];
    MK_TRY(files_[segment.file].write(std::span(kZeros).first(segment.padding)));
  }
  return {};
}

Result<void> WeightWriter::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    MK_TRY(skip_finished());
    MK_CHECK(next_ < segments_.size(), "weight writer: {} bytes more than were declared",
             bytes.size());
    Segment& segment = segments_[next_];
    const auto piece = bytes.first(std::min<uint64_t>(bytes.size(), segment.bytes_left));
    MK_TRY(files_[segment.file].write(piece));
    segment.bytes_left -= piece.size();
    bytes = bytes.subspan(piece.size());
  }
  return {};
}

Result<void> WeightWriter::finish() {
  MK_TRY(skip_finished());
  MK_CHECK(next_ == segments_.size(), "weight writer: {} of {} tensors were written", next_,
           segments_.size());
  for (AtomicFile& file : files_) MK_TRY(file.commit());
  return {};
}

Result<WeightWriter> create_gguf(const fs::path& path, const GgufMetadata& metadata,
                                 std::span<const WeightDeclaration> tensors) {
  WeightWriter writer(kGgufAlignment);
  MK_TRY(writer.add_file(path, gguf_header(metadata, tensors, kGgufAlignment), tensors));
  return writer;
}

Result<WeightWriter> create_safetensors_file(const fs::path& path,
                                             std::span<const WeightDeclaration> tensors) {
  WeightWriter writer(1);
  MK_TRY(writer.add_file(path, safetensors_header(tensors), tensors));
  return writer;
}

Result<WeightWriter> create_safetensors(const fs::path& folder,
                                        std::span<const WeightDeclaration> tensors,
                                        uint64_t shard_bytes_max) {
  const std::vector<size_t> sizes = shard_sizes(tensors, shard_bytes_max);
  if (sizes.size() == 1) return create_safetensors_file(folder / "model.safetensors", tensors);
  WeightWriter writer(1);
  Json::Object weight_map;
  auto rest = tensors;
  for (size_t i = 0; i < sizes.size(); ++i) {
    const auto shard = rest.first(sizes[i]);
    rest = rest.subspan(sizes[i]);
    const auto name = fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, sizes.size());
    MK_TRY(writer.add_file(folder / name, safetensors_header(shard), shard));
    for (const WeightDeclaration& tensor : shard) weight_map.emplace_back(tensor.name, name);
  }
  const Json index =
      Json::object({{"metadata", Json::object({{"total_size", writer.total_bytes()}})},
                    {"weight_map", std::move(weight_map)}});
  MK_TRY(writer.add_file(folder / "model.safetensors.index.json", index.dump(2) + "\n", {}));
  return writer;
}

}  // namespace minke
