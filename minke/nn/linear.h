#pragma once
#include <vector>

#include "minke/autograd/recompute.h"
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
/// What adapters add to the Parameters (Lora) joins the product, computed in f32 in every
/// precision, before anything else is done with it.
class Linear {
 public:
  Linear() = default;
  Linear(std::vector<const Parameter*> parts, Precision precision, InputNorm norm = {});

  /// Adds the addend of an adapter; its rows count from the first of all.
  void add_lora(const Lora& lora);

  /// x [n, cols] f32 -> [n, rows]. Where something is recorded it must be kF32.
  Tensor forward(const Context& context, const Tensor& x) const;
  /// forward() of the tensor that `make` computes, which backward makes again where
  /// context.remakes_inputs and the arithmetic allow; so does forward() with an InputNorm. The
  /// Linear must stay where it is until then.
  Tensor forward_made(const Context& context, const RecomputedFn& make) const;
  /// residual + forward(context, x). Where nothing is recorded, residual's own memory may hold the
  /// sum.
  Tensor forward_add(const Context& context, const Tensor& x, const Tensor& residual) const;
  /// silu(gate) * up of forward(context, x), whose first half of the columns is the gate: [n, cols]
  /// -> [n, rows / 2].
  Tensor forward_swiglu(const Context& context, const Tensor& x) const;
  /// ops::cross_entropy() and ops::log_probs() of forward(), which need not be stored whole.
  Tensor cross_entropy(const Context& context, const Tensor& x, std::span<const int32_t> targets,
                       double divisor) const;
  Tensor log_probs(const Context& context, const Tensor& x, std::span<const int32_t> targets) const;
  /// Columns [begin, end) of forward(), of one part; begin a multiple of 16.
  Tensor forward_rows(const Context& context, const Tensor& x, int64_t begin, int64_t end) const;
  /// Has weights that lie on disk read soon; for those in memory nothing.
  void will_read() const;
  int64_t rows() const { return rows_; }
  int64_t cols() const { return parts_.front()->cols; }

  /// forward() and forward_swiglu() of groups of rows, which follow one another in x and in the
  /// result: group g has group_rows[g] > 0 of them and linears[g]. The Linears are of one shape and
  /// precision and have no InputNorm. Integer products of all groups are one (MatmulGroup).
  static Tensor forward_grouped(const Context& context, const Tensor& x,
                                const std::vector<const Linear*>& linears,
                                const std::vector<int64_t>& group_rows);
  static Tensor forward_swiglu_grouped(const Context& context, const Tensor& x,
                                       const std::vector<const Linear*>& linears,
                                       const std::vector<int64_t>& group_rows);

 private:
  Tensor normed(const Context& context, const Tensor& x) const;
  Tensor product(const Context& context, const Tensor& x) const;
  bool fuses_in_int8() const { return multiplies_in_int8() && loras_.empty(); }
  void check_not_recorded(const Context& context, const Tensor& x) const;
  bool records_inputs() const { return parts_.front()->inputs != nullptr; }
  bool multiplies_in_int8() const;
  bool multiplies_in_f32() const;
  bool multiplies_parts_in_f32() const;
  bool remakes(const Context& context) const;
  static Tensor product_grouped(const Context& context, const Tensor& x,
                                const std::vector<const Linear*>& linears,
                                const std::vector<int64_t>& group_rows);
  static bool all(const std::vector<const Linear*>& linears, bool (Linear::*holds)() const);
  template <class Multiply>
  static Tensor int8_grouped(const Context& context, const Tensor& x,
                             const std::vector<const Linear*>& linears,
                             const std::vector<int64_t>& group_rows, int64_t cols,
                             const Multiply& multiply);

  std::vector<const Parameter*> parts_;
  std::vector<Lora> loras_;
  Precision precision_ = Precision::kF32;
  InputNorm norm_;
  int64_t rows_ = 0;
};

/// residual + down(silu(gate) * up), gate and up being the halves of gate_up(x). Where nothing is
/// recorded, residual's own memory may hold the sum.
Tensor swiglu_feed_forward(const Context& context, const Tensor& x, const Linear& gate_up,
                           const Linear& down, const Tensor& residual);

}  // namespace minke
