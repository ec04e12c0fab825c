// Goal: every format decodes as its byte layout says and encodes to within its step. Method: random
// block bytes decoded here from the layout in double; bounds on the error worked out per format.
#include "minke/dtype/dtype.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <set>
#include <vector>

#include "minke/base/random.h"
#include "minke/dtype/half.h"

namespace minke {
namespace {

constexpr DType kAll[] = {
#define MK_DTYPE(id, name, gguf_type, block, bytes, decode, encode) DType::id,
#include "minke/dtype/dtypes.def"
#undef MK_DTYPE
};

std::vector<std::byte> encode(DType dtype, const std::vector<float>& values) {
  const auto count = static_cast<int64_t>(values.size());
  std::vector<std::byte> blocks(static_cast<size_t>(dtype_bytes(dtype, count)));
  const DTypeInfo& info = dtype_info(dtype);
  info.encode(values.data(), count / info.block_size, blocks.data());
  return blocks;
}

std::vector<float> decode(DType dtype, const std::vector<std::byte>& blocks) {
  const DTypeInfo& info = dtype_info(dtype);
  const auto num_blocks = static_cast<int64_t>(blocks.size()) / info.block_bytes;
  std::vector<float> values(static_cast<size_t>(num_blocks * info.block_size));
  info.decode(blocks.data(), num_blocks, values.data());
  return values;
}

TEST(DType, TheTableIsConsistent) {
  std::set<std::string_view> names;
  std::set<int> numbers;
  for (const DType dtype : kAll) {
    const DTypeInfo& info = dtype_info(dtype);
    EXPECT_EQ(info.dtype, dtype);
    EXPECT_TRUE(names.insert(info.name).second) << info.name;
    EXPECT_EQ(dtype_bytes(dtype, 3 * info.block_size), 3 * info.block_bytes);
    EXPECT_EQ(is_block_quantized(dtype), info.block_size > 1);
    EXPECT_TRUE(info.encode == nullptr || info.decode != nullptr) << info.name;
    if (info.gguf_type < 0) continue;
    EXPECT_TRUE(numbers.insert(info.gguf_type).second) << info.name;
    EXPECT_EQ(dtype_from_gguf(static_cast<uint32_t>(info.gguf_type)), dtype);
  }
  EXPECT_EQ(dtype_from_gguf(4), std::nullopt) << "a number that ggml has retired";
  EXPECT_EQ(dtype_from_gguf(~0u), std::nullopt);
}

float half_at(const std::byte* at) {
  uint16_t bits;
  std::memcpy(&bits, at, 2);
  return f16_to_f32(bits);
}

/// Element `j` of a block by the layouts that GGUF's description draws, in double.
double element(DType dtype, const std::byte* block, int j) {
  const double d = half_at(block);
  const auto nibble = [j](const std::byte* quants) {
    const auto byte = static_cast<unsigned>(quants[j % 16]);
    return static_cast<int>(j < 16 ? byte % 16 : byte / 16);
  };
  if (dtype == DType::kQ4_0) return d * (nibble(block + 2) - 8);
  if (dtype == DType::kQ4_1) return d * nibble(block + 4) + half_at(block + 2);
  int quant = static_cast<int>(block[2 + j]);
  if (quant > 127) quant -= 256;
  return d * quant;
}

TEST(DType, RandomBlocksDecodeAsTheirLayoutSays) {
  Random random(1);
  for (const DType dtype : {DType::kQ4_0, DType::kQ4_1, DType::kQ8_0}) {
    const int block_bytes = dtype_info(dtype).block_bytes;
    for (int round = 0; round < 2000; ++round) {
      std::vector<std::byte> blocks(static_cast<size_t>(3 * block_bytes));
      for (std::byte& b : blocks) b = static_cast<std::byte>(random.next());
      for (int b = 0; b < 3; ++b) {  // Scales of ordinary size, any sign.
        const uint16_t scales[2] = {f32_to_f16(static_cast<float>(random.normal())),
                                    f32_to_f16(static_cast<float>(random.normal()))};
        std::memcpy(&blocks[static_cast<size_t>(b * block_bytes)], scales,
                    dtype == DType::kQ4_1 ? 4 : 2);
      }
      const std::vector<float> decoded = decode(dtype, blocks);
      for (int i = 0; i < 96; ++i) {
        const auto at = static_cast<size_t>(i / 32 * block_bytes);
        const double expected = element(dtype, &blocks[at], i % 32);
        ASSERT_EQ(decoded[static_cast<size_t>(i)], static_cast<float>(expected))
            << dtype_info(dtype).name << " element " << i;
      }
    }
  }
}

/// The largest error that a block may have. `scale` in f16 is off by 2^-11 of itself (or 2^-25 near
/// zero), which the largest quant multiplies; half a step comes from rounding the quant.
double error_bound(DType dtype, const std::vector<float>& block) {
  const auto [low, high] = std::minmax_element(block.begin(), block.end());
  const double magnitude = std::max(std::fabs(*low), std::fabs(*high));
  const double half_error = std::ldexp(1.0, -11);
  const double tiny = std::ldexp(1.0, -25);
  if (dtype == DType::kQ8_0) return magnitude / 127 / 2 + magnitude * 2 * half_error + 128 * tiny;
  if (dtype == DType::kQ4_1) {
    const double range = static_cast<double>(*high) - *low;
    return range / 15 / 2 + (range + magnitude) * 2 * half_error + 17 * tiny;
  }
  // q4_0 reaches -8 but only +7 steps: a whole step at the short side.
  return magnitude / 8 + magnitude * 2 * half_error + 9 * tiny;
}

TEST(DType, EncodedBlocksAreWithinTheirStep) {
  Random random(2);
  for (const DType dtype : {DType::kQ4_0, DType::kQ4_1, DType::kQ8_0}) {
    for (int round = 0; round < 20000; ++round) {
      const auto scale =
          static_cast<float>(std::ldexp(1.0, static_cast<int>(random.below(40)) - 28));
      const auto shift = static_cast<float>(random.below(3)) - 1.0f;
      std::vector<float> block(32);
      for (float& x : block) x = scale * (static_cast<float>(random.normal()) + 2 * shift);
      const std::vector<float> decoded = decode(dtype, encode(dtype, block));
      const double bound = error_bound(dtype, block);
      for (size_t i = 0; i < 32; ++i) {
        ASSERT_LE(std::fabs(static_cast<double>(decoded[i]) - block[i]), bound)
            << dtype_info(dtype).name << " element " << i << " scale " << scale;
      }
    }
  }
}

TEST(DType, ValuesOnTheGridComeBackExactly) {
  std::vector<float> grid(32);
  for (int i = 0; i < 32; ++i) grid[static_cast<size_t>(i)] = 0.5f * static_cast<float>(i % 16 - 8);
  EXPECT_EQ(decode(DType::kQ4_0, encode(DType::kQ4_0, grid)), grid);
  EXPECT_EQ(decode(DType::kQ4_1, encode(DType::kQ4_1, grid)), grid);
  for (int i = 0; i < 32; ++i)
    grid[static_cast<size_t>(i)] = 0.25f * static_cast<float>(8 * i - 127);
  EXPECT_EQ(decode(DType::kQ8_0, encode(DType::kQ8_0, grid)), grid);
}

TEST(DType, ZerosAndConstantsNeedNoCare) {
  for (const DType dtype : kAll) {
    if (dtype_info(dtype).encode == nullptr) continue;
    EXPECT_EQ(decode(dtype, encode(dtype, std::vector<float>(64, 0.0f))),
              std::vector<float>(64, 0.0f));
    const std::vector<float> same = decode(dtype, encode(dtype, std::vector<float>(64, -1.0f)));
    for (const float x : same) EXPECT_NEAR(x, -1.0f, 1e-3f) << dtype_info(dtype).name;
  }
}

TEST(DType, PlainFormatsRoundEachElementAlone) {
  Random random(3);
  std::vector<float> values(1000);
  for (float& x : values) x = static_cast<float>(random.normal());
  EXPECT_EQ(decode(DType::kF32, encode(DType::kF32, values)), values);
  const std::vector<float> f16 = decode(DType::kF16, encode(DType::kF16, values));
  const std::vector<float> bf16 = decode(DType::kBf16, encode(DType::kBf16, values));
  for (size_t i = 0; i < values.size(); ++i) {
    EXPECT_EQ(f16[i], f16_to_f32(f32_to_f16(values[i])));
    EXPECT_EQ(bf16[i], bf16_to_f32(f32_to_bf16(values[i])));
  }
}

}  // namespace
}  // namespace minke
