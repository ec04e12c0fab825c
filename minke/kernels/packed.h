#pragma once
#include <cstddef>
#include <cstdint>

#include "minke/kernels/panel.h"
#include "minke/tensor/device.h"
#include "minke/tensor/view.h"

namespace minke::kernels {

/// Bytes of one panel and of the whole packed matrix.
int64_t packed_panel_bytes(DType dtype, int64_t cols);
int64_t packed_bytes(DType dtype, int64_t rows, int64_t cols);
/// True when a matrix of this format and width can be packed (block formats: whole blocks).
bool packable(DType dtype, int64_t cols);

/// Packs panels from row-major file bytes (`source`: rows x cols in `dtype`) into `packed`
/// (packed_bytes() long). Parallel over panels.
void pack(const Device& device, const std::byte* source, DType dtype, int64_t rows, int64_t cols,
          std::byte* packed);

/// Decodes rows to f32 (f64 for an f64 matrix): out[i, :] = row row_indices[i]. Indices must be in
/// range. The embedding's lookup, and with all rows the inverse of pack().
void unpack_rows(const Device& device, const PackedView& matrix, const int32_t* row_indices,
                 int64_t num_indices, const View& out);

}  // namespace minke::kernels
