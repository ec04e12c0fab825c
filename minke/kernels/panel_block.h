#pragma once
#include "minke/kernels/panel.h"

namespace minke::kernels {

/// The layout of a block format at run time (MK_CHECK for others).
const PanelLayout& panel_layout(DType dtype);

/// 32 inputs of one row of a packed block format taken apart: input k in group g = k / group_size
/// is s[g] q[k] + t[g], see BlockFormat.
struct RowBlock {
  int q[kBlockCols];  ///< bias subtracted, table looked up
  int group_size;     ///< 16 or 32
  float s[2], t[2];   ///< of each group

  /// The inputs as numbers, rounded to f32 once.
  void decode(float* out) const;
};

/// Inputs [32 block, 32 block + 32) of a row of the matrix. The readable counterpart of what the
/// vector kernels do with panel.h's layout.
RowBlock read_row_block(const PackedView& matrix, int64_t row, int64_t block);

}  // namespace minke::kernels
