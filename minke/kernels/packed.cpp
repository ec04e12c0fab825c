#include "minke/kernels/packed.h"

#include <algorithm>
#include <cstring>

#include "minke/base/check.h"
#include "minke/dtype/half.h"

namespace minke::kernels {
namespace {

constexpr int64_t kHalves = kPanelRows * 2;  // bytes of one f16 for each row of a panel
constexpr int64_t kChunk = kPanelRows * 4;   // bytes of four quants for each row

template <class Word>
Word load(const std::byte* data, int64_t index) {
  Word word;
  std::memcpy(&word, data + index * static_cast<int64_t>(sizeof(Word)), sizeof(Word));
  return word;
}

template <class Word>
void store(std::byte* data, int64_t index, Word word) {
  std::memcpy(data + index * static_cast<int64_t>(sizeof(Word)), &word, sizeof(Word));
}

// Bytes of a panel's block of 32 inputs.
int64_t block_bytes(DType dtype) {
  switch (dtype) {
    case DType::kQ4_0:
      return kHalves + 4 * kChunk;
    case DType::kQ4_1:
      return 2 * kHalves + 4 * kChunk;
    case DType::kQ8_0:
      return kHalves + 8 * kChunk;
    default:
      return 0;
  }
}

// panel[k][row] from row-major rows: a transpose of words.
template <class Word>
void pack_plain(const std::byte* source, int64_t num_rows, int64_t cols, std::byte* panel) {
  if (num_rows < kPanelRows) std::memset(panel, 0, sizeof(Word) * kPanelRows * cols);
  // In squares of 16: the panel's lines are then written whole, while each source line is read
  // twice at most.
  for (int64_t k_begin = 0; k_begin < cols; k_begin += 16) {
    const int64_t k_end = std::min<int64_t>(k_begin + 16, cols);
    for (int64_t row = 0; row < num_rows; ++row) {
      const std::byte* from = source + row * cols * static_cast<int64_t>(sizeof(Word));
      for (int64_t k = k_begin; k < k_end; ++k) {
        store(panel, k * kPanelRows + row, load<Word>(from, k));
      }
    }
  }
}

// Four bits: a file's byte j holds elements j (low) and j + 16 (high), a panel's byte [c][i]
// elements 8c + i and 8c + 4 + i. So words 0..3 of the file give chunks 0, 1 with their low nibbles
// (elements 0..15) and chunks 2, 3 with their high ones.
void pack_q4_quants(const std::byte* from, std::byte* to) {
  constexpr uint32_t kLow = 0x0F0F0F0F;
  uint32_t w[4];
  std::memcpy(w, from, sizeof w);
  store<uint32_t>(to + 0 * kChunk, 0, (w[0] & kLow) | ((w[1] & kLow) << 4));
  store<uint32_t>(to + 1 * kChunk, 0, (w[2] & kLow) | ((w[3] & kLow) << 4));
  store<uint32_t>(to + 2 * kChunk, 0, ((w[0] >> 4) & kLow) | (w[1] & ~kLow));
  store<uint32_t>(to + 3 * kChunk, 0, ((w[2] >> 4) & kLow) | (w[3] & ~kLow));
}

// Eight bits: chunk c is the file's word c; flipping the top bit adds 128.
void pack_q8_quants(const std::byte* from, std::byte* to) {
  uint32_t w[8];
  std::memcpy(w, from, sizeof w);
  for (int c = 0; c < 8; ++c) store<uint32_t>(to + c * kChunk, 0, w[c] ^ 0x80808080);
}

template <DType kFormat>
void pack_blocks(const std::byte* source, int64_t num_rows, int64_t cols, std::byte* panel) {
  constexpr bool kHasMin = kFormat == DType::kQ4_1;
  const int64_t num_blocks = cols / kBlockCols;
  const int64_t file_bytes = dtype_info(kFormat).block_bytes;
  const int64_t bytes = block_bytes(kFormat);
  if (num_rows < kPanelRows) std::memset(panel, 0, bytes * num_blocks);
  for (int64_t b = 0; b < num_blocks; ++b, panel += bytes) {
    std::byte* quants = panel + (kHasMin ? 2 : 1) * kHalves;
    for (int64_t row = 0; row < num_rows; ++row) {
      const std::byte* from = source + (row * num_blocks + b) * file_bytes;
      store(panel, row, load<uint16_t>(from, 0));
      if constexpr (kHasMin) store(panel + kHalves, row, load<uint16_t>(from, 1));
      from += kHasMin ? 4 : 2;
      if constexpr (kFormat == DType::kQ8_0) {
        pack_q8_quants(from, quants + row * 4);
      } else {
        pack_q4_quants(from, quants + row * 4);
      }
    }
  }
}

void pack_panel(const std::byte* source, DType dtype, int64_t num_rows, int64_t cols,
                std::byte* panel) {
  switch (dtype) {
    case DType::kF64:
      return pack_plain<uint64_t>(source, num_rows, cols, panel);
    case DType::kF32:
      return pack_plain<uint32_t>(source, num_rows, cols, panel);
    case DType::kF16:
    case DType::kBf16:
      return pack_plain<uint16_t>(source, num_rows, cols, panel);
    case DType::kQ4_0:
      return pack_blocks<DType::kQ4_0>(source, num_rows, cols, panel);
    case DType::kQ4_1:
      return pack_blocks<DType::kQ4_1>(source, num_rows, cols, panel);
    case DType::kQ8_0:
      return pack_blocks<DType::kQ8_0>(source, num_rows, cols, panel);
    default:
      MK_CHECK(false, "pack: format {}", dtype_info(dtype).name);
  }
}

void unpack_block(const std::byte* block, DType dtype, int64_t row, float* out) {
  const float d = f16_to_f32(load<uint16_t>(block, row));
  if (dtype == DType::kQ8_0) {
    const std::byte* quants = block + kHalves + row * 4;
    for (int k = 0; k < kBlockCols; ++k) {
      out[k] = d * static_cast<float>(static_cast<int>(quants[k / 4 * kChunk + k % 4]) - 128);
    }
    return;
  }
  const bool has_min = dtype == DType::kQ4_1;
  const float m = has_min ? f16_to_f32(load<uint16_t>(block, kPanelRows + row)) : -8.0f * d;
  const std::byte* quants = block + (has_min ? 2 : 1) * kHalves + row * 4;
  for (int c = 0; c < 4; ++c) {
    for (int i = 0; i < 4; ++i) {
      const int byte = static_cast<int>(quants[c * kChunk + i]);
      out[8 * c + i] = d * static_cast<float>(byte & 15) + m;
      out[8 * c + 4 + i] = d * static_cast<float>(byte >> 4) + m;
    }
  }
}

void unpack_row(const PackedView& matrix, int64_t index, std::byte* out_row) {
  const std::byte* panel =
      matrix.data + index / kPanelRows * packed_panel_bytes(matrix.dtype, matrix.cols);
  const int64_t row = index % kPanelRows;
  if (matrix.dtype == DType::kF64) {
    for (int64_t k = 0; k < matrix.cols; ++k) {
      store(out_row, k, load<double>(panel, k * kPanelRows + row));
    }
    return;
  }
  auto* out = reinterpret_cast<float*>(out_row);
  if (is_block_quantized(matrix.dtype)) {
    const int64_t bytes = block_bytes(matrix.dtype);
    for (int64_t k = 0; k < matrix.cols; k += kBlockCols, panel += bytes) {
      unpack_block(panel, matrix.dtype, row, out + k);
    }
    return;
  }
  for (int64_t k = 0; k < matrix.cols; ++k) {
    const int64_t i = k * kPanelRows + row;
    out[k] = matrix.dtype == DType::kF32   ? load<float>(panel, i)
             : matrix.dtype == DType::kF16 ? f16_to_f32(load<uint16_t>(panel, i))
                                           : bf16_to_f32(load<uint16_t>(panel, i));
  }
}

}  // namespace

int64_t packed_panel_bytes(DType dtype, int64_t cols) {
  MK_CHECK(packable(dtype, cols), "packed: {} with {} columns", dtype_info(dtype).name, cols);
  if (is_block_quantized(dtype)) return cols / kBlockCols * block_bytes(dtype);
  return cols * kPanelRows * dtype_info(dtype).block_bytes;
}

int64_t packed_bytes(DType dtype, int64_t rows, int64_t cols) {
  return (rows + kPanelRows - 1) / kPanelRows * packed_panel_bytes(dtype, cols);
}

bool packable(DType dtype, int64_t cols) {
  switch (dtype) {
    case DType::kF64:
    case DType::kF32:
    case DType::kF16:
    case DType::kBf16:
      return cols > 0;
    case DType::kQ4_0:
    case DType::kQ4_1:
    case DType::kQ8_0:
      return cols > 0 && cols % kBlockCols == 0;
    default:
      return false;
  }
}

void pack(const Device& device, const std::byte* source, DType dtype, int64_t rows, int64_t cols,
          std::byte* packed) {
  const int64_t panel_bytes = packed_panel_bytes(dtype, cols);
  const int64_t row_bytes = dtype_bytes(dtype, cols);
  // About 256 KiB a turn: small enough to share a matrix evenly, large against the counter.
  const int64_t grain = std::max<int64_t>(1, (int64_t{256} << 10) / panel_bytes);
  const int64_t num_panels = (rows + kPanelRows - 1) / kPanelRows;
  device.pool().parallel_for(num_panels, grain, [&](int64_t begin, int64_t end, int) {
    for (int64_t panel = begin; panel < end; ++panel) {
      const int64_t row = panel * kPanelRows;
      pack_panel(source + row * row_bytes, dtype, std::min<int64_t>(kPanelRows, rows - row), cols,
                 packed + panel * panel_bytes);
    }
  });
}

void unpack_rows(const Device& device, const PackedView& matrix, const int32_t* row_indices,
                 int64_t num_indices, const View& out) {
  MK_CHECK(out.rows == num_indices && out.cols == matrix.cols &&
               out.dtype == (matrix.dtype == DType::kF64 ? DType::kF64 : DType::kF32),
           "unpack_rows: {} rows of {} [{}, {}] to {} [{}, {}]", num_indices,
           dtype_info(matrix.dtype).name, matrix.rows, matrix.cols, dtype_info(out.dtype).name,
           out.rows, out.cols);
  const int64_t row_bytes = dtype_bytes(out.dtype, out.stride);
  device.pool().parallel_for(num_indices, 16, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      MK_CHECK(row_indices[i] >= 0 && row_indices[i] < matrix.rows, "unpack_rows: row {} of {}",
               row_indices[i], matrix.rows);
      unpack_row(matrix, row_indices[i], out.data + i * row_bytes);
    }
  });
}

}  // namespace minke::kernels
