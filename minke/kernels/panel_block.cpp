#include "minke/kernels/panel_block.h"

#include <cstring>

#include "minke/base/check.h"
#include "minke/dtype/half.h"

namespace minke::kernels {
namespace {

constexpr PanelLayout kLayouts[] = {
#define MK_BLOCK_FORMAT(id, ...) panel_layout_of(block_format_of(DType::id)),
#include "minke/dtype/block_formats.def"
#undef MK_BLOCK_FORMAT
};

int byte_of(const std::byte* data, int64_t index) { return static_cast<int>(data[index]); }

float half_of(const std::byte* data, int64_t index) {
  uint16_t bits;
  std::memcpy(&bits, data + 2 * index, 2);
  return f16_to_f32(bits);
}

// Number j of the unit's small numbers.
int small_number(const std::byte* unit, const BlockFormat& format, const PanelLayout& layout,
                 int row, int j) {
  const std::byte* low = unit + layout.numbers_at;
  if (format.scale_bits == 8) return byte_of(low, j * kPanelRows + row);
  const int number = byte_of(low, j / 2 * kPanelRows + row) >> (j % 2 * 4) & 15;
  if (format.scale_bits == 4) return number;
  const int high = byte_of(unit + layout.high_numbers_at, j / 4 * kPanelRows + row);
  return number | (high >> (j % 4 * 2) & 3) << 4;
}

// Input k of the lines of 32 inputs.
int quant(const std::byte* lines, const PanelLayout& layout, int row, int k) {
  const int at = row * 4 + k % 4, step = k / 4;
  const auto pair = [&](const std::byte* plane) {
    return byte_of(plane, step / 4 * kLineBytes + at) >> (step % 4 * 2) & 3;
  };
  int q = 0;
  if (layout.low_bits == 8) q = byte_of(lines, step * kLineBytes + at);
  if (layout.low_bits == 4) q = byte_of(lines, step / 2 * kLineBytes + at) >> (step % 2 * 4) & 15;
  if (layout.low_bits == 2) q = pair(lines);
  const std::byte* high = lines + layout.high_at;
  if (layout.high_bits == 1) q |= (byte_of(high, at) >> step & 1) << layout.low_bits;
  if (layout.high_bits == 2) q |= pair(high) << layout.low_bits;
  return q;
}

}  // namespace

const PanelLayout& panel_layout(DType dtype) {
  const BlockFormat& format = block_format(dtype);
  return kLayouts[&format - kBlockFormats];
}

void RowBlock::decode(float* out) const {
  for (int k = 0; k < kBlockCols; ++k) {
    const int g = k / group_size;
    out[k] = s[g] * static_cast<float>(q[k]) + t[g];
  }
}

RowBlock read_row_block(const PackedView& matrix, int64_t row, int64_t block) {
  const BlockFormat& format = block_format(matrix.dtype);
  const PanelLayout& layout = panel_layout(matrix.dtype);
  const int64_t units = matrix.cols / layout.unit_cols;
  const int64_t blocks_per_unit = layout.unit_cols / kBlockCols;
  const std::byte* unit =
      matrix.data + (row / kPanelRows * units + block / blocks_per_unit) * layout.unit_bytes;
  const int lane = static_cast<int>(row % kPanelRows);
  const int block_in_unit = static_cast<int>(block % blocks_per_unit);
  RowBlock out{};
  out.group_size = format.group_size;
  const std::byte* lines = unit + layout.quants_at + block_in_unit * layout.block_bytes;
  for (int k = 0; k < kBlockCols; ++k) {
    const int q = quant(lines, layout, lane, k);
    out.q[k] = format.uses_table ? kIq4Values[q] : q - format.bias;
  }
  const float d = half_of(unit, lane);
  const float m = format.has_min ? half_of(unit + layout.m_at, lane) : 0.0f;
  const int groups = kBlockCols / format.group_size;
  for (int g = 0; g < groups; ++g) {
    const int j = block_in_unit * groups + g;
    out.s[g] = d;
    out.t[g] = m;
    if (format.scale_bits == 0) continue;
    out.s[g] *= static_cast<float>(small_number(unit, format, layout, lane, j) - format.scale_bias);
    if (format.has_min) {
      const int min = small_number(unit, format, layout, lane, format.num_groups() + j);
      out.t[g] = -(m * static_cast<float>(min));
    }
  }
  return out;
}

}  // namespace minke::kernels
