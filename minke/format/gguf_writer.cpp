#include "minke/format/gguf_writer.h"

#include <bit>

namespace minke {
namespace {

template <class T>
void append_number(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void append_string(std::string& out, std::string_view text) {
  append_number<uint64_t>(out, text.size());
  out += text;
}

void append_bytes(std::string& out, std::span<const std::byte> bytes) {
  out.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

void pad(std::string& out, size_t alignment) {
  out.resize((out.size() + alignment - 1) / alignment * alignment, '\0');
}

}  // namespace

GgufWriter::GgufWriter(uint32_t alignment) : alignment_(alignment) {
  MK_CHECK(std::has_single_bit(alignment) && alignment >= 8, "gguf: alignment {}", alignment);
  if (alignment != 32) add("general.alignment", alignment);
}

void GgufWriter::add_raw(std::string_view key, GgufType type, std::span<const std::byte> value) {
  append_string(entries_, key);
  append_number(entries_, static_cast<uint32_t>(type));
  append_bytes(entries_, value);
  ++num_entries_;
}

void GgufWriter::add_raw_array(std::string_view key, GgufType type, uint64_t count,
                               std::span<const std::byte> elements) {
  std::string value;
  append_number(value, static_cast<uint32_t>(type));
  append_number(value, count);
  append_bytes(value, elements);
  add_raw(key, GgufType::kArray, std::as_bytes(std::span(value)));
}

void GgufWriter::add(std::string_view key, std::string_view text) {
  std::string value;
  append_string(value, text);
  add_raw(key, GgufType::kString, std::as_bytes(std::span(value)));
}

void GgufWriter::add_array(std::string_view key, const std::vector<std::string>& texts) {
  std::string elements;
  for (const std::string& text : texts) append_string(elements, text);
  add_raw_array(key, GgufType::kString, texts.size(), std::as_bytes(std::span(elements)));
}

void GgufWriter::add_tensor(std::string_view name, DType dtype, const Shape& shape,
                            std::span<const std::byte> bytes) {
  const auto expected = static_cast<size_t>(dtype_bytes(dtype, shape.num_elements()));
  MK_CHECK(bytes.size() == expected, "gguf: tensor '{}' {} has {} bytes when it should be {}", name,
           shape.text(), bytes.size(), expected);
  const int gguf_type = dtype_info(dtype).gguf_type;
  MK_CHECK(gguf_type >= 0, "gguf: no type for {}", dtype_info(dtype).name);
  append_string(tensors_, name);
  append_number(tensors_, static_cast<uint32_t>(shape.num_dims()));
  for (int i = shape.num_dims(); i-- > 0;) {
    append_number(tensors_, static_cast<uint64_t>(shape[i]));
  }
  append_number(tensors_, static_cast<uint32_t>(gguf_type));
  pad(data_, alignment_);
  append_number<uint64_t>(tensors_, data_.size());
  append_bytes(data_, bytes);
  ++num_tensors_;
}

std::string GgufWriter::serialize() const {
  std::string out = "GGUF";
  append_number<uint32_t>(out, 3);
  append_number(out, num_tensors_);
  append_number(out, num_entries_);
  out += entries_;
  out += tensors_;
  pad(out, alignment_);
  out += data_;
  return out;
}

Result<void> GgufWriter::write(const std::filesystem::path& path) const {
  return write_file_atomic(path, serialize());
}

}  // namespace minke
