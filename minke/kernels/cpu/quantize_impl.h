// Activations as int8 (Int8View). Included inside a namespace, after simd_*.h.

// Stores values * factor rounded to nearest even as int8, and the sums of its two sixteens; what
// the rounding left, in units of `step`, is put in `rest`.
template <int kVecs>
static inline void store_rounded(const Simd::F (&values)[kVecs], float factor, int8_t* q,
                                 float step, Simd::F (&rest)[kVecs], int32_t* sums) {
  for (int v = 0; v < kVecs; ++v) {
    const Simd::F whole = Simd::round(Simd::mul(values[v], Simd::set1(factor)));
    Simd::store_bytes(q + v * Simd::kLanes, whole);
    rest[v] = Simd::fma(whole, Simd::set1(-step), values[v]);
  }
  for (int g = 0; g < 2; ++g) sums[g] = Simd::sum_bytes16(q + 16 * g);
}

static inline float block_max(const float* in) {
  Simd::F largest = Simd::zero();
  for (int k = 0; k < kBlockCols; k += Simd::kLanes) {
    largest = Simd::max(largest, Simd::abs(Simd::load(in + k)));
  }
  return Simd::max_of(largest);
}

// Block `at` of `out`; `max` is its max|x|.
static inline void quantize_block(const float* in, float max, bool has_low, const Int8View& out,
                                  int64_t at) {
  constexpr int kVecs = kBlockCols / Simd::kLanes;
  const float inverse = int8_factor(max), step = int8_step(max);
  int32_t* sum = out.q_sum + 2 * at;
  int32_t* low_sum = out.q_low_sum + 2 * at;
  Simd::F values[kVecs], rest[kVecs], lost[kVecs];
  for (int v = 0; v < kVecs; ++v) values[v] = Simd::load(in + v * Simd::kLanes);
  store_rounded(values, inverse, out.q + at * kBlockCols, step, rest, sum);
  low_sum[0] = low_sum[1] = 0;
  if (has_low) {
    store_rounded(rest, 128.0f * inverse, out.q_low + at * kBlockCols, 0.0f, lost, low_sum);
  }
  out.has_low[at] = has_low;
  out.scale[at] = step;
  out.scale_sum[at] = sum_of_inputs(step, sum[0] + sum[1], low_sum[0] + low_sum[1]);
}

void quantize_int8(const ConstView& x, const Int8View& out, int64_t row_begin, int64_t row_end) {
  for (int64_t row = row_begin; row < row_end; ++row) {
    const float* in = x.row<float>(row);
    float* max = out.scale + row * out.num_blocks();  // until the scales take its place
    float sum_of_max = 0.0f;
    for (int64_t b = 0; b < out.num_blocks(); ++b) {
      max[b] = block_max(in + b * kBlockCols);
      sum_of_max += max[b];
    }
    const float bound = low_bound(sum_of_max, out.num_blocks());
    for (int64_t b = 0; b < out.num_blocks(); ++b) {
      quantize_block(in + b * kBlockCols, max[b], max[b] > bound, out, row * out.num_blocks() + b);
    }
  }
}
