// Goal: panels hold exactly what the file held, where panel.h draws it. Method: the formats' own
// decoders as oracle, every format, odd row counts, random subsets of rows, several threads.
#include "minke/kernels/packed.h"

#include <gtest/gtest.h>

#include "minke/kernels/ref/decode.h"
#include "tests/kernels/matrices.h"

namespace minke {
namespace {

using kernels::kBlockCols;
using kernels::kPanelRows;

constexpr DType kFormats[] = {
#define MK_BLOCK_FORMAT(id, ...) DType::id,
#include "minke/dtype/block_formats.def"
#undef MK_BLOCK_FORMAT
    DType::kF64, DType::kF32, DType::kF16, DType::kBf16};

TEST(PackedTest, UnpackingGivesTheDecodedNumbersForEveryFormatAndShape) {
  const Device device(2, false, CpuLevel::kRef);
  Random random(5);
  for (const DType dtype : kFormats) {
    for (int trial = 0; trial < 12; ++trial) {
      const auto rows = static_cast<int64_t>(1 + random.below(70));
      const int64_t unit = dtype_info(dtype).block_size;
      const auto cols = static_cast<int64_t>(1 + random.below(unit > 1 ? 5 : 90)) * unit;
      const RandomWeight weight = random_weight(device, random, dtype, rows, cols);
      std::vector<int32_t> indices(1 + random.below(100));
      for (int32_t& index : indices) index = static_cast<int32_t>(random.below(rows));
      const auto num_indices = static_cast<int64_t>(indices.size());
      const Tensor out =
          Tensor::zeros(dtype == DType::kF64 ? DType::kF64 : DType::kF32, {num_indices, cols});
      kernels::unpack_rows(device, weight.view(), indices.data(), num_indices, out.view());
      for (int64_t i = 0; i < out.num_elements(); ++i) {
        const double found = dtype == DType::kF64 ? out.data<double>()[i] : out.data<float>()[i];
        ASSERT_EQ(found, weight.values[indices[i / cols] * cols + i % cols])
            << dtype_info(dtype).name << " [" << rows << ", " << cols << "] at " << i;
      }
    }
  }
}

TEST(PackedTest, TilesOfTheReferenceDecoderHoldTheNumbersAndZerosAsPadding) {
  const Device device(1, false, CpuLevel::kRef);
  Random random(6);
  for (const DType dtype : kFormats) {
    const int64_t rows = 19, cols = width(dtype, 3);
    const RandomWeight weight = random_weight(device, random, dtype, rows, cols);
    std::vector<double> tile(64 * kPanelRows);
    for (int64_t panel = 0; panel < 2; ++panel) {
      kernels::ref::decode_tile<double>(weight.view(), panel, 32, 96, tile.data());
      for (int64_t k = 32; k < 96; ++k) {
        for (int64_t r = 0; r < kPanelRows; ++r) {
          const int64_t row = panel * kPanelRows + r;
          ASSERT_EQ(tile[(k - 32) * kPanelRows + r],
                    row < rows ? weight.values[row * cols + k] : 0.0)
              << dtype_info(dtype).name << " row " << row << " input " << k;
        }
      }
    }
  }
}

TEST(PackedTest, PlainFormatsLieInputByInput) {
  const Device device(1, false, CpuLevel::kRef);
  std::vector<float> file(16 * 3);
  for (size_t i = 0; i < file.size(); ++i) file[i] = static_cast<float>(i);
  std::vector<float> packed(file.size());
  kernels::pack(device, reinterpret_cast<const std::byte*>(file.data()), DType::kF32, 16, 3,
                reinterpret_cast<std::byte*>(packed.data()));
  for (int k = 0; k < 3; ++k) {
    for (int row = 0; row < 16; ++row) EXPECT_EQ(packed[k * 16 + row], file[row * 3 + k]);
  }
}

TEST(PackedTest, FourBitQuantsLieInNibblesAsDrawn) {
  const Device device(1, false, CpuLevel::kRef);
  // Row r's element k has the quant (r + 3 k) % 16; a file's byte j holds elements j and j + 16.
  const auto quant = [](int row, int k) { return (row + 3 * k) % 16; };
  std::vector<std::byte> file(16 * 20);
  for (int row = 0; row < 16; ++row) {
    std::byte* block = file.data() + row * 20;
    const uint16_t header[2] = {static_cast<uint16_t>(100 + row), static_cast<uint16_t>(200 + row)};
    std::memcpy(block, header, 4);
    for (int j = 0; j < 16; ++j) {
      block[4 + j] = static_cast<std::byte>(quant(row, j) | quant(row, j + 16) << 4);
    }
  }
  std::vector<std::byte> packed(kernels::packed_bytes(DType::kQ4_1, 16, 32));
  ASSERT_EQ(packed.size(), 320u);
  kernels::pack(device, file.data(), DType::kQ4_1, 16, 32, packed.data());
  for (int row = 0; row < 16; ++row) {
    uint16_t d, m;
    std::memcpy(&d, packed.data() + 2 * row, 2);
    std::memcpy(&m, packed.data() + 32 + 2 * row, 2);
    EXPECT_EQ(d, 100 + row);
    EXPECT_EQ(m, 200 + row);
    for (int c = 0; c < 4; ++c) {
      for (int i = 0; i < 4; ++i) {
        const int byte = static_cast<int>(packed[64 + c * 64 + row * 4 + i]);
        EXPECT_EQ(byte & 15, quant(row, 8 * c + i));
        EXPECT_EQ(byte >> 4, quant(row, 8 * c + 4 + i));
      }
    }
  }
}

TEST(PackedTest, EightBitQuantsAreStoredWith128Added) {
  const Device device(1, false, CpuLevel::kRef);
  std::vector<std::byte> file(16 * 34);
  for (int row = 0; row < 16; ++row) {
    for (int k = 0; k < 32; ++k) file[row * 34 + 2 + k] = static_cast<std::byte>(row * 8 - k - 60);
  }
  std::vector<std::byte> packed(kernels::packed_bytes(DType::kQ8_0, 16, 32));
  ASSERT_EQ(packed.size(), 544u);
  kernels::pack(device, file.data(), DType::kQ8_0, 16, 32, packed.data());
  for (int row = 0; row < 16; ++row) {
    for (int k = 0; k < 32; ++k) {
      EXPECT_EQ(static_cast<int>(packed[32 + k / 4 * 64 + row * 4 + k % 4]),
                row * 8 - k - 60 + 128);
    }
  }
}

TEST(PackedTest, APackedMatrixIsAsLargeAsItsFile) {
  for (const DType dtype : kFormats) {
    EXPECT_EQ(kernels::packed_bytes(dtype, 48, 512), dtype_bytes(dtype, 48 * 512))
        << dtype_info(dtype).name;
  }
}

TEST(PackedTest, ThreadsDoNotChangeABit) {
  for (const DType dtype : kFormats) {
    std::vector<std::byte> first;
    for (const int num_threads : {1, 2, 3}) {
      Random random(7);
      const Device device(num_threads, false, CpuLevel::kRef);
      const RandomWeight weight = random_weight(device, random, dtype, 1003, width(dtype, 2));
      if (first.empty()) first = weight.packed;
      EXPECT_TRUE(first == weight.packed) << dtype_info(dtype).name << ", " << num_threads;
    }
  }
}

TEST(PackedTest, BlockFormatsNeedWholeBlocks) {
  EXPECT_TRUE(kernels::packable(DType::kQ4_1, 64));
  EXPECT_FALSE(kernels::packable(DType::kQ4_1, 48));
  EXPECT_FALSE(kernels::packable(DType::kF32, 0));
  EXPECT_TRUE(kernels::packable(DType::kBf16, 7));
  EXPECT_FALSE(kernels::packable(DType::kI32, 32));
  EXPECT_TRUE(kernels::packable(DType::kQ6_K, 512));
  EXPECT_FALSE(kernels::packable(DType::kQ6_K, 576));
}

TEST(PackedDeathTest, RowsOutOfRangeAbort) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const Device device(1, false, CpuLevel::kRef);
  Random random(8);
  const RandomWeight weight = random_weight(device, random, DType::kF32, 5, 4);
  const Tensor out = Tensor::zeros(DType::kF32, {1, 4});
  for (const int32_t bad : {5, -1}) {
    EXPECT_DEATH(kernels::unpack_rows(device, weight.view(), &bad, 1, out.view()), "row");
  }
}

}  // namespace
}  // namespace minke
