#pragma once
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "minke/base/random.h"
#include "minke/format/gguf.h"
#include "minke/format/gguf_writer.h"

namespace minke {

/// A GGUF file made in memory from random weights, and what those weights decode to.
class RandomWeights {
 public:
  explicit RandomWeights(uint64_t seed) : random_(seed) {}

  /// Adds a tensor; returns its elements as the format rounds them.
  std::vector<float> add(const std::string& name, DType dtype, const Shape& shape) {
    const auto size = static_cast<size_t>(shape.num_elements());
    std::vector<float> values(size);
    for (float& value : values) value = static_cast<float>(random_.normal());
    const DTypeInfo& format = dtype_info(dtype);
    const int64_t num_blocks = shape.num_elements() / format.block_size;
    std::vector<std::byte> bytes(static_cast<size_t>(dtype_bytes(dtype, shape.num_elements())));
    format.encode(values.data(), num_blocks, bytes.data());
    format.decode(bytes.data(), num_blocks, values.data());
    writer_.add_tensor(name, dtype, shape, bytes);
    return values;
  }

  /// The file; `this` must outlive it.
  GgufFile file() {
    bytes_ = writer_.serialize();
    auto parsed = GgufFile::parse(std::as_bytes(std::span(bytes_)));
    EXPECT_TRUE(parsed) << parsed.error().message;
    return std::move(*parsed);
  }

 private:
  Random random_;
  GgufWriter writer_;
  std::string bytes_;
};

}  // namespace minke
