#include "minke/format/gguf_writer.h"

#include <bit>

#include "minke/format/gguf_bytes.h"

namespace minke {

std::string gguf_header(const GgufMetadata& metadata, std::span<const WeightDeclaration> tensors,
                        uint64_t alignment) {
  std::string out = "GGUF";
  append_number<uint32_t>(out, 3);
  append_number<uint64_t>(out, tensors.size());
  append_number<uint64_t>(out, metadata.size());
  metadata.append_to(out);
  uint64_t offset = 0;
  for (const WeightDeclaration& tensor : tensors) {
    const int gguf_type = dtype_info(tensor.dtype).gguf_type;
    MK_CHECK(gguf_type >= 0, "gguf: no type for {}", dtype_info(tensor.dtype).name);
    append_string(out, tensor.name);
    append_number(out, static_cast<uint32_t>(tensor.shape.num_dims()));
    for (int i = tensor.shape.num_dims(); i-- > 0;) {
      append_number(out, static_cast<uint64_t>(tensor.shape[i]));
    }
    append_number(out, static_cast<uint32_t>(gguf_type));
    append_number(out, offset);
    offset += aligned(tensor.bytes(), alignment);
  }
  out.resize(aligned(out.size(), alignment), '\0');
  return out;
}

GgufWriter::GgufWriter(uint32_t alignment) : alignment_(alignment) {
  MK_CHECK(std::has_single_bit(alignment) && alignment >= 8, "gguf: alignment {}", alignment);
  if (alignment != 32) add("general.alignment", alignment);
}

void GgufWriter::add_tensor(std::string_view name, DType dtype, const Shape& shape,
                            std::span<const std::byte> bytes) {
  tensors_.push_back({std::string(name), dtype, shape});
  MK_CHECK(bytes.size() == tensors_.back().bytes(),
           "gguf: tensor '{}' {} has {} bytes when it should be {}", name, shape.text(),
           bytes.size(), tensors_.back().bytes());
  append_bytes(data_, bytes);
  data_.resize(aligned(data_.size(), alignment_), '\0');
}

std::string GgufWriter::serialize() const {
  return gguf_header(*this, tensors_, alignment_) + data_;
}

Result<void> GgufWriter::write(const std::filesystem::path& path) const {
  return write_file_atomic(path, serialize());
}

}  // namespace minke
