#pragma once
#include <cstdint>
#include <vector>

#include "minke/tensor/tensor.h"

namespace minke {

/// The cosines and sines of rotary embedding for positions 0 .. num_positions - 1: row p holds
/// head_dim/2 cosines, then as many sines, of p * theta^(-2i / head_dim) (RoFormer, eq. 15).
/// Frequencies and angles are rounded to f32 first, as transformers does, so that the two agree.
Tensor rope_table(int64_t num_positions, int64_t head_dim, double theta);

}  // namespace minke
