// Any bytes are a GGUF file: parsing ends with a file whose views can all be read, or with an
// Error.
#include <cstdint>
#include <cstdlib>
#include <span>

#include "minke/format/gguf.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto file = minke::GgufFile::parse(bytes, "fuzz");
  if (!file) {
    require(!file.error().message.empty());
    return 0;
  }
  file->metadata_json(3).dump();
  for (const auto& [key, value] : file->metadata()) {
    require(file->find_value(key) == &value);
    file->get_uint(key);
    file->get_float(key);
    file->get_bool(key);
    if (!value.is_array() || value.element_type != minke::GgufType::kString) continue;
    uint64_t count = 0;
    uint64_t text_bytes = 0;
    for (const std::string_view text : value.as_array().strings()) {
      ++count;
      text_bytes += text.size() + 8;
    }
    require(count == value.count && text_bytes == value.bytes.size());
  }
  unsigned sum = 0;
  for (const minke::WeightInfo& weight : file->weights()) {
    require(file->find(weight.name) == &weight);
    const auto elements = weight.shape.num_elements();
    require(weight.bytes.size() == static_cast<size_t>(dtype_bytes(weight.dtype, elements)));
    sum += static_cast<unsigned>(weight.bytes.front()) + static_cast<unsigned>(weight.bytes.back());
    // Any bytes are a block: the last one decodes to some numbers.
    const minke::DTypeInfo& info = minke::dtype_info(weight.dtype);
    if (info.decode == nullptr) continue;
    float values[256];
    info.decode(weight.bytes.data() + weight.bytes.size() - info.block_bytes, 1, values);
    sum += values[info.block_size - 1] > 0.0f ? 1 : 0;
  }
  return sum == ~0u ? 1 : 0;
}
