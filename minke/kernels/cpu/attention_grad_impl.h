// The gradients of causal attention. Included inside a namespace, after product_impl.h,
// transpose_impl.h and activation_impl.h.
//
// See attention_grad.cpp for the equations. A task is one KV head of a sequence. kQueries queries
// of a head at a time have their probabilities p and ds computed over all keys that they see, as
// rows of two strips, from which the five products follow. So each p is computed once, and a task
// needs O(length) memory.

static constexpr int64_t kQueries = kGradQueries;
static constexpr int64_t kHeadMax = kGradHeadMax;

struct GradBuffers {
  float* keys;           // [n][head_dim]
  float* keys_turned;    // [panel of 16 keys][head_dim][16], padded with zeros
  float* values_turned;  // [panel of 16 keys][value_dim][16]
  float* queries;        // [kQueries][kHeadMax], as d_out
  float* d_out;
  float* p;  // [kQueries][width], as ds
  float* ds;
  int64_t width;
};

static GradBuffers grad_buffers(const AttentionGradTask& task, float* scratch) {
  const int64_t padded = padded_keys(task.num_rows);
  GradBuffers buffers{};
  buffers.width = padded + kPanelRows;
  float* next = scratch;
  const auto take = [&](int64_t count) {
    float* const taken = next;
    next += count;
    return taken;
  };
  buffers.keys = take(padded * task.head_dim());
  buffers.keys_turned = take(padded * task.head_dim());
  buffers.values_turned = take(padded * task.value_dim());
  buffers.queries = take(kQueries * kHeadMax);
  buffers.d_out = take(kQueries * kHeadMax);
  buffers.p = take(kQueries * buffers.width);
  buffers.ds = take(kQueries * buffers.width);
  return buffers;
}

// Columns [col, col + dim) of `count` rows of x from `row` on.
static void copy_rows(const ConstView& x, int64_t row, int64_t count, int64_t col, int64_t dim,
                      float* to, int64_t to_step) {
  for (int64_t i = 0; i < count; ++i) {
    __builtin_memcpy(to + i * to_step, x.row<float>(row + i) + col, dim * sizeof(float));
  }
}

// The same in panels of 16 rows, turned; the last one padded with zeros.
static void turn_rows(const ConstView& x, int64_t row, int64_t count, int64_t col, int64_t dim,
                      float* to) {
  float rows[kPanelRows * kHeadMax];
  for (int64_t i = 0; i < count; i += kPanelRows) {
    const int64_t num_rows = count - i < kPanelRows ? count - i : kPanelRows;
    copy_rows(x, row + i, num_rows, col, dim, rows, dim);
    for (int64_t k = num_rows * dim; k < kPanelRows * dim; ++k) rows[k] = 0.0f;
    for (int64_t d = 0; d < dim; d += kPanelRows, to += kPanelRows * kPanelRows) {
      transpose_panel(rows + d, dim, to);
    }
  }
}

// Scores to probabilities p, and dp to ds = p (dp - delta) scale with delta = sum of p dp, of one
// query that sees `num_keys` keys; both 0 from there to `end`.
static void softmax_grad_row(float* p, float* dp, int64_t num_keys, int64_t end, float scale) {
  constexpr int kLanes = Simd::kLanes;
  const Simd::F factor = Simd::set1(scale);
  Simd::F largest = Simd::set1(-__builtin_inff());
  int64_t j = 0;
  for (; j < num_keys; j += kLanes) {
    Simd::F score = Simd::mul(Simd::load(p + j), factor);
    if (num_keys - j < kLanes) score = Simd::first_lanes(score, static_cast<int>(num_keys - j));
    Simd::store(p + j, score);
    largest = Simd::max(largest, score);
  }
  const int64_t whole = j;
  const Simd::F max = Simd::set1(Simd::max_of(largest));
  Simd::F sum = Simd::zero(), product = Simd::zero();
  for (j = 0; j < whole; j += kLanes) {
    const Simd::F power = exp(Simd::sub(Simd::load(p + j), max));
    Simd::store(p + j, power);
    sum = Simd::add(sum, power);
    product = Simd::fma(power, Simd::load(dp + j), product);
  }
  const float inverse = 1.0f / Simd::sum_of(sum);
  const Simd::F to_p = Simd::set1(inverse);
  const Simd::F delta = Simd::set1(Simd::sum_of(product) * inverse);
  for (j = 0; j < whole; j += kLanes) {
    const Simd::F weight = Simd::mul(Simd::load(p + j), to_p);
    Simd::store(p + j, weight);
    const Simd::F change = Simd::sub(Simd::load(dp + j), delta);
    Simd::store(dp + j, Simd::mul(Simd::mul(weight, factor), change));
  }
  for (; j < end; ++j) p[j] = dp[j] = 0.0f;
}

// p and ds of kRows queries, and their dq. The first of the block is query `first` of the sequence,
// these begin `row` further.
template <int kRows>
static void query_rows(const AttentionGradTask& task, const GradBuffers& buffers, int64_t head,
                       int64_t first, int64_t row) {
  const int64_t head_dim = task.head_dim(), value_dim = task.value_dim(), width = buffers.width;
  const int64_t num_keys = first + row + kRows;  // that the last of them sees
  const int64_t num_panels = (num_keys + kPanelRows - 1) / kPanelRows;
  float* p = buffers.p + row * width;
  float* ds = buffers.ds + row * width;
  product_row<kRows>(LeftFactor<kHeadMax, 1>{buffers.queries + row * kHeadMax},
                     {buffers.keys_turned, kPanelRows, kPanelRows * head_dim}, head_dim, num_panels,
                     {p, width, kPanelRows, false});
  product_row<kRows>(LeftFactor<kHeadMax, 1>{buffers.d_out + row * kHeadMax},
                     {buffers.values_turned, kPanelRows, kPanelRows * value_dim}, value_dim,
                     num_panels, {ds, width, kPanelRows, false});
  for (int r = 0; r < kRows; ++r) {
    softmax_grad_row(p + r * width, ds + r * width, first + row + r + 1,
                     (num_panels + 1) * kPanelRows, static_cast<float>(task.args->scale));
  }
  const View& dq = task.args->dq;
  float* to = dq.row<float>(task.row_begin + first + row) + head * head_dim;
  product_row<kRows>(LeftRows{ds, width}, {buffers.keys, head_dim, kPanelRows}, num_keys,
                     head_dim / kPanelRows, {to, dq.stride, kPanelRows, false});
}

// dk and dv of kRows keys from `key` on += what `count` queries from `first` on bring.
template <int kRows>
static void key_rows(const AttentionGradTask& task, const GradBuffers& buffers, int64_t first,
                     int64_t count, int64_t key) {
  const int64_t head_dim = task.head_dim(), value_dim = task.value_dim(), width = buffers.width;
  const int64_t row = key > first ? key - first : 0;  // the first that sees a key
  const View &dk = task.args->dk, &dv = task.args->dv;
  float* to_k = dk.row<float>(task.row_begin + key) + task.kv_head * head_dim;
  float* to_v = dv.row<float>(task.row_begin + key) + task.kv_head * value_dim;
  product_row<kRows>(LeftColumns{buffers.p + row * width + key, width},
                     {buffers.d_out + row * kHeadMax, kHeadMax, kPanelRows}, count - row,
                     value_dim / kPanelRows, {to_v, dv.stride, kPanelRows, true});
  product_row<kRows>(LeftColumns{buffers.ds + row * width + key, width},
                     {buffers.queries + row * kHeadMax, kHeadMax, kPanelRows}, count - row,
                     head_dim / kPanelRows, {to_k, dk.stride, kPanelRows, true});
}

void attention_grad(const AttentionGradTask& task, float* scratch) {
  const AttentionGradArgs& args = *task.args;
  const int64_t head_dim = task.head_dim(), value_dim = task.value_dim(), n = task.num_rows;
  const GradBuffers buffers = grad_buffers(task, scratch);
  copy_rows(args.k, task.row_begin, n, task.kv_head * head_dim, head_dim, buffers.keys, head_dim);
  turn_rows(args.k, task.row_begin, n, task.kv_head * head_dim, head_dim, buffers.keys_turned);
  turn_rows(args.v, task.row_begin, n, task.kv_head * value_dim, value_dim, buffers.values_turned);
  for (int64_t i = task.row_begin; i < task.row_begin + n; ++i) {
    float* dk = args.dk.row<float>(i) + task.kv_head * head_dim;
    float* dv = args.dv.row<float>(i) + task.kv_head * value_dim;
    __builtin_memset(dk, 0, head_dim * sizeof(float));
    __builtin_memset(dv, 0, value_dim * sizeof(float));
  }
  const int64_t group = args.num_heads / args.num_kv_heads;
  for (int64_t head = task.kv_head * group; head < (task.kv_head + 1) * group; ++head) {
    for (int64_t first = 0; first < n; first += kQueries) {
      const int64_t count = n - first < kQueries ? n - first : kQueries;
      const int64_t row = task.row_begin + first;
      copy_rows(args.q, row, count, head * head_dim, head_dim, buffers.queries, kHeadMax);
      copy_rows(args.d_out, row, count, head * value_dim, value_dim, buffers.d_out, kHeadMax);
      each_tile<Simd::kFloatRows>(0, count, [&]<int kRows>(int64_t r) {
        query_rows<kRows>(task, buffers, head, first, r);
      });
      each_tile<Simd::kFloatRows>(0, first + count, [&]<int kRows>(int64_t key) {
        key_rows<kRows>(task, buffers, first, count, key);
      });
    }
  }
}
