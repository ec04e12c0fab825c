// Goal: every format decodes as its byte layout says and encodes to within its step. Method: random
// block bytes decoded here from the layout in double; bounds on the error worked out per format.
#include "minke/dtype/block_format.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
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

/// What rounding to evenly spaced levels from the smallest to the largest value leaves at most:
/// half a step everywhere, and what f16 does to the scale (2^-11 of it, or 2^-25 near zero).
/// Grouped formats also round each group's scale to a whole number of d.
double squared_error_bound(const BlockFormat& format, const float* block) {
  const auto [low, high] = std::minmax_element(block, block + format.block_size);
  const double magnitude = std::max(std::fabs(*low), std::fabs(*high));
  const double levels = (1 << format.bits) - 1;
  const double range =
      format.has_min && format.scale_bits == 0 ? static_cast<double>(*high) - *low : 2 * magnitude;
  const double scale_steps = format.scale_bits > 0 ? (1 << format.scale_bits) - 1 : 2048;
  const double error = range / levels * (format.has_min ? 0.5 : 1.0) + 2 * magnitude / scale_steps +
                       std::ldexp(levels + 1, -25) * (format.scale_bits > 0 ? scale_steps : 1);
  return format.block_size * error * error;
}

TEST(DType, EncodedBlocksAreWithinTheirStep) {
  Random random(2);
  for (const BlockFormat& format : kBlockFormats) {
    if (format.join == nullptr) continue;
    const auto size = static_cast<size_t>(format.block_size);
    for (size_t round = 0; round < 100000 / size; ++round) {
      const auto scale =
          static_cast<float>(std::ldexp(1.0, static_cast<int>(random.below(40)) - 28));
      const auto shift = static_cast<float>(random.below(3)) - 1.0f;
      std::vector<float> block(size);
      for (float& x : block) x = scale * (static_cast<float>(random.normal()) + 2 * shift);
      const std::vector<float> decoded = decode(format.dtype, encode(format.dtype, block));
      double error = 0;
      for (size_t i = 0; i < size; ++i) error += std::pow(double{decoded[i]} - block[i], 2);
      ASSERT_LE(error, squared_error_bound(format, block.data()))
          << dtype_info(format.dtype).name << " scale " << scale << " shift " << shift;
    }
  }
}

TEST(DType, EncodingWhatWasDecodedLosesLittle) {
  // Random fields of each format: the numbers are on its grid, so a good search finds one like it.
  // (Of 256 levels 32 elements seldom use the outermost, which is what the search begins with.)
  Random random(4);
  for (const BlockFormat& format : kBlockFormats) {
    if (format.join == nullptr || format.bits == 8) continue;
    std::vector<std::byte> blocks(static_cast<size_t>(dtype_info(format.dtype).block_bytes));
    double error = 0, power = 0;
    for (int round = 0; round < 50; ++round) {
      BlockFields fields;
      fields.d = f32_to_f16(0.01f);
      fields.m = f32_to_f16(format.scale_bits > 0 ? 0.01f : -0.08f);
      for (uint8_t& scale : fields.scale) {
        scale = static_cast<uint8_t>(random.below(uint64_t{1} << format.scale_bits));
      }
      for (uint8_t& min : fields.min) {
        min = static_cast<uint8_t>(random.below(uint64_t{1} << format.scale_bits));
      }
      for (uint8_t& q : fields.q)
        q = static_cast<uint8_t>(random.below(uint64_t{1} << format.bits));
      format.join(fields, blocks.data());
      const std::vector<float> values = decode(format.dtype, blocks);
      const std::vector<float> again = decode(format.dtype, encode(format.dtype, values));
      for (size_t i = 0; i < values.size(); ++i) {
        error += std::pow(double{again[i]} - values[i], 2);
        power += std::pow(double{values[i]}, 2);
      }
    }
    // A fresh set of normal numbers would lose 2^-2b or more of its power with b bits.
    EXPECT_LT(error, 0.2 * std::ldexp(power, -2 * format.bits)) << dtype_info(format.dtype).name;
  }
}

TEST(DType, TakingABlockApartAndPuttingItTogetherKeepsEveryByte) {
  Random random(5);
  for (const BlockFormat& format : kBlockFormats) {
    if (format.join == nullptr) continue;
    std::vector<std::byte> block(static_cast<size_t>(dtype_info(format.dtype).block_bytes));
    std::vector<std::byte> joined(block.size());
    for (int round = 0; round < 100; ++round) {
      for (std::byte& b : block) b = static_cast<std::byte>(random.next());
      BlockFields fields;
      format.split(block.data(), fields);
      format.join(fields, joined.data());
      ASSERT_EQ(block, joined) << dtype_info(format.dtype).name;
    }
  }
}

TEST(DType, ValuesThatAreNoNumbersOrTooLargeEncodeToFiniteNumbers) {
  const float infinity = std::numeric_limits<float>::infinity();
  for (const BlockFormat& format : kBlockFormats) {
    if (format.join == nullptr) continue;
    for (const float bad : {std::nanf(""), infinity, -infinity, 3e38f, -3e38f, 1e-45f}) {
      std::vector<float> block(static_cast<size_t>(format.block_size), 0.25f);
      block[3] = bad;
      for (const float x : decode(format.dtype, encode(format.dtype, block))) {
        ASSERT_TRUE(std::isfinite(x)) << dtype_info(format.dtype).name << " " << bad;
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
    EXPECT_EQ(decode(dtype, encode(dtype, std::vector<float>(256, 0.0f))),
              std::vector<float>(256, 0.0f));
    const std::vector<float> same = decode(dtype, encode(dtype, std::vector<float>(256, -1.0f)));
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
