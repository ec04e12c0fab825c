// Goal: the encoder's bytes depend on a block's own values and weights only, not on the instruction
// set or on the blocks beside it; weights move the error to where they are small. Method: the same
// rows through every implementation and cut in different places; errors summed by hand.
#include "minke/dtype/encode_blocks.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "minke/base/random.h"

namespace minke {
namespace {

std::vector<float> random_values(Random& random, size_t count) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) {
    if (i % 64 == 0) values[i] = std::ldexp(1.0f, static_cast<int>(random.below(60)) - 30);
    const float scale = values[i - i % 64];
    const auto shift = static_cast<float>(i / 256 % 3) - 1.0f;
    values[i] = scale * (static_cast<float>(random.normal()) + shift);
  }
  return values;
}

std::vector<float> random_weights(Random& random, size_t count) {
  std::vector<float> weights(count);
  for (float& w : weights) w = static_cast<float>(std::exp(2 * random.normal()));
  return weights;
}

std::vector<std::byte> encode(const BlockFormat& format, const GroupKernels& kernels,
                              const float* values, const float* weights, size_t count) {
  const auto num_blocks = static_cast<int64_t>(count) / format.block_size;
  std::vector<std::byte> blocks(
      static_cast<size_t>(num_blocks * dtype_info(format.dtype).block_bytes));
  encode_blocks_with(kernels, format, values, weights, num_blocks, blocks.data());
  return blocks;
}

TEST(Encode, EveryInstructionSetGivesTheSameBytes) {
  const GroupKernelList list = group_kernels();
  ASSERT_TRUE(list.rows[list.count - 1].is_supported());
  Random random(11);
  std::vector<float> values = random_values(random, 256 * 151);
  values[5] = std::nanf("");
  values[700] = std::numeric_limits<float>::infinity();
  values[2000] = 1e-42f;
  std::fill_n(values.begin() + 4096, 512, -3.0f);
  std::fill_n(values.begin() + 8192, 512, 0.0f);
  const std::vector<float> weights = random_weights(random, values.size());
  for (const BlockFormat& format : kBlockFormats) {
    if (format.join == nullptr) continue;
    for (const float* w : {static_cast<const float*>(nullptr), weights.data()}) {
      const auto expected =
          encode(format, list.rows[list.count - 1], values.data(), w, values.size());
      for (int i = 0; i + 1 < list.count; ++i) {
        if (!list.rows[i].is_supported()) continue;
        EXPECT_EQ(encode(format, list.rows[i], values.data(), w, values.size()), expected)
            << dtype_info(format.dtype).name << " by " << list.rows[i].name;
      }
    }
  }
}

TEST(Encode, ABlocksBytesDoNotDependOnItsNeighbours) {
  const GroupKernels& kernels = group_kernels().rows[group_kernels().count - 1];
  Random random(12);
  const std::vector<float> values = random_values(random, 256 * 40);
  for (const BlockFormat& format : kBlockFormats) {
    if (format.join == nullptr) continue;
    const auto size = static_cast<size_t>(format.block_size);
    const auto whole = encode(format, kernels, values.data(), nullptr, values.size());
    std::vector<std::byte> pieces;
    for (size_t begin = 0, count = 1; begin < values.size(); begin += count * size, ++count) {
      count = std::min(count, (values.size() - begin) / size);
      const auto piece = encode(format, kernels, values.data() + begin, nullptr, count * size);
      pieces.insert(pieces.end(), piece.begin(), piece.end());
    }
    EXPECT_EQ(pieces, whole) << dtype_info(format.dtype).name;
  }
}

double weighted_error(const BlockFormat& format, const std::vector<float>& values,
                      const std::vector<float>& weights, const float* encode_weights) {
  const auto num_blocks = static_cast<int64_t>(values.size()) / format.block_size;
  std::vector<std::byte> blocks(
      static_cast<size_t>(num_blocks * dtype_info(format.dtype).block_bytes));
  std::vector<float> back(values.size());
  encode_blocks(format, values.data(), encode_weights, num_blocks, blocks.data());
  decode_blocks(format, blocks.data(), num_blocks, back.data());
  double error = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    error += weights[i] * std::pow(double{back[i]} - values[i], 2);
  }
  return error;
}

TEST(Encode, WeightsLowerTheErrorThatTheyWeigh) {
  Random random(13);
  std::vector<float> values(256 * 64);
  for (float& x : values) x = static_cast<float>(random.normal());
  const std::vector<float> weights = random_weights(random, values.size());
  for (const BlockFormat& format : kBlockFormats) {
    if (format.join == nullptr) continue;
    const double with = weighted_error(format, values, weights, weights.data());
    const double without = weighted_error(format, values, weights, nullptr);
    EXPECT_LT(with, 0.97 * without) << dtype_info(format.dtype).name;
  }
}

TEST(Encode, EqualWeightsOfAnySizeAreAsGoodAsNone) {
  Random random(14);
  std::vector<float> values(256 * 64);
  for (float& x : values) x = static_cast<float>(random.normal());
  const std::vector<float> ones(values.size(), 1.0f);
  for (const BlockFormat& format : kBlockFormats) {
    if (format.join == nullptr) continue;
    const double without = weighted_error(format, values, ones, nullptr);
    for (const float size : {1e-6f, 1.0f, 1e6f}) {
      const std::vector<float> weights(values.size(), size);
      const double with = weighted_error(format, values, ones, weights.data());
      EXPECT_NEAR(with, without, 0.005 * without) << dtype_info(format.dtype).name << " " << size;
    }
  }
}

TEST(Encode, GroupsWithoutWeightStayFinite) {
  std::vector<float> values(512, 0.5f), back(512);
  const std::vector<float> weights(512, 0.0f);
  for (size_t i = 0; i < values.size(); i += 3) values[i] = -1.0f;
  for (const BlockFormat& format : kBlockFormats) {
    if (format.join == nullptr) continue;
    std::vector<std::byte> blocks(static_cast<size_t>(dtype_bytes(format.dtype, 512)));
    encode_blocks(format, values.data(), weights.data(), 512 / format.block_size, blocks.data());
    decode_blocks(format, blocks.data(), 512 / format.block_size, back.data());
    for (const float x : back) ASSERT_LE(std::fabs(x), 4.0f) << dtype_info(format.dtype).name;
  }
}

}  // namespace
}  // namespace minke
