#pragma once
#include <cstdint>

#include "minke/tensor/device.h"
#include "minke/tensor/view.h"

namespace minke::kernels {

// Kernels that go through rows once. All are f32 or f64 (all views of a call alike), parallel over
// rows or over columns, and give the same bits for any number of threads and rows.

/// y = a + b. y may be a or b.
void add(const Device& device, const ConstView& a, const ConstView& b, const View& y);

/// y = x + row, the same one for all rows: [1, cols]. y may be x.
void add_row(const Device& device, const ConstView& x, const ConstView& row, const View& y);
/// row [1, cols] (overwritten) = sum over x's rows, in order.
void sum_rows(const Device& device, const ConstView& x, const View& row);

/// y = x * w / sqrt(mean(x^2) + eps) for each row (RMSNorm; Zhang and Sennrich 2019). w: [1, cols];
/// or of a part of x's columns, and then each such group of columns by itself (heads).
void rms_norm(const Device& device, const ConstView& x, const ConstView& w, double eps,
              const View& y);
/// Its gradients; dx and dw ([1, cols]) are overwritten. dw sums over rows in order.
void rms_norm_grad(const Device& device, const ConstView& x, const ConstView& w, double eps,
                   const ConstView& dy, const View& dx, const View& dw);

/// y = (x - mean) / sqrt(variance + eps) * w + b for each row, the variance being the mean square
/// of x - mean (LayerNorm; Ba et al. 2016). w, b: [1, cols]; b may have no data: no bias.
void layer_norm(const Device& device, const ConstView& x, const ConstView& w, const ConstView& b,
                double eps, const View& y);
/// Its gradients; dx, dw and db (which may have no data) are overwritten. dw and db sum over rows
/// in order.
void layer_norm_grad(const Device& device, const ConstView& x, const ConstView& w, double eps,
                     const ConstView& dy, const View& dx, const View& dw, const View& db);

/// GELU (Hendrycks and Gimpel 2016), x Phi(x), or its approximation by a tanh (GPT-2).
enum class GeluForm { kErf, kTanh };
/// y may be x. In f32 Phi is within 2e-7.
void gelu(const Device& device, const ConstView& x, GeluForm form, const View& y);
/// dx = dy * the derivative at x. dx may be dy.
void gelu_grad(const Device& device, const ConstView& x, const ConstView& dy, GeluForm form,
               const View& dx);

/// y = silu(gate) * up, silu(g) = g / (1 + exp(-g)): gate_up [n, 2 f] holds gate, then up; y [n,
/// f].
void swiglu(const Device& device, const ConstView& gate_up, const View& y);
void swiglu_grad(const Device& device, const ConstView& gate_up, const ConstView& dy,
                 const View& d_gate_up);

/// Which elements of a head rope rotates together.
enum class RopeStyle {
  kInterleaved,  ///< (2i, 2i+1): GGUF's llama, DeepSeek
  kHalf,         ///< (i, i + head_dim/2): GPT-NeoX, Qwen2
};
struct RopeArgs {
  const int32_t* positions = nullptr;  ///< one a row
  const float* cos_sin = nullptr;  ///< [positions, head_dim]: head_dim/2 cosines, then the sines
  int64_t head_dim = 0;
  RopeStyle style = RopeStyle::kInterleaved;
  bool inverse = false;   ///< rotate backwards: the gradient of rope
  int64_t head_size = 0;  ///< columns of a head, of which the last head_dim are rotated and the
                          ///< others copied (DeepSeek's MLA); 0: head_dim
};
/// Rotates the pairs of each head by its row's position (RoFormer, eq. 34). x, y: [n, heads *
/// head_size]. y may be x.
void rope(const Device& device, const ConstView& x, const RopeArgs& args, const View& y);

/// d_table (row-major [vocab, cols], overwritten) = sum over i of dy[i] at row ids[i], in order.
void embedding_grad(const Device& device, const ConstView& dy, const int32_t* ids,
                    const View& d_table);

/// losses[i] = logsumexp(logits[i]) - logits[i, targets[i]]; 0 where the target is negative
/// (ignored).
void cross_entropy(const Device& device, const ConstView& logits, const int32_t* targets,
                   const View& losses);
/// d_logits[i] = (softmax(logits[i]) - onehot) * scales[i], 0 for ignored rows. May be logits.
/// `scales` has the shape of cross_entropy()'s losses.
void cross_entropy_grad(const Device& device, const ConstView& logits, const int32_t* targets,
                        const ConstView& scales, const View& d_logits);

}  // namespace minke::kernels
