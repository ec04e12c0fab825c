#pragma once
#include <cstdint>

#include "minke/kernels/panel.h"
#include "minke/tensor/view.h"

// The readable oracle that every other implementation is tested against: scalar, in f32 and, for
// gradient checks, f64. Functions work on a range of their outputs and use no threads.
namespace minke::kernels::ref {

/// See kernels/matmul.h. Writes columns 16 panel_begin .. 16 panel_end of y.
void matmul(const ConstView& x, const PackedView& w, const View& y, int64_t panel_begin,
            int64_t panel_end);
void round_bf16(const ConstView& x, const View& out, int64_t row_begin, int64_t row_end);
void matmul_bf16(const ConstView& x, const PackedView& w, const View& y, int64_t panel_begin,
                 int64_t panel_end);
void quantize_int8(const ConstView& x, const Int8View& out, int64_t row_begin, int64_t row_end);
void matmul_int8(const Int8View& x, const PackedView& w, const View& y, bool add,
                 int64_t panel_begin, int64_t panel_end);

/// See kernels/attention.h and AttentionTask.
void attention(const AttentionTask& task);
/// Copies one KV head of a segment's rows of k and v into the pages (f64, f32, f16 or i8).
void write_kv(const ConstView& k, const ConstView& v, const AttentionSegment& segment,
              const KvPages& pages, int64_t kv_head);
/// Rows [begin, end) of what kernels/attention.h says.
void read_latents(const KvPages& pages, const int32_t* page_table, const View& k, const View& v,
                  int64_t begin, int64_t end);

}  // namespace minke::kernels::ref
