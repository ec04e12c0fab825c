#pragma once
#include <cstdint>

#include "minke/tensor/device.h"
#include "minke/tensor/view.h"

namespace minke::kernels {

/// The heads of multi-head latent attention (MLA; arXiv 2405.04434, 2.1): keys are nope_dim numbers
/// of their own and rope_dim that all heads share, values value_dim.
struct MlaShape {
  int64_t num_heads = 0;
  int64_t nope_dim = 0;
  int64_t rope_dim = 0;
  int64_t value_dim = 0;

  int64_t key_dim() const { return nope_dim + rope_dim; }
  int64_t expanded_dim() const { return nope_dim + value_dim; }
};

/// From the latent's expansion kv [n, heads * (nope_dim + value_dim)] and the rotated k_rope [n,
/// rope_dim]: keys [n, heads * (nope_dim + rope_dim)].
void mla_keys(const Device& device, const ConstView& kv, const ConstView& k_rope,
              const MlaShape& shape, const View& keys);
/// And values [n, heads * value_dim].
void mla_values(const Device& device, const ConstView& kv, const MlaShape& shape,
                const View& values);
/// Their gradients, overwritten: d_kv is zero where the other op reads; d_k_rope sums over heads in
/// order.
void mla_keys_grad(const Device& device, const ConstView& d_keys, const MlaShape& shape,
                   const View& d_kv, const View& d_k_rope);
void mla_values_grad(const Device& device, const ConstView& d_values, const MlaShape& shape,
                     const View& d_kv);

/// For products with a matrix of each head: columns [begin, begin + y.cols) of every head of x [n,
/// num_heads * d] as rows, head after head: y [num_heads * n, w].
void heads_to_rows(const Device& device, const ConstView& x, int64_t num_heads, int64_t begin,
                   const View& y);
/// And back: x [num_heads * n, w] into columns [begin, begin + x.cols) of every head of y [n,
/// num_heads * d], whose other columns stay.
void rows_to_heads(const Device& device, const ConstView& x, int64_t num_heads, int64_t begin,
                   const View& y);

}  // namespace minke::kernels
