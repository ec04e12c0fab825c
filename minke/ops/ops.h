#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "minke/autograd/context.h"
#include "minke/kernels/mla.h"
#include "minke/kernels/moe.h"
#include "minke/kernels/packed.h"
#include "minke/kernels/pointwise.h"

namespace minke::ops {

// Differentiable functions. Each takes a Context, computes at once, and records itself when the
// context has a tape and an input has a name on it. Shapes: n rows (tokens), f32 (or f64 in
// gradient checks).

/// a + b, shapes equal.
Tensor add(const Context& context, const Tensor& a, const Tensor& b);

/// x + row, a bias: x [n, d], row [d] -> [n, d].
Tensor add_row(const Context& context, const Tensor& x, const Tensor& row);

/// y [n, d] with scale * block [m, e] added to its part that begins at (row, column). Where nothing
/// is recorded, y's own memory holds the sum.
Tensor add_block(const Context& context, const Tensor& y, const Tensor& block, int64_t row,
                 int64_t column, double scale);

/// RMSNorm over the last dimension, or over each d of it (heads): x [n, g d], weight [d] -> [n, g
/// d].
Tensor rms_norm(const Context& context, const Tensor& x, const Tensor& weight, double eps);

/// LayerNorm over the last dimension: x [n, d], weight [d], bias [d] or undefined -> [n, d].
Tensor layer_norm(const Context& context, const Tensor& x, const Tensor& weight, const Tensor& bias,
                  double eps);

/// GELU of each element.
Tensor gelu(const Context& context, const Tensor& x, kernels::GeluForm form);

/// silu(gate) * up: gate_up [n, 2 f] -> [n, f].
Tensor swiglu(const Context& context, const Tensor& gate_up);

/// Rotary embedding of x [n, heads * head_dim] at `args.positions` (which must live until
/// backward).
Tensor rope(const Context& context, const Tensor& x, const kernels::RopeArgs& args);

/// Columns [begin, end) of x as a tensor of its own on the tape; shares x's memory.
Tensor columns(const Context& context, const Tensor& x, int64_t begin, int64_t end);

/// a beside b, rows alike: [n, a's columns + b's columns].
Tensor concat_columns(const Context& context, const Tensor& a, const Tensor& b);

/// A weight matrix in the packed layout (kernels/packed.h), as ops see it: `storage` is a flat
/// tensor of the matrix's dtype (f32/f64: [panels * cols * 16], may be watched by a tape), or i8
/// bytes for frozen formats.
struct Weight {
  Tensor storage;
  DType dtype = DType::kF32;
  int64_t rows = 0;  ///< outputs
  int64_t cols = 0;  ///< inputs
  kernels::PackedView view() const { return {storage.view().data, dtype, rows, cols}; }
};

/// x W^T in floating point: x [n, cols] -> [n, rows]; gradients to x (if f32/f64 weights) and W.
Tensor linear(const Context& context, const Tensor& x, const Weight& weight);

/// linear() of a result that is known: only records what gives the gradients (recompute_of()). y
/// has the result's shape, its values are not read.
Tensor record_linear(const Context& context, const Tensor& x, const Weight& weight,
                     const Tensor& y);

/// linear() of groups of rows, which follow one another in x and in the result: group g has
/// group_rows[g] of them and the matrix weights[g]. The matrices are of one shape and format.
Tensor linear_grouped(const Context& context, const Tensor& x, const std::vector<Weight>& weights,
                      const std::vector<int64_t>& group_rows);

/// Rows `ids` of the table: [ids.size(), cols]. Gradient to f32/f64 tables.
Tensor embedding(const Context& context, const Weight& table, std::span<const int32_t> ids);

/// Causal self-attention over whole sequences, which follow one another in the rows: q [n, heads *
/// d], k [n, kv_heads * d], v [n, kv_heads * e] -> [n, heads * e]. The forward is the same paged
/// kernel that serving uses (pages of f32 built for the call), so the bits are the same.
struct AttentionShape {
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;
  int64_t seq_len = 0;    ///< rows of each sequence
  int64_t value_dim = 0;  ///< e; 0: head_dim
  double scale = 0.0;     ///< of the scores; 0: 1 / sqrt(head_dim)
  /// Where given, rows of each sequence instead of seq_len; n in all. Read during the call only.
  std::span<const int32_t> lengths = {};

  int64_t value_size() const { return value_dim > 0 ? value_dim : head_dim; }
  double score_scale() const;
};
Tensor attention(const Context& context, const Tensor& q, const Tensor& k, const Tensor& v,
                 const AttentionShape& shape);

/// The keys and the values of MLA's expanded form, see kernels/mla.h.
Tensor mla_keys(const Context& context, const Tensor& kv, const Tensor& k_rope,
                const kernels::MlaShape& shape);
Tensor mla_values(const Context& context, const Tensor& kv, const kernels::MlaShape& shape);

/// Which experts a row goes to, see kernels/moe.h.
struct Routing {
  std::vector<int32_t> ids;  ///< [n * top_k]
  Tensor weights;            ///< [n, top_k]
};
/// `args.bias` must live until backward.
Routing route(const Context& context, const Tensor& logits, const kernels::RouteArgs& args);
/// Rows `rows` of x: [rows.size(), cols].
Tensor gather_rows(const Context& context, const Tensor& x, std::span<const int32_t> rows);
/// y[t] = sum over k of weights[t, k] x[slots[t * top_k + k]]; each row of x in one slot.
Tensor combine_rows(const Context& context, const Tensor& x, std::span<const int32_t> slots,
                    const Tensor& weights);

/// -sum of ln p(target) over the rows whose target is >= 0, divided by `divisor`: logits [n, vocab]
/// -> scalar [1]. Without a divisor the mean of those rows.
Tensor cross_entropy(const Context& context, const Tensor& logits, std::span<const int32_t> targets,
                     double divisor);
Tensor cross_entropy(const Context& context, const Tensor& logits,
                     std::span<const int32_t> targets);
/// ln p(target) of each row, 0 where the target is < 0: logits [n, vocab] -> [n].
Tensor log_probs(const Context& context, const Tensor& logits, std::span<const int32_t> targets);
/// The same two of logits = linear(x, weight), which are never there for all rows: the same bits in
/// a small part of the memory. Gradients to x and, where it is on the tape, the weight.
Tensor linear_cross_entropy(const Context& context, const Tensor& x, const Weight& weight,
                            std::span<const int32_t> targets, double divisor);
Tensor linear_log_probs(const Context& context, const Tensor& x, const Weight& weight,
                        std::span<const int32_t> targets);

}  // namespace minke::ops
