// Any bytes are a safetensors file, and an index of shards: parsing ends with tensors that can all
// be read, or with an Error.
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "minke/format/fp8_scales.h"
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
  // FP8 matrices take their scales, in blocks that many small matrices have several of.
  std::vector<minke::WeightInfo> weights = file->weights();
  const auto attached = minke::attach_fp8_scales(weights, {2, 3});
  require(attached || !attached.error().message.empty());
  for (const minke::WeightInfo& weight : weights) {
    if (!attached || weight.shape.num_dims() != 2 || weight.shape[0] == 0) continue;
    if (weight.dtype != minke::DType::kF8E4M3) continue;
    std::vector<float> row(static_cast<size_t>(weight.shape[1]));
    decode_rows(weight, weight.shape[0] - 1, 1, row.data());
  }
  return sum == ~0u ? 1 : 0;
}
