#include "minke/kernels/matmul.h"

#include <algorithm>

#include "minke/base/check.h"
#include "minke/kernels/cpu/cpu.h"
#include "minke/kernels/implementations.h"
#include "minke/kernels/ref/ref.h"
#include "minke/tensor/tensor.h"

namespace minke::kernels {
namespace {

using MatmulFn = void(const ConstView&, const PackedView&, const View&, int64_t, int64_t,
                      std::byte*);
using MatmulInt8Fn = void(const Int8View&, const PackedView&, const View&, int64_t, int64_t,
                          std::byte*);
using QuantizeFn = void(const ConstView&, const Int8View&, int64_t, int64_t);

void ref_matmul(const ConstView& x, const PackedView& w, const View& y, int64_t begin, int64_t end,
                std::byte*) {
  ref::matmul(x, w, y, begin, end);
}
void ref_matmul_int8(const Int8View& x, const PackedView& w, const View& y, int64_t begin,
                     int64_t end, std::byte*) {
  ref::matmul_int8(x, w, y, begin, end);
}

constexpr Implementation<MatmulFn> kMatmul[] = MK_IMPLEMENTATIONS(matmul, ref_matmul);
constexpr Implementation<MatmulInt8Fn> kMatmulInt8[] =
    MK_IMPLEMENTATIONS(matmul_int8, ref_matmul_int8);
constexpr Implementation<QuantizeFn> kQuantize[] =
    MK_IMPLEMENTATIONS(quantize_int8, ref::quantize_int8);

// Panels a thread takes at a time: an even number (tiles are two panels), some eight pieces a
// thread so that a delayed thread costs an eighth of its share, but not less than ~16 KB of
// weights.
int64_t panel_grain(const Device& device, const PackedView& w) {
  const int64_t pieces = 8 * device.pool().num_threads();
  const int64_t even_share = (w.num_panels() + pieces - 1) / pieces;
  const int64_t least = 16384 / std::max<int64_t>(1, packed_panel_bytes(w.dtype, w.cols)) + 1;
  return (std::max(even_share, least) + 1) / 2 * 2;
}

template <class Body>
void over_panels(const Device& device, const PackedView& w, const Body& body) {
  const int64_t scratch_bytes = matmul_scratch_bytes(w.cols);
  const Tensor scratch =
      Tensor::empty(device.arena(), DType::kI8, {device.pool().num_threads(), scratch_bytes});
  auto* base = reinterpret_cast<std::byte*>(scratch.data<int8_t>());
  device.pool().parallel_for(w.num_panels(), panel_grain(device, w),
                             [&](int64_t begin, int64_t end, int worker) {
                               body(begin, end, base + worker * scratch_bytes);
                             });
}

}  // namespace

void matmul(const Device& device, const ConstView& x, const PackedView& w, const View& y) {
  MK_CHECK(x.cols == w.cols && y.cols == w.rows && y.rows == x.rows && x.dtype == y.dtype,
           "matmul: x [{}, {}] W [{}, {}] y [{}, {}]", x.rows, x.cols, w.rows, w.cols, y.rows,
           y.cols);
  const CpuLevel level = x.dtype == DType::kF32 ? device.level() : CpuLevel::kRef;
  MatmulFn* const run = choose(kMatmul, level);
  over_panels(device, w, [&](int64_t begin, int64_t end, std::byte* scratch) {
    run(x, w, y, begin, end, scratch);
  });
}

void quantize_int8(const Device& device, const ConstView& x, const Int8View& out) {
  MK_CHECK(x.dtype == DType::kF32 && x.cols % kBlockCols == 0 && out.cols == x.cols &&
               out.rows == x.rows,
           "quantize_int8: x [{}, {}] q [{}, {}]", x.rows, x.cols, out.rows, out.cols);
  QuantizeFn* const run = choose(kQuantize, device.level());
  constexpr int64_t kGrain = 16;  // rows: ~1 us each, a barrier costs 0.1 us
  device.pool().parallel_for(x.rows, kGrain,
                             [&](int64_t begin, int64_t end, int) { run(x, out, begin, end); });
}

void matmul_int8(const Device& device, const Int8View& x, const PackedView& w, const View& y) {
  MK_CHECK(x.cols == w.cols && y.cols == w.rows && y.rows == x.rows && y.dtype == DType::kF32 &&
               is_block_quantized(w.dtype),
           "matmul_int8: x [{}, {}] W {} [{}, {}] y [{}, {}]", x.rows, x.cols,
           dtype_info(w.dtype).name, w.rows, w.cols, y.rows, y.cols);
  MatmulInt8Fn* const run = choose(kMatmulInt8, device.level());
  over_panels(device, w, [&](int64_t begin, int64_t end, std::byte* scratch) {
    run(x, w, y, begin, end, scratch);
  });
}

}  // namespace minke::kernels
