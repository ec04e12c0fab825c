#include "minke/kernels/packed.h"

#include <algorithm>
#include <cstring>

#include "minke/base/check.h"
#include "minke/dtype/half.h"
#include "minke/kernels/panel_block.h"

namespace minke::kernels {
namespace {

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

// The unit's small numbers of one row.
template <DType kDType>
void pack_numbers(const BlockFields& fields, int64_t row, std::byte* unit) {
  constexpr BlockFormat kFormat = block_format_of(kDType);
  constexpr PanelLayout kLayout = panel_layout_of(kFormat);
  constexpr int kGroups = kFormat.num_groups();
  uint8_t number[2 * kBlockGroupsMax];
  std::memcpy(number, fields.scale, kGroups);
  if constexpr (kFormat.has_min) std::memcpy(number + kGroups, fields.min, kGroups);
  std::byte* low = unit + kLayout.numbers_at + row;
  if constexpr (kFormat.scale_bits == 8) {
    for (int j = 0; j < kLayout.num_numbers; ++j) low[j * kPanelRows] = std::byte{number[j]};
    return;
  }
  for (int j = 0; j < kLayout.num_numbers; j += 2) {
    low[j / 2 * kPanelRows] = static_cast<std::byte>((number[j] & 15) | number[j + 1] << 4);
  }
  if constexpr (kFormat.scale_bits == 6) {
    std::byte* high = unit + kLayout.high_numbers_at + row;
    for (int j = 0; j < kLayout.num_numbers; j += 4) {
      high[j / 4 * kPanelRows] =
          static_cast<std::byte>(number[j] >> 4 | number[j + 1] >> 4 << 2 |
                                 number[j + 2] >> 4 << 4 | number[j + 3] >> 4 << 6);
    }
  }
}

// One row's 32 numbers q into the lines of its block. A step is a word of four inputs; words of
// bytes are shifted whole, which moves no bit into a neighbour because of the masks.
template <DType kDType>
void pack_quants(const uint8_t* q, std::byte* lines) {
  constexpr PanelLayout kLayout = panel_layout_of(block_format_of(kDType));
  uint32_t w[kBlockCols / 4];
  std::memcpy(w, q, sizeof w);
  const auto pairs = [&w](int shift, std::byte* to) {
    constexpr uint32_t kPair = 0x03030303;
    for (int c = 0; c < 2; ++c) {
      uint32_t line = 0;
      for (int j = 0; j < 4; ++j) line |= (w[4 * c + j] >> shift & kPair) << (2 * j);
      store(to + c * kLineBytes, 0, line);
    }
  };
  if constexpr (kLayout.low_bits == 8) {
    for (int c = 0; c < 8; ++c) store(lines + c * kLineBytes, 0, w[c]);
  } else if constexpr (kLayout.low_bits == 4) {
    constexpr uint32_t kLow = 0x0F0F0F0F;
    for (int c = 0; c < 4; ++c) {
      store(lines + c * kLineBytes, 0, (w[2 * c] & kLow) | (w[2 * c + 1] & kLow) << 4);
    }
  } else {
    pairs(0, lines);
  }
  if constexpr (kLayout.high_bits == 1) {
    constexpr uint32_t kBit = 0x01010101;
    uint32_t line = 0;
    for (int j = 0; j < 8; ++j) line |= (w[j] >> kLayout.low_bits & kBit) << j;
    store(lines + kLayout.high_at, 0, line);
  } else if constexpr (kLayout.high_bits == 2) {
    pairs(kLayout.low_bits, lines + kLayout.high_at);
  }
}

template <DType kDType>
void pack_blocks(const std::byte* source, int64_t num_rows, int64_t cols, std::byte* panel) {
  constexpr BlockFormat kFormat = block_format_of(kDType);
  constexpr PanelLayout kLayout = panel_layout_of(kFormat);
  const int64_t num_units = cols / kLayout.unit_cols;
  const int64_t file_bytes = dtype_info(kDType).block_bytes;
  if (num_rows < kPanelRows) std::memset(panel, 0, kLayout.unit_bytes * num_units);
  BlockFields fields;
  for (int64_t u = 0; u < num_units; ++u, panel += kLayout.unit_bytes) {
    for (int64_t row = 0; row < num_rows; ++row) {
      kFormat.split(source + (row * num_units + u) * file_bytes, fields);
      store(panel, row, fields.d);
      if constexpr (kFormat.has_min) store(panel + kLayout.m_at, row, fields.m);
      if constexpr (kFormat.scale_bits > 0) pack_numbers<kDType>(fields, row, panel);
      std::byte* lines = panel + kLayout.quants_at + row * 4;
      for (int k = 0; k < kLayout.unit_cols; k += kBlockCols, lines += kLayout.block_bytes) {
        pack_quants<kDType>(fields.q + k, lines);
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
#define MK_BLOCK_FORMAT(id, ...) \
  case DType::id:                \
    return pack_blocks<DType::id>(source, num_rows, cols, panel);
#include "minke/dtype/block_formats.def"
#undef MK_BLOCK_FORMAT
    default:
      MK_CHECK(false, "pack: format {}", dtype_info(dtype).name);
  }
}

void unpack_row(const PackedView& matrix, int64_t index, std::byte* out_row) {
  auto* out = reinterpret_cast<float*>(out_row);
  if (is_block_quantized(matrix.dtype)) {
    for (int64_t k = 0; k < matrix.cols; k += kBlockCols) {
      read_row_block(matrix, index, k / kBlockCols).decode(out + k);
    }
    return;
  }
  const std::byte* panel =
      matrix.data + index / kPanelRows * packed_panel_bytes(matrix.dtype, matrix.cols);
  const int64_t row = index % kPanelRows;
  if (matrix.dtype == DType::kF64) {
    for (int64_t k = 0; k < matrix.cols; ++k) {
      store(out_row, k, load<double>(panel, k * kPanelRows + row));
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
  if (is_block_quantized(dtype)) {
    const PanelLayout& layout = panel_layout(dtype);
    return cols / layout.unit_cols * layout.unit_bytes;
  }
  return cols * kPanelRows * dtype_info(dtype).block_bytes;
}

int64_t packed_bytes(DType dtype, int64_t rows, int64_t cols) {
  return (rows + kPanelRows - 1) / kPanelRows * packed_panel_bytes(dtype, cols);
}

bool packable(DType dtype, int64_t cols) {
  constexpr DType kNever[] = {DType::kI32, DType::kI8, DType::kF8E4M3, DType::kF8E8M0};
  if (std::find(std::begin(kNever), std::end(kNever), dtype) != std::end(kNever)) return false;
  return cols > 0 && cols % dtype_info(dtype).block_size == 0;
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
