// Encoding by least squares. A group's elements x are to be near s l + t with l = q - bias whole in
// [low, high]. For given s and t the best l is the nearest; for given l the best s and t solve a
// linear system of two equations. fit_groups() alternates between the two from several starts, for
// sixteen groups at once (group_batch.h).
#include "minke/dtype/encode_blocks.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "minke/base/check.h"
#include "minke/dtype/half.h"

namespace minke {
namespace {

// Beyond what any format can hold, and small enough that sums of squares stay finite.
constexpr float kMagnitudeMax = 0x1p40f;

float finite(float x) {
  return x == x ? std::max(-kMagnitudeMax, std::min(kMagnitudeMax, x)) : 0.0f;
}

GroupBatch batch_for(const BlockFormat& format, bool weighted) {
  GroupBatch batch;
  batch.size = format.group_size;
  // 8 bits keep to -127 as every other writer does, since readers may negate the numbers.
  batch.low = static_cast<float>(format.bits == 8 ? 1 - format.bias : -format.bias);
  batch.high = static_cast<float>((1 << format.bits) - 1 - format.bias);
  batch.has_min = format.has_min;
  batch.min_below_zero = format.has_min && format.scale_bits > 0;
  batch.weighted = weighted;
  return batch;
}

// to[i][j] = from[j][i] for i < rows and j < cols, both multiples of 4; strides in floats.
void transpose(const float* from, int from_stride, int rows, int cols, float* to, int to_stride) {
  typedef float Four __attribute__((vector_size(16)));
  for (int i = 0; i < rows; i += 4) {
    for (int j = 0; j < cols; j += 4) {
      Four in[4];
      for (int k = 0; k < 4; ++k) std::memcpy(&in[k], from + (j + k) * from_stride + i, 16);
      const Four ab_low = __builtin_shufflevector(in[0], in[1], 0, 4, 1, 5);
      const Four ab_high = __builtin_shufflevector(in[0], in[1], 2, 6, 3, 7);
      const Four cd_low = __builtin_shufflevector(in[2], in[3], 0, 4, 1, 5);
      const Four cd_high = __builtin_shufflevector(in[2], in[3], 2, 6, 3, 7);
      const Four out[4] = {__builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5),
                           __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7),
                           __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5),
                           __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7)};
      for (int k = 0; k < 4; ++k) std::memcpy(to + (i + k) * to_stride + j, &out[k], 16);
    }
  }
}

// One group a lane; lanes without a group are zero.
void gather(const float* elements, int num_groups, int size, GroupBatch::Lanes* lanes) {
  alignas(64) float rows[kBatchLanes * kGroupSizeMax];
  const int count = num_groups * size;
  for (int i = 0; i < count; ++i) rows[i] = finite(elements[i]);
  std::fill(rows + count, rows + kBatchLanes * size, 0.0f);
  transpose(rows, size, size, kBatchLanes, lanes[0], kBatchLanes);
}

void store_levels(const BlockFormat& format, const GroupBatch& batch, int num_blocks,
                  BlockFields* fields) {
  alignas(64) float rows[kBatchLanes * kGroupSizeMax];
  transpose(batch.l[0], kBatchLanes, kBatchLanes, batch.size, rows, batch.size);
  // l + bias + 2^23 has the whole number in its low bits.
  const float shift = static_cast<float>(format.bias) + 0x1p23f;
  for (int b = 0; b < num_blocks; ++b) {
    const float* l = rows + b * format.block_size;
    for (int i = 0; i < format.block_size; ++i) {
      fields[b].q[i] = static_cast<uint8_t>(std::bit_cast<uint32_t>(l[i] + shift));
    }
  }
}

// Moves each group down to begin at 0, so that what matters of x is not lost in its distance from
// 0.
void subtract_lowest(GroupBatch& batch, float* lowest) {
  std::copy_n(batch.x[0], kBatchLanes, lowest);
  for (int i = 1; i < batch.size; ++i) {
    for (int j = 0; j < kBatchLanes; ++j) lowest[j] = std::min(lowest[j], batch.x[i][j]);
  }
  for (int i = 0; i < batch.size; ++i) {
    for (int j = 0; j < kBatchLanes; ++j) batch.x[i][j] -= lowest[j];
  }
}

// d and m are one group's own: the fit, rounded to f16.
void encode_single(const GroupKernels& kernels, GroupBatch& batch, BlockFields* fields) {
  if (batch.has_min) {
    float lowest[kBatchLanes];
    subtract_lowest(batch, lowest);
    kernels.fit_groups(batch);
    for (int j = 0; j < kBatchLanes; ++j) {
      fields[j].m = finite_f16(lowest[j] + batch.t[j]);
      batch.t[j] = f16_to_f32(fields[j].m) - lowest[j];
    }
    kernels.round_groups(batch);  // for the best s beside the rounded t
    for (int j = 0; j < kBatchLanes; ++j) {
      if (!(batch.sum_ll[j] > 0.0f)) continue;
      batch.s[j] = (batch.sum_xl[j] - batch.t[j] * batch.sum_l[j]) / batch.sum_ll[j];
    }
  } else {
    kernels.fit_groups(batch);
  }
  for (int j = 0; j < kBatchLanes; ++j) {
    fields[j].d = finite_f16(batch.s[j]);
    batch.s[j] = f16_to_f32(fields[j].d);
  }
  kernels.round_groups(batch);
}

}  // namespace

uint16_t finite_f16(float x) { return f32_to_f16(std::max(-65504.0f, std::min(65504.0f, x))); }

void encode_blocks_with(const GroupKernels& kernels, const BlockFormat& format, const float* values,
                        const float* weights, int64_t num_blocks, std::byte* blocks) {
  MK_CHECK(format.join != nullptr, "encode: minke does not write {}",
           dtype_info(format.dtype).name);
  const int block_bytes = dtype_info(format.dtype).block_bytes;
  const int blocks_a_batch = kBatchLanes / format.num_groups();
  GroupBatch batch = batch_for(format, weights != nullptr);
  BlockFields fields[kBatchLanes];
  for (int64_t begin = 0; begin < num_blocks; begin += blocks_a_batch) {
    const int count = static_cast<int>(std::min<int64_t>(blocks_a_batch, num_blocks - begin));
    const int num_groups = count * format.num_groups();
    const int64_t first = begin * format.block_size;
    gather(values + first, num_groups, batch.size, batch.x);
    if (weights != nullptr) gather(weights + first, num_groups, batch.size, batch.weight);
    if (format.scale_bits == 0) {
      encode_single(kernels, batch, fields);
    } else {
      encode_grouped(kernels, format, batch, count, fields);
    }
    store_levels(format, batch, count, fields);
    for (int b = 0; b < count; ++b) format.join(fields[b], blocks + (begin + b) * block_bytes);
  }
}

void encode_blocks(const BlockFormat& format, const float* values, const float* weights,
                   int64_t num_blocks, std::byte* blocks) {
  const GroupKernels* kernels = group_kernels().rows;
  while (!kernels->is_supported()) ++kernels;
  encode_blocks_with(*kernels, format, values, weights, num_blocks, blocks);
}

}  // namespace minke
