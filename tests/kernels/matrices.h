#pragma once
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "minke/base/random.h"
#include "minke/dtype/block_format.h"
#include "minke/dtype/half.h"
#include "minke/kernels/packed.h"
#include "minke/tensor/tensor.h"
#include "tests/base/checked_build.h"

// Random matrices for the tests of kernels.
namespace minke {

inline constexpr DType kBlockDTypes[] = {
#define MK_BLOCK_FORMAT(id, ...) DType::id,
#include "minke/dtype/block_formats.def"
#undef MK_BLOCK_FORMAT
};
inline constexpr DType kWeightFormats[] = {
#define MK_BLOCK_FORMAT(id, ...) DType::id,
#include "minke/dtype/block_formats.def"
#undef MK_BLOCK_FORMAT
    DType::kF32, DType::kF16, DType::kBf16};

/// [rows, cols] of normal numbers, f32 or f64.
inline Tensor random_matrix(Random& random, DType dtype, int64_t rows, int64_t cols,
                            double scale = 1.0) {
  const Tensor x = Tensor::zeros(dtype, {rows, cols});
  for (int64_t i = 0; i < x.num_elements(); ++i) {
    const double value = scale * random.normal();
    if (dtype == DType::kF64) {
      x.data<double>()[i] = value;
    } else {
      x.data<float>()[i] = static_cast<float>(value);
    }
  }
  return x;
}

inline Tensor to_f64(const Tensor& x) {
  const Tensor y = Tensor::zeros(DType::kF64, x.shape());
  for (int64_t i = 0; i < x.num_elements(); ++i) y.data<double>()[i] = x.data<float>()[i];
  return y;
}

/// The first byte that differs, or -1. Bits are compared, so NaN equals NaN.
inline int64_t first_difference(const Tensor& a, const Tensor& b) {
  const int64_t bytes = dtype_bytes(a.dtype(), a.num_elements());
  if (std::memcmp(a.view().data, b.view().data, static_cast<size_t>(bytes)) == 0) return -1;
  for (int64_t i = 0; i < bytes; ++i) {
    if (a.view().data[i] != b.view().data[i]) return i;
  }
  return -1;
}

/// A weight matrix as its file would hold it, packed, and as the numbers it means.
struct RandomWeight {
  DType dtype;
  int64_t rows, cols;
  std::vector<std::byte> file;    ///< row-major
  std::vector<std::byte> packed;  ///< in panels
  std::vector<double> values;     ///< row-major, decoded by the format's own decoder

  kernels::PackedView view() const { return {packed.data(), dtype, rows, cols}; }
};

/// Columns of `blocks` blocks of the format, of 32 for a format without.
inline int64_t width(DType dtype, int64_t blocks) {
  return blocks * std::max(32, dtype_info(dtype).block_size);
}

/// Where a block has f16 numbers.
inline std::vector<size_t> half_offsets(DType dtype) {
  switch (dtype) {
    case DType::kQ2_K:
      return {80, 82};
    case DType::kQ3_K:
      return {108};
    case DType::kQ6_K:
      return {208};
    default:
      return block_format(dtype).has_min ? std::vector<size_t>{0, 2} : std::vector<size_t>{0};
  }
}

/// Blocks of random bytes, so that every number that the format can hold occurs, with scales that
/// keep the weights near 1.
inline void random_blocks(Random& random, DType dtype, std::vector<std::byte>& blocks) {
  const BlockFormat& format = block_format(dtype);
  const auto block_bytes = static_cast<size_t>(dtype_info(dtype).block_bytes);
  const int largest = 1 << (format.bits + format.scale_bits - 1);
  for (std::byte& b : blocks) b = static_cast<std::byte>(random.next());
  const auto set_half = [](std::byte* block, size_t at, double value) {
    const uint16_t half = f32_to_f16(static_cast<float>(value));
    std::memcpy(block + at, &half, 2);
  };
  for (size_t at = 0; at < blocks.size(); at += block_bytes) {
    for (const size_t offset : half_offsets(dtype)) {
      set_half(&blocks[at], offset, random.normal() / (format.uses_table ? 100 : 1) / largest);
    }
  }
}

/// Fills in what a weight's file bytes mean, and its panels.
inline void pack_weight(const Device& device, RandomWeight& weight) {
  const int64_t count = weight.rows * weight.cols;
  weight.values.resize(count);
  if (weight.dtype == DType::kF64) {
    std::memcpy(weight.values.data(), weight.file.data(), weight.file.size());
  } else {
    const DTypeInfo& info = dtype_info(weight.dtype);
    std::vector<float> decoded(count);
    info.decode(weight.file.data(), count / info.block_size, decoded.data());
    weight.values.assign(decoded.begin(), decoded.end());
  }
  // 0xEE everywhere, so that what pack() leaves out shows.
  weight.packed.assign(kernels::packed_bytes(weight.dtype, weight.rows, weight.cols),
                       std::byte{0xEE});
  kernels::pack(device, weight.file.data(), weight.dtype, weight.rows, weight.cols,
                weight.packed.data());
}

/// Sets every byte of a block-quantised weight's blocks, and their f16 numbers to 0.01.
inline void fill_blocks(const Device& device, RandomWeight& weight, std::byte byte) {
  std::fill(weight.file.begin(), weight.file.end(), byte);
  const uint16_t half = f32_to_f16(0.01f);
  const auto block_bytes = static_cast<size_t>(dtype_info(weight.dtype).block_bytes);
  for (size_t at = 0; at < weight.file.size(); at += block_bytes) {
    for (const size_t offset : half_offsets(weight.dtype)) {
      std::memcpy(&weight.file[at + offset], &half, 2);
    }
  }
  pack_weight(device, weight);
}

inline RandomWeight random_weight(const Device& device, Random& random, DType dtype, int64_t rows,
                                  int64_t cols) {
  RandomWeight weight{dtype, rows, cols, {}, {}, {}};
  const int64_t count = rows * cols;
  weight.file.resize(dtype_bytes(dtype, count));
  if (is_block_quantized(dtype)) {
    random_blocks(random, dtype, weight.file);
  } else {
    const bool f64 = dtype == DType::kF64;
    const Tensor plain = random_matrix(random, f64 ? dtype : DType::kF32, rows, cols, 0.5);
    if (f64) {
      std::memcpy(weight.file.data(), plain.data<double>(), weight.file.size());
    } else {
      dtype_info(dtype).encode(plain.data<float>(), count, weight.file.data());
    }
  }
  pack_weight(device, weight);
  return weight;
}

}  // namespace minke
