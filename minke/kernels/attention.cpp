#include "minke/kernels/attention.h"

#include <algorithm>
#include <vector>

#include "minke/base/check.h"
#include "minke/kernels/cpu/cpu.h"
#include "minke/kernels/implementations.h"
#include "minke/kernels/ref/ref.h"

namespace minke::kernels {
namespace {

using AttentionFn = void(const AttentionTask&);
using WriteKvFn = void(const ConstView&, const ConstView&, const AttentionSegment&, const KvPages&,
                       int64_t);

constexpr Implementation<AttentionFn> kAttention[] = MK_IMPLEMENTATIONS(attention, ref::attention);
constexpr Implementation<WriteKvFn> kWriteKv[] = MK_IMPLEMENTATIONS(write_kv, ref::write_kv);

// The vector kernels take heads of whole vectors up to the size of their buffers, in f32.
CpuLevel usable_level(const Device& device, DType dtype, int64_t head_dim) {
  const bool fits = dtype == DType::kF32 && head_dim % 16 == 0 && head_dim <= 1024;
  return fits ? device.level() : CpuLevel::kRef;
}

// Rows of a segment a thread takes at a time: a multiple of the widest tile, so that splitting a
// prompt does not leave small tiles.
constexpr int64_t kRowGrain = 24;

}  // namespace

void write_kv(const Device& device, const ConstView& k, const ConstView& v,
              const AttentionSegment* segments, int64_t num_segments, const KvPages& pages) {
  MK_CHECK(k.rows == v.rows && k.cols == pages.num_kv_heads * pages.head_dim && v.cols == k.cols,
           "write_kv: k [{}, {}] v [{}, {}] for {} heads of {}", k.rows, k.cols, v.rows, v.cols,
           pages.num_kv_heads, pages.head_dim);
  WriteKvFn* const run = choose(kWriteKv, usable_level(device, k.dtype, pages.head_dim));
  const int64_t num_heads = pages.num_kv_heads;
  const int64_t grain = k.rows >= 16 ? 1 : num_segments * num_heads;  // few rows: one thread
  device.pool().parallel_for(num_segments * num_heads, grain, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      run(k, v, segments[i / num_heads], pages, i % num_heads);
    }
  });
}

void attention(const Device& device, const ConstView& q, const AttentionSegment* segments,
               int64_t num_segments, const KvPages& pages, int64_t num_heads, double scale,
               const View& out) {
  MK_CHECK(q.cols == num_heads * pages.head_dim && out.cols == q.cols && out.rows == q.rows &&
               num_heads % pages.num_kv_heads == 0,
           "attention: q [{}, {}] out [{}, {}] for {} heads ({} kv) of {}", q.rows, q.cols,
           out.rows, out.cols, num_heads, pages.num_kv_heads, pages.head_dim);
  AttentionFn* const run = choose(kAttention, usable_level(device, q.dtype, pages.head_dim));
  std::vector<AttentionTask> tasks;
  for (int64_t s = 0; s < num_segments; ++s) {
    for (int64_t row = 0; row < segments[s].num_rows; row += kRowGrain) {
      for (int64_t head = 0; head < pages.num_kv_heads; ++head) {
        tasks.push_back({q, out, segments[s], pages, num_heads, scale, head, row,
                         std::min(row + kRowGrain, segments[s].num_rows)});
      }
    }
  }
  // The later rows of a prompt see more keys: taking them first evens out the end.
  std::reverse(tasks.begin(), tasks.end());
  device.pool().parallel_for(static_cast<int64_t>(tasks.size()), 1,
                             [&](int64_t begin, int64_t end, int) {
                               for (int64_t i = begin; i < end; ++i) run(tasks[i]);
                             });
}

}  // namespace minke::kernels
