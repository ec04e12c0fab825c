#include "minke/kernels/matmul.h"

#include <algorithm>

#include "minke/base/check.h"
#include "minke/kernels/cpu/cpu.h"
#include "minke/kernels/implementations.h"
#include "minke/kernels/pointwise.h"
#include "minke/kernels/ref/ref.h"
#include "minke/tensor/tensor.h"

namespace minke::kernels {
namespace {

using MatmulFn = void(const ConstView&, const PackedView&, const View&, int64_t, int64_t,
                      std::byte*);
using MatmulInt8Fn = void(const Int8View&, const PackedView&, const View&, bool, int64_t, int64_t,
                          std::byte*);
using MatmulInt8SwigluFn = void(const Int8View&, const PackedView&, const View&, int64_t, int64_t,
                                std::byte*);
using RoundFn = void(const ConstView&, const View&, int64_t, int64_t);

void ref_matmul(const ConstView& x, const PackedView& w, const View& y, int64_t begin, int64_t end,
                std::byte*) {
  ref::matmul(x, w, y, begin, end);
}
void ref_matmul_bf16(const ConstView& x, const PackedView& w, const View& y, int64_t begin,
                     int64_t end, std::byte*) {
  ref::matmul_bf16(x, w, y, begin, end);
}
void ref_matmul_int8(const Int8View& x, const PackedView& w, const View& y, bool add, int64_t begin,
                     int64_t end, std::byte*) {
  ref::matmul_int8(x, w, y, add, begin, end);
}

constexpr Implementation<MatmulFn> kMatmul[] = MK_IMPLEMENTATIONS(matmul, ref_matmul);
constexpr Implementation<RoundFn> kRoundBf16[] =
    MK_BF16_IMPLEMENTATIONS(round_bf16, ref::round_bf16);
constexpr Implementation<MatmulFn> kMatmulBf16[] =
    MK_BF16_IMPLEMENTATIONS(matmul_bf16, ref_matmul_bf16);
constexpr Implementation<MatmulInt8Fn> kMatmulInt8[] =
    MK_IMPLEMENTATIONS(matmul_int8, ref_matmul_int8);
constexpr Implementation<MatmulInt8SwigluFn> kMatmulInt8Swiglu[] =
    MK_IMPLEMENTATIONS(matmul_int8_swiglu, nullptr);

// Panels a thread takes at a time: an even number (tiles are two panels), some eight pieces a
// thread so that a delayed thread costs an eighth of its share, but not less than ~16 KB of
// weights.
int64_t panel_grain(const Device& device, const PackedView& w, int64_t num_panels) {
  const int64_t pieces = 8 * device.pool().num_threads();
  const int64_t even_share = (num_panels + pieces - 1) / pieces;
  const int64_t least = 16384 / std::max<int64_t>(1, packed_panel_bytes(w.dtype, w.cols)) + 1;
  return (std::max(even_share, least) + 1) / 2 * 2;
}

// Calls body(begin, end, scratch) over `num_panels` panels of outputs, of w or of matrices like it.
template <class Body>
void over_panels(const Device& device, const PackedView& w, int64_t num_panels, const Body& body) {
  const int64_t scratch_bytes = matmul_scratch_bytes(w.cols);
  const Tensor scratch =
      Tensor::empty(device.arena(), DType::kI8, {device.pool().num_threads(), scratch_bytes});
  auto* base = reinterpret_cast<std::byte*>(scratch.data<int8_t>());
  device.pool().parallel_for(num_panels, panel_grain(device, w, num_panels),
                             [&](int64_t begin, int64_t end, int worker) {
                               body(begin, end, base + worker * scratch_bytes);
                             });
}

View rows_of(const View& y, int64_t begin, int64_t count) {
  return {y.data + begin * y.stride * 4, y.dtype, count, y.cols, y.stride};
}

// Calls run(x, w, y, begin, end, scratch) for the panels of every group, `num_panels` each.
template <class Run>
void over_groups(const Device& device, const Int8View& x, std::span<const MatmulGroup> groups,
                 const View& y, int64_t num_panels, const Run& run) {
  int64_t num_rows = 0;
  for (const auto& [w, rows] : groups) {
    MK_CHECK(x.cols == w.cols && y.rows == x.rows && y.dtype == DType::kF32 &&
                 is_block_quantized(w.dtype) && w.rows == groups[0].w.rows,
             "int8 products: x [{}, {}] W {} [{}, {}], the first of {} rows, y [{}, {}]", x.rows,
             x.cols, dtype_info(w.dtype).name, w.rows, w.cols, groups[0].w.rows, y.rows, y.cols);
    num_rows += rows;
  }
  MK_CHECK(!groups.empty() && num_rows == x.rows, "int8 products: {} rows in {} groups of {}",
           x.rows, groups.size(), num_rows);
  const auto of_range = [&](int64_t begin, int64_t end, std::byte* scratch) {
    int64_t first = 0, row = 0;  // panel and row
    for (const auto& [w, rows] : groups) {
      const int64_t from = std::max(begin - first, int64_t{0});
      const int64_t to = std::min(end - first, num_panels);
      if (from < to && rows > 0) {
        run(x.rows_from(row, rows), w, rows_of(y, row, rows), from, to, scratch);
      }
      first += num_panels;
      row += rows;
    }
  };
  over_panels(device, groups[0].w, static_cast<int64_t>(groups.size()) * num_panels, of_range);
}

void run_int8(const Device& device, const Int8View& x, std::span<const MatmulGroup> groups,
              const View& y, bool add) {
  MK_CHECK(groups.empty() || y.cols == groups[0].w.rows, "int8 products: W [{}, {}], y [{}, {}]",
           groups[0].w.rows, groups[0].w.cols, y.rows, y.cols);
  MatmulInt8Fn* const run = choose(kMatmulInt8, device.level());
  over_groups(
      device, x, groups, y, (y.cols + kPanelRows - 1) / kPanelRows,
      [&](const Int8View& rows, const PackedView& w, const View& out, int64_t begin, int64_t end,
          std::byte* scratch) { run(rows, w, out, add, begin, end, scratch); });
}

}  // namespace

void matmul(const Device& device, const ConstView& x, const PackedView& w, const View& y) {
  MK_CHECK(x.cols == w.cols && y.cols == w.rows && y.rows == x.rows && x.dtype == y.dtype,
           "matmul: x [{}, {}] W [{}, {}] y [{}, {}]", x.rows, x.cols, w.rows, w.cols, y.rows,
           y.cols);
  const CpuLevel level = x.dtype == DType::kF32 ? device.level() : CpuLevel::kRef;
  MatmulFn* const run = choose(kMatmul, level);
  over_panels(device, w, w.num_panels(), [&](int64_t begin, int64_t end, std::byte* scratch) {
    run(x, w, y, begin, end, scratch);
  });
}

void round_bf16(const Device& device, const ConstView& x, const View& out) {
  MK_CHECK(x.dtype == DType::kF32 && out.dtype == DType::kBf16 && out.cols == x.cols &&
               out.rows == x.rows,
           "round_bf16: x {} [{}, {}] to {} [{}, {}]", dtype_info(x.dtype).name, x.rows, x.cols,
           dtype_info(out.dtype).name, out.rows, out.cols);
  RoundFn* const run = choose(kRoundBf16, device.level());
  constexpr int64_t kGrain = 16;  // rows: less than 1 us each, a barrier costs 0.1 us
  device.pool().parallel_for(x.rows, kGrain,
                             [&](int64_t begin, int64_t end, int) { run(x, out, begin, end); });
}

void matmul_bf16(const Device& device, const ConstView& x, const PackedView& w, const View& y) {
  MK_CHECK(x.cols == w.cols && x.cols % 2 == 0 && y.cols == w.rows && y.rows == x.rows &&
               x.dtype == DType::kBf16 && y.dtype == DType::kF32 &&
               (w.dtype == DType::kF32 || w.dtype == DType::kF16 || w.dtype == DType::kBf16),
           "matmul_bf16: x {} [{}, {}] W {} [{}, {}] y [{}, {}]", dtype_info(x.dtype).name, x.rows,
           x.cols, dtype_info(w.dtype).name, w.rows, w.cols, y.rows, y.cols);
  MatmulFn* const run = choose(kMatmulBf16, device.level());
  over_panels(device, w, w.num_panels(), [&](int64_t begin, int64_t end, std::byte* scratch) {
    run(x, w, y, begin, end, scratch);
  });
}

void matmul_int8(const Device& device, const Int8View& x, const PackedView& w, const View& y) {
  const MatmulGroup group{w, x.rows};
  run_int8(device, x, {&group, 1}, y, false);
}

void matmul_int8_add(const Device& device, const Int8View& x, const PackedView& w, const View& y) {
  const MatmulGroup group{w, x.rows};
  run_int8(device, x, {&group, 1}, y, true);
}

void matmul_int8_swiglu(const Device& device, const Int8View& x, const PackedView& w,
                        const View& y) {
  const MatmulGroup group{w, x.rows};
  matmul_int8_swiglu_grouped(device, x, {&group, 1}, y);
}

void matmul_int8_grouped(const Device& device, const Int8View& x,
                         std::span<const MatmulGroup> groups, const View& y) {
  run_int8(device, x, groups, y, false);
}

void matmul_int8_swiglu_grouped(const Device& device, const Int8View& x,
                                std::span<const MatmulGroup> groups, const View& y) {
  for (const MatmulGroup& group : groups) {
    MK_CHECK(group.w.rows == 2 * y.cols, "matmul_int8_swiglu: W [{}, {}], y [{}, {}]", group.w.rows,
             group.w.cols, y.rows, y.cols);
  }
  if (device.level() == CpuLevel::kRef || y.cols % kPanelRows != 0) {
    const Tensor gate_up = Tensor::empty(device.arena(), DType::kF32, {y.rows, 2 * y.cols});
    run_int8(device, x, groups, gate_up.view(), false);
    return swiglu(device, gate_up.view(), y);
  }
  MatmulInt8SwigluFn* const run = choose(kMatmulInt8Swiglu, device.level());
  over_groups(device, x, groups, y, y.cols / kPanelRows, run);
}

}  // namespace minke::kernels
