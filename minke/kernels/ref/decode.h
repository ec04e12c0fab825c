#pragma once
#include <cstdint>

#include "minke/kernels/panel.h"

namespace minke::kernels::ref {

/// Decodes inputs [k_begin, k_end) of the 16 rows of a panel: out[(k - k_begin) * 16 + row], T
/// float or double. k_begin must be a multiple of 32, k_end another one or the matrix's cols.
/// Elements are rounded to f32 once (f64 matrices only by a float T).
template <class T>
void decode_tile(const PackedView& matrix, int64_t panel, int64_t k_begin, int64_t k_end, T* out);

}  // namespace minke::kernels::ref
