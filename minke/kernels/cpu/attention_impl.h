// Attention over pages, RMSNorm and SwiGLU. Included inside a namespace, after activation_impl.h,
// tile_impl.h and kv_pages_impl.h.

// Where the keys and the values of the task's head lie in the page of token `first_key`.
static inline const std::byte* page_keys(const AttentionTask& task, int64_t first_key) {
  const int64_t page = task.segment.page_table[first_key / kPageTokens];
  return task.pages.data + page * task.pages.page_bytes() + task.pages.keys_at(task.kv_head);
}
static inline const std::byte* page_values(const AttentionTask& task, int64_t first_key) {
  const int64_t page = task.segment.page_table[first_key / kPageTokens];
  return task.pages.data + page * task.pages.page_bytes() + task.pages.values_at(task.kv_head);
}

// Fetches the cache lines of `count` numbers, `ahead` bytes further, if that is not 0. (g++ 12
// drops calls of a function that only prefetches, unless it is inlined at once.)
template <DType kKv>
[[gnu::always_inline]] static inline void fetch_ahead(const std::byte* data, int64_t index,
                                                      int64_t count, int64_t ahead) {
  if (ahead == 0) return;
  constexpr int64_t kBytes = KvPages{.dtype = kKv}.element_bytes();
  const std::byte* begin = data + index * kBytes + ahead;
  for (int64_t at = 0; at < count * kBytes; at += 64) __builtin_prefetch(begin + at, 0, 2);
}

// x times the scales of the tokens from t on, in i8.
template <DType kKv>
static inline Simd::F scaled_by_token(Simd::F x, const std::byte* scales, int64_t t) {
  if constexpr (kKv != DType::kI8) return x;
  return Simd::mul(x, Simd::load(reinterpret_cast<const float*>(scales) + t));
}

// A column is one query (a row of one head); a tile of them shares every key and value it reads.
template <int kCols>
struct AttentionTile {
  const float* q[kCols];    // [head_dim]
  float* out[kCols];        // [value_size]
  int64_t num_keys[kCols];  // keys that the query sees: its position + 1
};

// scores[c][t] = scale * q_c . k_t for kVecs vectors of the page's keys, -inf from num_keys on.
template <int kCols, int kVecs, DType kKv>
static void scores_at(const AttentionTile<kCols>& tile, const std::byte* keys, int64_t t,
                      const KvPages& pages, int64_t first_key, float scale, int64_t ahead,
                      float (&scores)[kCols][kPageTokens]) {
  const int64_t head_dim = pages.head_dim;
  Simd::F sum[kCols][kVecs];
  for (auto& column : sum) {
    for (Simd::F& value : column) value = Simd::zero();
  }
  for (int64_t d = 0; d < head_dim; ++d) {
    fetch_ahead<kKv>(keys, d * kPageTokens + t, kVecs * Simd::kLanes, ahead);
    Simd::F k[kVecs];
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; ++v) {
      k[v] = load_kv<kKv>(keys, d * kPageTokens + t + v * Simd::kLanes);
    }
#pragma GCC unroll 8
    for (int c = 0; c < kCols; ++c) {
      const Simd::F q = Simd::set1(tile.q[c][d]);
#pragma GCC unroll 4
      for (int v = 0; v < kVecs; ++v) sum[c][v] = Simd::fma(q, k[v], sum[c][v]);
    }
  }
  for (int c = 0; c < kCols; ++c) {
    for (int v = 0; v < kVecs; ++v) {
      const int64_t seen = tile.num_keys[c] - first_key - t - v * Simd::kLanes;
      Simd::F scaled = Simd::mul(sum[c][v], Simd::set1(scale));
      scaled = scaled_by_token<kKv>(scaled, keys + pages.key_scales_at(), t + v * Simd::kLanes);
      if (seen < Simd::kLanes) scaled = Simd::first_lanes(scaled, seen > 0 ? seen : 0);
      Simd::store(&scores[c][t + v * Simd::kLanes], scaled);
    }
  }
}

// The same for latent pages, whose keys are rows, of kTokens tokens from t on: sums along a row.
template <int kCols, int kTokens, DType kKv>
static void latent_scores_at(const AttentionTile<kCols>& tile, const std::byte* keys, int64_t t,
                             const KvPages& pages, int64_t first_key, float scale, int64_t ahead,
                             float (&scores)[kCols][kPageTokens]) {
  Simd::F sum[kCols][kTokens];
  for (auto& column : sum) {
    for (Simd::F& value : column) value = Simd::zero();
  }
  const auto scale_of = [&](int64_t scales_at, int i) {
    return Simd::set1(reinterpret_cast<const float*>(keys + scales_at)[t + i]);
  };
  const auto add_products = [&](int64_t d, auto&& loaded) {
    Simd::F k[kTokens];
#pragma GCC unroll 4
    for (int i = 0; i < kTokens; ++i) {
      fetch_ahead<kKv>(keys, (t + i) * pages.head_dim + d, Simd::kLanes, ahead);
      k[i] = loaded(load_kv<kKv>(keys, (t + i) * pages.head_dim + d), i);
    }
#pragma GCC unroll 8
    for (int c = 0; c < kCols; ++c) {
      const Simd::F q = Simd::load(tile.q[c] + d);
#pragma GCC unroll 4
      for (int i = 0; i < kTokens; ++i) sum[c][i] = Simd::fma(q, k[i], sum[c][i]);
    }
  };
  const int64_t latent_dim = pages.value_size();
  for (int64_t d = 0; d < latent_dim; d += Simd::kLanes) {
    add_products(d, [](Simd::F x, int) { return x; });
  }
  if constexpr (kKv == DType::kI8) {
    for (int i = 0; i < kTokens; ++i) {
      const Simd::F factor = scale_of(pages.value_scales_at(), i);
      for (auto& column : sum) column[i] = Simd::mul(column[i], factor);
    }
  }
  for (int64_t d = latent_dim; d < pages.head_dim; d += Simd::kLanes) {
    add_products(d, [&](Simd::F x, int i) {
      if constexpr (kKv != DType::kI8) return x;
      return Simd::mul(x, scale_of(pages.key_scales_at(), i));
    });
  }
  for (int c = 0; c < kCols; ++c) {
    for (int i = 0; i < kTokens; ++i) {
      const bool seen = first_key + t + i < tile.num_keys[c];
      scores[c][t + i] = seen ? Simd::sum_of(sum[c][i]) * scale : -__builtin_inff();
    }
  }
}

// The running maximum and sum of each column's softmax, and how much what was summed so far shrinks
// with the page (online softmax; Milakov and Gimelshein 2018).
template <int kCols>
struct RunningSoftmax {
  static constexpr int kPadded = (kCols + Simd::kLanes - 1) / Simd::kLanes * Simd::kLanes;
  float max[kCols];
  float sum[kCols];
  float shrink[kPadded];
};

// A query that has seen no key yet has the maximum -inf, which must not be subtracted from -inf.
static inline float finite_or_0(float max) { return max >= -__FLT_MAX__ ? max : 0.0f; }

// Turns the first num_vecs vectors of each column's scores into weights e^(s - max), times the
// values' scales.
template <int kCols, DType kKv>
static inline void page_softmax(float (&scores)[kCols][kPageTokens], int64_t num_vecs,
                                const std::byte* scales, RunningSoftmax<kCols>& running) {
  float change[RunningSoftmax<kCols>::kPadded] = {};
  for (int c = 0; c < kCols; ++c) {
    Simd::F largest = Simd::load(scores[c]);
    for (int64_t v = 1; v < num_vecs; ++v) {
      largest = Simd::max(largest, Simd::load(scores[c] + v * Simd::kLanes));
    }
    const float page_max = Simd::max_of(largest);
    const float before = running.max[c];
    running.max[c] = page_max > before ? page_max : before;
    change[c] = before - finite_or_0(running.max[c]);
  }
  for (int c = 0; c < kCols; c += Simd::kLanes) {
    Simd::store(running.shrink + c, exp(Simd::load(change + c)));
  }
  for (int c = 0; c < kCols; ++c) {
    const Simd::F max = Simd::set1(finite_or_0(running.max[c]));
    Simd::F sum = Simd::zero();
    for (int64_t v = 0; v < num_vecs; ++v) {
      const Simd::F weight = exp(Simd::sub(Simd::load(scores[c] + v * Simd::kLanes), max));
      Simd::store(scores[c] + v * Simd::kLanes,
                  scaled_by_token<kKv>(weight, scales, v * Simd::kLanes));
      sum = Simd::add(sum, weight);
    }
    running.sum[c] = running.sum[c] * running.shrink[c] + Simd::sum_of(sum);
  }
}

// out_c = out_c * shrink_c + sum over t of weights[c][t] * v_t, t in order.
template <int kCols, int kVecs, DType kKv>
static void add_values_at(const AttentionTile<kCols>& tile, const std::byte* values, int64_t d,
                          int64_t stride, int64_t num_tokens, const float* shrink, int64_t ahead,
                          const float (&weights)[kCols][kPageTokens]) {
  Simd::F sum[kCols][kVecs];
  for (int c = 0; c < kCols; ++c) {
    for (int v = 0; v < kVecs; ++v) {
      sum[c][v] = Simd::mul(Simd::load(tile.out[c] + d + v * Simd::kLanes), Simd::set1(shrink[c]));
    }
  }
  for (int64_t t = 0; t < num_tokens; ++t) {
    fetch_ahead<kKv>(values, t * stride + d, kVecs * Simd::kLanes, ahead);
    Simd::F value[kVecs];
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; ++v) {
      value[v] = load_kv<kKv>(values, t * stride + d + v * Simd::kLanes);
    }
#pragma GCC unroll 8
    for (int c = 0; c < kCols; ++c) {
      const Simd::F weight = Simd::set1(weights[c][t]);
#pragma GCC unroll 4
      for (int v = 0; v < kVecs; ++v) sum[c][v] = Simd::fma(weight, value[v], sum[c][v]);
    }
  }
  for (int c = 0; c < kCols; ++c) {
    for (int v = 0; v < kVecs; ++v) Simd::store(tile.out[c] + d + v * Simd::kLanes, sum[c][v]);
  }
}

// The scores of whole vectors of tokens, up to the page's last one in use.
template <int kCols, DType kKv>
static void page_scores(const AttentionTile<kCols>& tile, const std::byte* keys,
                        const KvPages& pages, int64_t first_key, int64_t num_tokens, float scale,
                        int64_t ahead, float (&scores)[kCols][kPageTokens]) {
  constexpr int kVecs = Simd::kAttentionVecs;
  int64_t t = 0;
  if (pages.latent) {
    for (; t < num_tokens; t += kVecs) {
      latent_scores_at<kCols, kVecs, kKv>(tile, keys, t, pages, first_key, scale, ahead, scores);
    }
    for (; t % Simd::kLanes != 0; ++t) {
      for (auto& column : scores) column[t] = -__builtin_inff();
    }
    return;
  }
  for (; t + kVecs * Simd::kLanes < num_tokens + Simd::kLanes; t += kVecs * Simd::kLanes) {
    scores_at<kCols, kVecs, kKv>(tile, keys, t, pages, first_key, scale, ahead, scores);
  }
  for (; t < num_tokens; t += Simd::kLanes) {
    scores_at<kCols, 1, kKv>(tile, keys, t, pages, first_key, scale, ahead, scores);
  }
}

// The keys of one span, into tile.out and `running`.
template <int kCols, DType kKv>
static void attend_span(const AttentionTile<kCols>& tile, const AttentionTask& task, int64_t span,
                        int64_t num_keys, RunningSoftmax<kCols>& running) {
  constexpr int kVecs = Simd::kAttentionVecs;
  const KvPages& pages = task.pages;
  const int64_t value_dim = pages.value_size();
  for (int c = 0; c < kCols; ++c) {
    running.max[c] = -__builtin_inff();
    running.sum[c] = 0.0f;
    for (int64_t d = 0; d < value_dim; d += Simd::kLanes) {
      Simd::store(tile.out[c] + d, Simd::zero());
    }
  }
  const int64_t span_end = (span + 1) * kSpanTokens;
  const int64_t end = num_keys < span_end ? num_keys : span_end;
  const bool few_rows = task.num_columns() <= 4 * task.group();
  for (int64_t first_key = span * kSpanTokens; first_key < end; first_key += kPageTokens) {
    const std::byte* keys = page_keys(task, first_key);
    const std::byte* values = page_values(task, first_key);
    // With few rows a page is used as fast as the next one, which lies far away, comes from
    // memory: each vector brings the same one of the next page.
    const int64_t next = first_key + kPageTokens;
    const int64_t ahead = few_rows && next < num_keys ? page_keys(task, next) - keys : 0;
    const int64_t left = num_keys - first_key;
    const int64_t num_tokens = left < kPageTokens ? left : kPageTokens;
    const int64_t num_vecs = (num_tokens + Simd::kLanes - 1) / Simd::kLanes;
    const auto scale = static_cast<float>(task.scale);
    float weights[kCols][kPageTokens];
    page_scores<kCols, kKv>(tile, keys, pages, first_key, num_tokens, scale, ahead, weights);
    page_softmax<kCols, kKv>(weights, num_vecs, values + pages.value_scales_at(), running);
    const int64_t values_ahead = pages.latent ? 0 : ahead;  // the keys' rows are the values'
    int64_t d = 0;
    for (; d + kVecs * Simd::kLanes <= value_dim; d += kVecs * Simd::kLanes) {
      add_values_at<kCols, kVecs, kKv>(tile, values, d, pages.value_stride(), num_tokens,
                                       running.shrink, values_ahead, weights);
    }
    for (; d < value_dim; d += Simd::kLanes) {
      add_values_at<kCols, 1, kKv>(tile, values, d, pages.value_stride(), num_tokens,
                                   running.shrink, values_ahead, weights);
    }
  }
}

// Joins `next` to the spans before it.
static inline void join_span(SpanResult& so_far, const SpanResult& next, int64_t value_dim) {
  const float max = so_far.max > next.max ? so_far.max : next.max;
  const Simd::F old_factor = exp(Simd::set1(so_far.max - max));
  const Simd::F new_factor = exp(Simd::set1(next.max - max));
  for (int64_t d = 0; d < value_dim; d += Simd::kLanes) {
    const Simd::F scaled = Simd::mul(Simd::load(so_far.out + d), old_factor);
    Simd::store(so_far.out + d, Simd::fma(Simd::load(next.out + d), new_factor, scaled));
  }
  so_far.sum = so_far.sum * Simd::max_of(old_factor) + next.sum * Simd::max_of(new_factor);
  so_far.max = max;
}

static inline void divide_by_sum(const SpanResult& result, int64_t value_dim) {
  const Simd::F inverse = Simd::set1(1.0f / result.sum);
  for (int64_t d = 0; d < value_dim; d += Simd::kLanes) {
    Simd::store(result.out + d, Simd::mul(Simd::load(result.out + d), inverse));
  }
}

// All spans of a tile, one after the other.
template <int kCols, DType kKv>
static void attend(const AttentionTile<kCols>& tile, const AttentionTask& task, int64_t num_keys) {
  const int64_t value_dim = task.pages.value_size();
  RunningSoftmax<kCols> running;
  attend_span<kCols, kKv>(tile, task, 0, num_keys, running);
  SpanResult results[kCols];
  for (int c = 0; c < kCols; ++c) results[c] = {tile.out[c], running.max[c], running.sum[c]};
  for (int64_t span = 1; span * kSpanTokens < num_keys; ++span) {
    float out[kCols][kHeadDimMax];
    AttentionTile<kCols> next = tile;
    for (int c = 0; c < kCols; ++c) next.out[c] = out[c];
    attend_span<kCols, kKv>(next, task, span, num_keys, running);
    for (int c = 0; c < kCols; ++c) {
      join_span(results[c], {out[c], running.max[c], running.sum[c]}, value_dim);
    }
  }
  for (const SpanResult& result : results) divide_by_sum(result, value_dim);
}

// The kCols columns of the task from `column` on.
template <int kCols, DType kKv>
static void attend_columns(const AttentionTask& task, int64_t column) {
  const int64_t head_dim = task.pages.head_dim, value_dim = task.pages.value_size();
  SpanResult* partial =
      task.partial != nullptr ? task.partial + (column - task.column_begin) : nullptr;
  AttentionTile<kCols> tile;
  for (int c = 0; c < kCols; ++c) {
    const int64_t row = task.row_of(column + c), head = task.head_of(column + c);
    tile.q[c] = task.q.row<float>(row) + head * head_dim;
    tile.out[c] = partial != nullptr ? partial[c].out : task.out.row<float>(row) + head * value_dim;
    tile.num_keys[c] = task.num_keys(column + c);
  }
  const int64_t num_keys = tile.num_keys[kCols - 1];  // the last row sees the most
  if (partial == nullptr) return attend<kCols, kKv>(tile, task, num_keys);
  RunningSoftmax<kCols> running;
  attend_span<kCols, kKv>(tile, task, task.span, num_keys, running);
  for (int c = 0; c < kCols; ++c) {
    partial[c].max = running.max[c];
    partial[c].sum = running.sum[c];
  }
}

// The outputs of the task's columns from the results of all spans, [span][column].
void join_spans(const AttentionTask& task, int64_t num_spans) {
  const int64_t value_dim = task.pages.value_size();
  for (int64_t column = task.column_begin; column < task.column_end; ++column) {
    SpanResult& result = task.partial[column - task.column_begin];
    for (int64_t span = 1; span < num_spans; ++span) {
      const SpanResult* of_span = &result + span * task.num_columns();
      join_span(result, *of_span, value_dim);
    }
    divide_by_sum(result, value_dim);
    float* out = task.out.row<float>(task.row_of(column)) + task.head_of(column) * value_dim;
    for (int64_t d = 0; d < value_dim; d += Simd::kLanes) {
      Simd::store(out + d, Simd::load(result.out + d));
    }
  }
}

template <DType kKv>
static void attend_all(const AttentionTask& task) {
  each_tile<Simd::kAttentionCols>(
      task.column_begin, task.column_end,
      [&]<int kCols>(int64_t column) { attend_columns<kCols, kKv>(task, column); });
}

void attention(const AttentionTask& task) {
  switch (task.pages.dtype) {
    case DType::kF16:
      return attend_all<DType::kF16>(task);
    case DType::kI8:
      return attend_all<DType::kI8>(task);
    default:
      return attend_all<DType::kF32>(task);
  }
}

// cols must be a multiple of kLanes.
void rms_norm(const ConstView& x, const ConstView& w, double eps, const View& y, int64_t row_begin,
              int64_t row_end) {
  for (int64_t row = row_begin; row < row_end; ++row) {
    const float* in = x.row<float>(row);
    float* out = y.row<float>(row);
    Simd::F squares = Simd::zero();
    for (int64_t i = 0; i < x.cols; i += Simd::kLanes) {
      const Simd::F value = Simd::load(in + i);
      squares = Simd::fma(value, value, squares);
    }
    const float mean = Simd::sum_of(squares) / static_cast<float>(x.cols);
    const Simd::F factor = Simd::set1(1.0f / __builtin_sqrtf(mean + static_cast<float>(eps)));
    for (int64_t i = 0; i < x.cols; i += Simd::kLanes) {
      const Simd::F normed = Simd::mul(Simd::load(in + i), factor);
      Simd::store(out + i, Simd::mul(normed, Simd::load(w.row<float>(0) + i)));
    }
  }
}

// cols must be a multiple of kLanes.
void swiglu(const ConstView& gate_up, const View& y, int64_t row_begin, int64_t row_end) {
  for (int64_t row = row_begin; row < row_end; ++row) {
    const float* gate = gate_up.row<float>(row);
    const float* up = gate + y.cols;
    float* out = y.row<float>(row);
    for (int64_t i = 0; i < y.cols; i += Simd::kLanes) {
      Simd::store(out + i, swiglu_of(Simd::load(gate + i), Simd::load(up + i)));
    }
  }
}
