#pragma once
#include <vector>

#include "minke/nn/parameter.h"
#include "minke/nn/precision.h"

namespace minke {

/// RMSNorm that a Linear gives its inputs first; none where `weight` is null.
struct InputNorm {
  const Parameter* weight = nullptr;
  double eps = 0.0;
};

/// y = x W^T, W being the rows of one or more Parameters one after the other (several only when
/// their formats differ). The arithmetic is a property of the Linear: kInt8 quantises x once and
/// multiplies block-quantised parts in integers; kBf16 rounds x and multiplies the others with dot
/// products of bf16; the rest, and kF32, compute in f32. With an InputNorm x stands for RMSNorm(x).
class Linear {
 public:
  Linear() = default;
  Linear(std::vector<const Parameter*> parts, Precision precision, InputNorm norm = {});

  /// x [n, cols] f32 -> [n, rows]. Under a tape there must be one part and kF32.
  Tensor forward(const Context& context, const Tensor& x) const;
  /// residual + forward(context, x). Where nothing is recorded, residual's own memory may hold the
  /// sum.
  Tensor forward_add(const Context& context, const Tensor& x, const Tensor& residual) const;
  /// silu(gate) * up of forward(context, x), whose first half of the columns is the gate: [n, cols]
  /// -> [n, rows / 2].
  Tensor forward_swiglu(const Context& context, const Tensor& x) const;
  int64_t rows() const { return rows_; }
  int64_t cols() const { return parts_.front()->cols; }

 private:
  Tensor normed(const Context& context, const Tensor& x) const;
  void check_not_recorded(const Context& context, const Tensor& x) const;
  bool multiplies_in_int8() const;

  std::vector<const Parameter*> parts_;
  Precision precision_ = Precision::kF32;
  InputNorm norm_;
  int64_t rows_ = 0;
};

}  // namespace minke
