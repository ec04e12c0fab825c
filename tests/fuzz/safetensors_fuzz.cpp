// Any bytes are a safetensors file, and an index of shards: parsing ends with tensors that can all
// be read, or with an Error.
#include <cstdint>
#include <cstdlib>
#include <span>

#include "minke/format/safetensors.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto index = minke::parse_safetensors_index({reinterpret_cast<const char*>(data), size});
  if (index) {
    require(!index->empty());
    for (const std::string& name : *index) require(name.find('/') == std::string::npos);
  }
  const auto file = minke::SafetensorsFile::parse(bytes, "fuzz");
  if (!file) {
    require(!file.error().message.empty());
    return 0;
  }
  unsigned sum = 0;
  for (const minke::WeightInfo& weight : file->weights()) {
    require(file->find(weight.name) == &weight);
    const auto elements = weight.shape.num_elements();
    require(weight.bytes.size() == static_cast<size_t>(dtype_bytes(weight.dtype, elements)));
    for (const std::byte byte : weight.bytes) sum += static_cast<unsigned>(byte);
  }
  return sum == ~0u ? 1 : 0;
}
