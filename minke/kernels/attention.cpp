#include "minke/kernels/attention.h"

#include <algorithm>
#include <vector>

#include "minke/base/check.h"
#include "minke/kernels/cpu/cpu.h"
#include "minke/kernels/implementations.h"
#include "minke/kernels/ref/ref.h"
#include "minke/tensor/tensor.h"

namespace minke::kernels {
namespace {

using AttentionFn = void(const AttentionTask&);
using JoinSpansFn = void(const AttentionTask&, int64_t);
using WriteKvFn = void(const ConstView&, const ConstView&, const AttentionSegment&, const KvPages&,
                       int64_t);
using ReadLatentsFn = void(const KvPages&, const int32_t*, const View&, const View&, int64_t,
                           int64_t);

constexpr Implementation<AttentionFn> kAttention[] = MK_IMPLEMENTATIONS(attention, ref::attention);
constexpr Implementation<JoinSpansFn> kJoinSpans[] = MK_IMPLEMENTATIONS(join_spans, nullptr);
constexpr Implementation<WriteKvFn> kWriteKv[] = MK_IMPLEMENTATIONS(write_kv, ref::write_kv);
constexpr Implementation<ReadLatentsFn> kReadLatents[] =
    MK_IMPLEMENTATIONS(read_latents, ref::read_latents);

// The vector kernels take heads of whole vectors up to the size of their buffers, in f32.
CpuLevel usable_level(const Device& device, DType dtype, const KvPages& pages) {
  const auto fits = [](int64_t dim) { return dim % 16 == 0 && dim <= 1024; };
  return dtype == DType::kF32 && fits(pages.head_dim) && fits(pages.value_size()) ? device.level()
                                                                                  : CpuLevel::kRef;
}

// Rows of a segment a thread takes at a time: a multiple of the widest tile, so that splitting a
// prompt does not leave small tiles.
constexpr int64_t kRowGrain = 24;

int64_t num_spans(const AttentionTask& task) {
  return (task.num_keys(task.column_end - 1) + kSpanTokens - 1) / kSpanTokens;
}

constexpr int64_t kSpanBytesMax = 4 << 20;  // of the spans' results, so that they stay in caches

template <class Body>
void for_each(const Device& device, int64_t count, const Body& body) {
  device.pool().parallel_for(count, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) body(i);
  });
}

int64_t num_results(const std::vector<AttentionTask>& tasks) {
  int64_t count = 0;
  for (const AttentionTask& task : tasks) count += task.num_columns() * num_spans(task);
  return count;
}

// The tasks span by span, then joined: the bits are those of run() on whole tasks.
// `count`: num_results(tasks).
void attend_by_spans(const Device& device, AttentionFn* run, JoinSpansFn* join,
                     std::vector<AttentionTask>& tasks, int64_t count) {
  const int64_t value_dim = tasks.front().pages.value_size();
  const Tensor outs = Tensor::empty(device.arena(), DType::kF32, {count, value_dim});
  std::vector<SpanResult> results(count);
  for (int64_t i = 0; i < count; ++i) results[i].out = outs.view().row<float>(i);

  std::vector<AttentionTask> parts;
  SpanResult* next = results.data();
  for (AttentionTask& task : tasks) {
    task.partial = next;
    for (int64_t span = 0; span < num_spans(task); ++span) {
      parts.push_back(task);
      parts.back().span = span;
      parts.back().partial = next;
      next += task.num_columns();
    }
  }
  for_each(device, static_cast<int64_t>(parts.size()), [&](int64_t i) { run(parts[i]); });
  for_each(device, static_cast<int64_t>(tasks.size()),
           [&](int64_t i) { join(tasks[i], num_spans(tasks[i])); });
}

}  // namespace

void write_kv(const Device& device, const ConstView& k, const ConstView& v,
              const AttentionSegment* segments, int64_t num_segments, const KvPages& pages) {
  const int64_t key_dim = pages.latent ? pages.rest_dim() : pages.head_dim;
  MK_CHECK(k.rows == v.rows && k.cols == pages.num_kv_heads * key_dim &&
               v.cols == pages.num_kv_heads * pages.value_size(),
           "write_kv: k [{}, {}] v [{}, {}] for {} heads of {} and {}", k.rows, k.cols, v.rows,
           v.cols, pages.num_kv_heads, key_dim, pages.value_size());
  WriteKvFn* const run = choose(kWriteKv, usable_level(device, k.dtype, pages));
  const int64_t num_heads = pages.num_kv_heads;
  const int64_t grain = k.rows >= 16 ? 1 : num_segments * num_heads;  // few rows: one thread
  device.pool().parallel_for(num_segments * num_heads, grain, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      run(k, v, segments[i / num_heads], pages, i % num_heads);
    }
  });
}

void read_latents(const Device& device, const KvPages& pages, const int32_t* page_table,
                  const View& k, const View& v) {
  MK_CHECK(pages.latent && k.rows == v.rows && k.cols == pages.rest_dim() &&
               v.cols == pages.value_size() && k.dtype == v.dtype,
           "read_latents: k [{}, {}] v [{}, {}] of pages of {} and {}", k.rows, k.cols, v.rows,
           v.cols, pages.rest_dim(), pages.value_size());
  ReadLatentsFn* const run = choose(kReadLatents, usable_level(device, k.dtype, pages));
  device.pool().parallel_for(k.rows, kPageTokens, [&](int64_t begin, int64_t end, int) {
    run(pages, page_table, k, v, begin, end);
  });
}

void attention(const Device& device, const ConstView& q, const AttentionSegment* segments,
               int64_t num_segments, const KvPages& pages, int64_t num_heads, double scale,
               const View& out) {
  MK_CHECK(q.cols == num_heads * pages.head_dim && out.cols == num_heads * pages.value_size() &&
               out.rows == q.rows && num_heads % pages.num_kv_heads == 0,
           "attention: q [{}, {}] out [{}, {}] for {} heads ({} kv) of {} and {}", q.rows, q.cols,
           out.rows, out.cols, num_heads, pages.num_kv_heads, pages.head_dim, pages.value_size());
  const CpuLevel level = usable_level(device, q.dtype, pages);
  AttentionFn* const run = choose(kAttention, level);
  const int threads = device.pool().num_threads();
  const int64_t group = num_heads / pages.num_kv_heads;
  // A few rows of many heads that share their keys (MLA) are shared by head.
  const int64_t pieces = num_segments * pages.num_kv_heads;
  const int64_t few = (group + threads - 1) / threads;
  std::vector<AttentionTask> tasks;
  for (int64_t s = 0; s < num_segments; ++s) {
    const int64_t num_columns = segments[s].num_rows * group;
    const int64_t grain = pieces < threads && segments[s].num_rows == 1 ? few : kRowGrain * group;
    for (int64_t column = 0; column < num_columns; column += grain) {
      for (int64_t head = 0; head < pages.num_kv_heads; ++head) {
        tasks.push_back({q, out, segments[s], pages, num_heads, scale, head, column,
                         std::min(column + grain, num_columns), 0, nullptr});
      }
    }
  }
  const auto num_tasks = static_cast<int64_t>(tasks.size());
  // Few tasks leave threads without work at the end.
  const int64_t count = num_results(tasks);  // as many as columns where each task has one span
  const bool splits = threads > 1 && num_tasks < 4 * threads && count > q.rows * num_heads &&
                      count * pages.value_size() * 4 <= kSpanBytesMax;
  if (splits && level != CpuLevel::kRef) {
    return attend_by_spans(device, run, choose(kJoinSpans, level), tasks, count);
  }
  // The later rows of a prompt see more keys: taking them first evens out the end.
  for_each(device, num_tasks, [&](int64_t i) { run(tasks[num_tasks - 1 - i]); });
}

}  // namespace minke::kernels
