#pragma once
#include <span>

#include "minke/kernels/packed.h"

namespace minke::kernels {

/// y = x W^T in floating point: x [n, cols], w packed [rows, cols] of any format, y [n, rows].
/// x and y are f32, or f64 with an f64 matrix. Each weight is decoded to f32 in registers; each
/// output is one chain of fused multiply-adds over the inputs in order, so its bits do not depend
/// on n, the tiling or the threads. y must not overlap x. Cost: 2 n rows cols flops.
void matmul(const Device& device, const ConstView& x, const PackedView& w, const View& y);

/// Rounds f32 `x` to nearest even as bf16: out [x.rows, x.cols] bf16. Numbers below 2^-126 may
/// become 0 (vcvtne2ps2bf16).
void round_bf16(const Device& device, const ConstView& x, const View& out);

/// y = x W^T with x and W as bf16, pairs of products added to an f32 sum in the order of the
/// inputs: x [n, cols] bf16 with an even number of cols, w of f32, f16 (both rounded to bf16) or
/// bf16, y f32 [n, rows]. The bits do not depend on n, the tiling or the threads, but on the CPU:
/// instructions round a pair's sum once or twice and take denormal numbers as 0. Without such
/// instructions it is very slow (Device::has_bf16).
void matmul_bf16(const Device& device, const ConstView& x, const PackedView& w, const View& y);

/// Quantises rows of f32 `x`, rounding to nearest even, by max|x| / 127 in each block of 32; with
/// out.q_low the remainder, too, by a 128th of that.
/// x.cols must be a multiple of 32.
void quantize_int8(const Device& device, const ConstView& x, const Int8View& out);
/// The same of rms_norm(x, w, eps) (pointwise.h), row by row without storing it.
void rms_norm_quantize_int8(const Device& device, const ConstView& x, const ConstView& w,
                            double eps, const Int8View& out);

/// y = x W^T with integer products: w must be a block format. Inside a group of inputs that share a
/// weight scale s and minimum t (BlockFormat) the sum of w (q - bias) is an exact int32; over the
/// groups, in order, y = fma(dot, s * scale, y), then fma(t, scale * sum of w, y) where there is a
/// minimum. The bits do not depend on x.rows, the tiling, the threads or the instruction set. y is
/// f32 [x.rows, w.rows].
void matmul_int8(const Device& device, const Int8View& x, const PackedView& w, const View& y);
/// y = y + x W^T with the same products: a residual stream.
void matmul_int8_add(const Device& device, const Int8View& x, const PackedView& w, const View& y);

/// y = silu(x G^T) * (x U^T) (SwiGLU; Shazeer 2020), w [2 y.cols, cols] holding the rows of G, then
/// those of U. The bits are those of matmul_int8, then swiglu (pointwise.h), but the products of a
/// prompt need not go to memory.
void matmul_int8_swiglu(const Device& device, const Int8View& x, const PackedView& w,
                        const View& y);

/// Rows of x that are multiplied by a matrix of their own.
struct MatmulGroup {
  PackedView w;
  int64_t num_rows = 0;
};
/// matmul_int8 and matmul_int8_swiglu of groups of rows, which follow one another in x and y: the
/// experts of a layer, or the heads. The same bits as one call each; the threads share all groups'
/// panels, and each matrix is read once. The matrices have the same rows and cols, but not
/// necessarily the same format.
void matmul_int8_grouped(const Device& device, const Int8View& x,
                         std::span<const MatmulGroup> groups, const View& y);
void matmul_int8_swiglu_grouped(const Device& device, const Int8View& x,
                                std::span<const MatmulGroup> groups, const View& y);

/// dx = dy W: dy [n, rows], dx [n, cols], in f32 for matrices of any format, or in f64: the input's
/// gradient of matmul. Each element is one chain of fused multiply-adds over the outputs in order
/// (ref: not fused), whatever n, the tiling or the threads.
void matmul_input_grad(const Device& device, const ConstView& dy, const PackedView& w,
                       const View& dx);

/// dW = dy^T x in the packed layout of an f32 (f64) matrix [rows, cols]: the weight's gradient of
/// matmul; with `add` it is added to what is there. Padding rows become (or stay) 0. Each element
/// is one chain over the n rows in order, as above, so adding micro-batches one after the other
/// gives the bits of their batch.
void matmul_weight_grad(const Device& device, const ConstView& dy, const ConstView& x, bool add,
                        std::byte* packed_dw);

}  // namespace minke::kernels
