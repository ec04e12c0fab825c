#include "minke/train/orthogonal.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "minke/kernels/matmul.h"
#include "minke/tensor/tensor.h"

namespace minke {
namespace {

constexpr float kA = 3.4445f, kB = -4.775f, kC = 2.0315f;
constexpr double kNormMin = 1e-7;
constexpr int kSteps = 5;
constexpr int64_t kChunk = 1 << 14;  // elements a thread takes at once

template <class Body>
void over_elements(const Device& device, int64_t count, const Body& body) {
  device.pool().parallel_for(count, kChunk, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) body(i);
  });
}

double frobenius_norm(const Device& device, const float* x, int64_t rows, int64_t cols) {
  std::vector<double> sums(rows);
  device.pool().parallel_for(rows, 16, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) {
      for (int64_t i = row * cols; i < (row + 1) * cols; ++i) sums[row] += double{x[i]} * x[i];
    }
  });
  double sum = 0.0;
  for (const double part : sums) sum += part;
  return std::sqrt(sum);
}

// A matrix that has been packed for products with it.
class Packed {
 public:
  Packed(const Device& device, int64_t rows, int64_t cols)
      : bytes_(Tensor::empty(device.arena(), DType::kI8,
                             {kernels::packed_bytes(DType::kF32, rows, cols)})),
        rows_(rows),
        cols_(cols) {}
  kernels::PackedView of(const Device& device, const Tensor& matrix) {
    kernels::pack(device, matrix.view().data, DType::kF32, rows_, cols_, bytes_.view().data);
    return {bytes_.view().data, DType::kF32, rows_, cols_};
  }

 private:
  Tensor bytes_;
  int64_t rows_;
  int64_t cols_;
};

}  // namespace

void orthogonalize(const Device& device, const Tensor& x) {
  MK_CHECK(x.dtype() == DType::kF32 && x.contiguous() && x.shape().num_dims() == 2,
           "orthogonalize: x {} {}", dtype_info(x.dtype()).name, x.shape().text());
  const int64_t n = x.size(0), m = x.size(1);
  const Tensor gram = Tensor::empty(device.arena(), DType::kF32, {n, n});
  const Tensor squared = Tensor::empty(device.arena(), DType::kF32, {n, n});
  const Tensor product = Tensor::empty(device.arena(), DType::kF32, {n, m});
  Packed packed_x(device, n, m), packed_gram(device, n, n);
  float* values = x.data<float>();
  const auto scale =
      static_cast<float>(1.0 / std::max(frobenius_norm(device, values, n, m), kNormMin));
  over_elements(device, n * m, [&](int64_t i) { values[i] *= scale; });
  for (int step = 0; step < kSteps; ++step) {
    const kernels::PackedView x_view = packed_x.of(device, x);
    kernels::matmul(device, x.view(), x_view, gram.view());  // X X^T
    // The Gram matrix is its own transpose, so the product with that is its square.
    kernels::matmul(device, gram.view(), packed_gram.of(device, gram), squared.view());
    const float* a = gram.data<float>();
    float* b = squared.data<float>();
    over_elements(device, n * n, [&](int64_t i) { b[i] = kB * a[i] + kC * b[i]; });
    kernels::matmul_input_grad(device, squared.view(), x_view, product.view());  // (b A + c A A) X
    const float* update = product.data<float>();
    over_elements(device, n * m, [&](int64_t i) { values[i] = kA * values[i] + update[i]; });
  }
}

}  // namespace minke
