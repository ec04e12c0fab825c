#pragma once
#include <cstdint>
#include <vector>

#include "minke/base/result.h"
#include "minke/format/weight_file.h"

namespace minke {

/// The size of the blocks of FP8 matrices that share a scale: DeepSeek-V3's are 128 x 128.
struct Fp8Blocks {
  int64_t rows = 0;  ///< 0: the checkpoint has no FP8
  int64_t cols = 0;
};

/// Gives each FP8 matrix NAME of `weights` (under Hugging Face's names) its scales, which lie in
/// the tensor NAME_scale_inv [ceil(rows / blocks.rows), ceil(cols / blocks.cols)], f32, f16, bf16
/// or f8_e8m0, and takes these tensors off the list. Despite their name they are multiplied by
/// (DeepSeek-V3's README_WEIGHTS). kCorrupt, naming the tensor, for a matrix without scales, scales
/// without a matrix, or another shape or format of either.
Result<void> attach_fp8_scales(std::vector<WeightInfo>& weights, const Fp8Blocks& blocks);

}  // namespace minke
