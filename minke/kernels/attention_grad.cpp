#include <algorithm>
#include <cmath>

#include "minke/base/check.h"
#include "minke/kernels/attention.h"
#include "minke/kernels/cpu/cpu.h"
#include "minke/kernels/exp.h"
#include "minke/kernels/implementations.h"
#include "minke/kernels/row_math.h"
#include "minke/tensor/tensor.h"

// With s_ij = scale q_i . k_j, p_i = softmax(s_i) over j <= i and o_i = sum_j p_ij v_j:
//   dp_ij = do_i . v_j,  delta_i = sum_j p_ij dp_ij,  ds_ij = p_ij (dp_ij - delta_i)
//   dq_i = scale sum_j ds_ij k_j,  dk_j = scale sum_i ds_ij q_i,  dv_j = sum_i p_ij do_i
// In the reference the first pass owns a query (dq_i, and keeps log-sum-exp_i and delta_i), the
// second a key (dk_j, dv_j, summed over the heads of its group and then over i). Each computes p
// anew.
namespace minke::kernels {
namespace {

template <class T>
struct Buffers {
  T* log_sum;  // [heads, n]
  T* delta;    // [heads, n]
  T* scratch;  // [threads, 2, n]
  int64_t n;
};

template <class T>
void add_scaled(const T* from, T factor, int64_t count, T* __restrict to) {
  for (int64_t i = 0; i < count; ++i) to[i] += factor * from[i];
}

// dq of one head of row i.
template <class T>
void query_grad(const AttentionGradArgs& args, int64_t head, int64_t i, const Buffers<T>& buffers,
                T* scores, T* dp) {
  const int64_t head_dim = args.q.cols / args.num_heads;
  const int64_t value_dim = args.d_out.cols / args.num_heads;
  const int64_t kv_head = head / (args.num_heads / args.num_kv_heads);
  const int64_t k_column = kv_head * head_dim, v_column = kv_head * value_dim;
  const T* q = args.q.row<T>(i) + head * head_dim;
  const T* d_out = args.d_out.row<T>(i) + head * value_dim;
  const int64_t num_keys = i + 1;
  for (int64_t j = 0; j < num_keys; ++j) {
    scores[j] = static_cast<T>(args.scale) * dot(q, args.k.row<T>(j) + k_column, head_dim);
    dp[j] = dot(d_out, args.v.row<T>(j) + v_column, value_dim);
  }
  const T max = *std::max_element(scores, scores + num_keys);
  const T sum = lane_sum<T>(num_keys, [&](int64_t j) { return exp_of<T>(scores[j] - max); });
  const T log_sum = max + std::log(sum);
  for (int64_t j = 0; j < num_keys; ++j) scores[j] = exp_of<T>(scores[j] - log_sum);
  const T delta = dot(scores, dp, num_keys);
  T* dq = args.dq.row<T>(i) + head * head_dim;
  std::fill_n(dq, head_dim, T{0});
  for (int64_t j = 0; j < num_keys; ++j) {
    const T ds = scores[j] * (dp[j] - delta) * static_cast<T>(args.scale);
    add_scaled(args.k.row<T>(j) + k_column, ds, head_dim, dq);
  }
  buffers.log_sum[head * buffers.n + i] = log_sum;
  buffers.delta[head * buffers.n + i] = delta;
}

// dk and dv of one KV head of row j.
template <class T>
void key_value_grad(const AttentionGradArgs& args, int64_t kv_head, int64_t j,
                    const Buffers<T>& buffers, T* p) {
  const int64_t head_dim = args.q.cols / args.num_heads;
  const int64_t value_dim = args.d_out.cols / args.num_heads;
  const int64_t group = args.num_heads / args.num_kv_heads;
  const T* k = args.k.row<T>(j) + kv_head * head_dim;
  const T* v = args.v.row<T>(j) + kv_head * value_dim;
  T* dk = args.dk.row<T>(j) + kv_head * head_dim;
  T* dv = args.dv.row<T>(j) + kv_head * value_dim;
  std::fill_n(dk, head_dim, T{0});
  std::fill_n(dv, value_dim, T{0});
  for (int64_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
    const T* log_sum = buffers.log_sum + head * buffers.n;
    const T* delta = buffers.delta + head * buffers.n;
    for (int64_t i = j; i < buffers.n; ++i) {
      p[i] = static_cast<T>(args.scale) * dot(args.q.row<T>(i) + head * head_dim, k, head_dim);
    }
    for (int64_t i = j; i < buffers.n; ++i) p[i] = exp_of<T>(p[i] - log_sum[i]);
    for (int64_t i = j; i < buffers.n; ++i) {
      const T* d_out = args.d_out.row<T>(i) + head * value_dim;
      const T ds = p[i] * (dot(d_out, v, value_dim) - delta[i]) * static_cast<T>(args.scale);
      add_scaled(d_out, p[i], value_dim, dv);
      add_scaled(args.q.row<T>(i) + head * head_dim, ds, head_dim, dk);
    }
  }
}

// A whole sequence.
template <class T>
void reference(const Device& device, const AttentionGradArgs& args) {
  const int64_t n = args.q.rows;
  Arena& arena = device.arena();
  const Tensor log_sum = Tensor::empty(arena, args.q.dtype, {args.num_heads, n});
  const Tensor delta = Tensor::empty(arena, args.q.dtype, {args.num_heads, n});
  const Tensor kept = Tensor::empty(arena, args.q.dtype, {device.pool().num_threads(), 2, n});
  const Buffers<T> buffers{log_sum.data<T>(), delta.data<T>(), kept.data<T>(), n};
  // Four rows a turn; the cost of a row grows (or falls) with its index, so turns are kept small.
  constexpr int64_t kGrain = 4;
  const auto queries = [&](int64_t begin, int64_t end, int worker) {
    T* scratch = buffers.scratch + worker * 2 * n;
    for (int64_t task = begin; task < end; ++task) {
      query_grad<T>(args, task / n, task % n, buffers, scratch, scratch + n);
    }
  };
  device.pool().parallel_for(args.num_heads * n, kGrain, queries);
  const auto keys = [&](int64_t begin, int64_t end, int worker) {
    for (int64_t task = begin; task < end; ++task) {
      key_value_grad<T>(args, task / n, task % n, buffers, buffers.scratch + worker * 2 * n);
    }
  };
  device.pool().parallel_for(args.num_kv_heads * n, kGrain, keys);
}

// The rows of a sequence.
template <class AnyView>
AnyView rows_of(const AnyView& matrix, const AttentionSegment& sequence) {
  AnyView rows = matrix;
  rows.data += dtype_bytes(matrix.dtype, sequence.row_begin * matrix.stride);
  rows.rows = sequence.num_rows;
  return rows;
}

AttentionGradArgs args_of(const AttentionGradArgs& args, const AttentionSegment& sequence) {
  AttentionGradArgs one = args;
  for (ConstView* view : {&one.q, &one.k, &one.v, &one.d_out}) *view = rows_of(*view, sequence);
  for (View* view : {&one.dq, &one.dk, &one.dv}) *view = rows_of(*view, sequence);
  return one;
}

using AttentionGradFn = void(const AttentionGradTask&, float*);
constexpr Implementation<AttentionGradFn> kAttentionGrad[] =
    MK_TRAINING_IMPLEMENTATIONS(attention_grad, nullptr);

// Of a task of n rows: see GradBuffers in cpu/attention_grad_impl.h.
int64_t scratch_floats(const AttentionGradTask& task, int64_t n) {
  return padded_keys(n) * (2 * task.head_dim() + task.value_dim()) +
         2 * kGradQueries * (kGradHeadMax + padded_keys(n) + kPanelRows);
}

void in_vectors(const Device& device, AttentionGradFn* run, const AttentionGradArgs& args,
                std::span<const AttentionSegment> sequences) {
  int64_t longest = 0;
  for (const AttentionSegment& sequence : sequences) {
    longest = std::max(longest, sequence.num_rows);
  }
  const int64_t floats = scratch_floats({&args, 0, 0, 0}, longest);
  const Tensor scratch =
      Tensor::empty(device.arena(), DType::kF32, {device.pool().num_threads(), floats});
  const auto num_tasks = static_cast<int64_t>(sequences.size()) * args.num_kv_heads;
  device.pool().parallel_for(num_tasks, 1, [&](int64_t begin, int64_t end, int worker) {
    for (int64_t i = begin; i < end; ++i) {
      const AttentionSegment& sequence = sequences[i / args.num_kv_heads];
      run({&args, sequence.row_begin, sequence.num_rows, i % args.num_kv_heads},
          scratch.data<float>() + worker * floats);
    }
  });
}

bool same_shape(const ConstView& a, const ConstView& b) {
  return a.dtype == b.dtype && a.rows == b.rows && a.cols == b.cols;
}

}  // namespace

void attention_grad(const Device& device, const AttentionGradArgs& args,
                    std::span<const AttentionSegment> sequences) {
  MK_CHECK(args.num_kv_heads > 0 && args.num_heads % args.num_kv_heads == 0 &&
               args.q.cols % args.num_heads == 0 &&
               args.k.cols == args.q.cols / args.num_heads * args.num_kv_heads,
           "attention_grad: q [{}, {}], k [{}, {}], {} heads, {} KV heads", args.q.rows,
           args.q.cols, args.k.rows, args.k.cols, args.num_heads, args.num_kv_heads);
  MK_CHECK(same_shape(args.q, args.dq) && same_shape(args.k, args.dk) &&
               same_shape(args.v, args.dv) && args.q.rows == args.k.rows &&
               args.q.rows == args.v.rows && args.q.rows == args.d_out.rows &&
               args.v.cols % args.num_kv_heads == 0 &&
               args.d_out.cols == args.v.cols / args.num_kv_heads * args.num_heads &&
               args.q.dtype == args.k.dtype && args.q.dtype == args.v.dtype &&
               args.q.dtype == args.d_out.dtype,
           "attention_grad: shapes of q, k, v and their gradients differ");
  int64_t row = 0;
  for (const AttentionSegment& sequence : sequences) {
    MK_CHECK(sequence.row_begin == row && sequence.num_rows > 0,
             "attention_grad: a sequence of {} rows at {}, not {}", sequence.num_rows,
             sequence.row_begin, row);
    row += sequence.num_rows;
  }
  MK_CHECK(row == args.q.rows, "attention_grad: {} rows in sequences of {}", args.q.rows, row);
  const auto fits = [](int64_t dim) { return dim % kPanelRows == 0 && dim <= kGradHeadMax; };
  const bool vectors = args.q.dtype == DType::kF32 && fits(args.q.cols / args.num_heads) &&
                       fits(args.d_out.cols / args.num_heads);
  AttentionGradFn* const run = choose(kAttentionGrad, vectors ? device.level() : CpuLevel::kRef);
  if (run != nullptr) return in_vectors(device, run, args, sequences);
  with_float_type("attention_grad", args.q.dtype, [&](auto zero) {
    for (const AttentionSegment& sequence : sequences) {
      reference<decltype(zero)>(device, args_of(args, sequence));
    }
  });
}

}  // namespace minke::kernels
