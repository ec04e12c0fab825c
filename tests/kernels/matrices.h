#pragma once
#include <cmath>
#include <cstring>
#include <vector>

#include "minke/base/random.h"
#include "minke/dtype/dtype.h"
#include "minke/dtype/half.h"
#include "minke/kernels/packed.h"
#include "minke/tensor/tensor.h"

// Random matrices for the tests of kernels.
namespace minke {

inline constexpr DType kWeightFormats[] = {DType::kF32,  DType::kF16,  DType::kBf16,
                                           DType::kQ4_0, DType::kQ4_1, DType::kQ8_0};

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

inline RandomWeight random_weight(const Device& device, Random& random, DType dtype, int64_t rows,
                                  int64_t cols) {
  RandomWeight weight{dtype, rows, cols, {}, {}, {}};
  const int64_t count = rows * cols;
  weight.file.resize(dtype_bytes(dtype, count));
  weight.values.resize(count);
  const Tensor plain =
      random_matrix(random, dtype == DType::kF64 ? DType::kF64 : DType::kF32, rows, cols, 0.5);
  if (dtype == DType::kF64) {
    std::memcpy(weight.file.data(), plain.data<double>(), weight.file.size());
    std::memcpy(weight.values.data(), plain.data<double>(), weight.file.size());
  } else {
    const DTypeInfo& info = dtype_info(dtype);
    std::vector<float> decoded(count);
    info.encode(plain.data<float>(), count / info.block_size, weight.file.data());
    info.decode(weight.file.data(), count / info.block_size, decoded.data());
    weight.values.assign(decoded.begin(), decoded.end());
  }
  // 0xEE everywhere, so that what pack() leaves out shows.
  weight.packed.assign(kernels::packed_bytes(dtype, rows, cols), std::byte{0xEE});
  kernels::pack(device, weight.file.data(), dtype, rows, cols, weight.packed.data());
  return weight;
}

}  // namespace minke
