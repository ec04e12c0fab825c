#pragma once
#include <cstddef>
#include <cstdint>

#include "minke/dtype/block_format.h"
#include "minke/dtype/group_batch.h"

// Between the files of encoding, and for their tests; others call encode_blocks() (block_format.h).
namespace minke {

/// encode_blocks() with a given row of group_kernels().
void encode_blocks_with(const GroupKernels& kernels, const BlockFormat& format, const float* values,
                        const float* weights, int64_t num_blocks, std::byte* blocks);

/// Seeks d, m and the groups' whole numbers of the first `num_blocks` blocks in the batch, whose
/// groups share d and m; puts them into `fields` and leaves the levels in the batch.
void encode_grouped(const GroupKernels& kernels, const BlockFormat& format, GroupBatch& batch,
                    int num_blocks, BlockFields* fields);

/// f16 bits, kept finite: an infinite scale would decode to NaN.
uint16_t finite_f16(float x);

}  // namespace minke
