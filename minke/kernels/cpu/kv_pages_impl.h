// Numbers into the pages of the KV cache and back. Included inside a namespace, after simd_*.h.

constexpr int kHeadDimMax = 1024;  // kernels/attention.cpp sends larger heads to ref

// In i8 the numbers without their token's scale.
template <DType kKv>
static inline Simd::F load_kv(const std::byte* data, int64_t index) {
  if constexpr (kKv == DType::kF16) {
    return Simd::load_f16(reinterpret_cast<const uint16_t*>(data) + index);
  } else if constexpr (kKv == DType::kI8) {
    return Simd::load_i8(reinterpret_cast<const int8_t*>(data) + index);
  } else {
    return Simd::load(reinterpret_cast<const float*>(data) + index);
  }
}

// Writes the `dim` numbers of a token at out, `step` apart.
template <class T>
static inline void scatter(const T* from, T* out, int64_t step, int64_t dim) {
  for (int64_t d = 0; d < dim; ++d) out[d * step] = from[d];
}

// The same of one token's `dim` numbers in f32, as the pages hold them: number d at index
// first + d * step of `numbers`; in i8 with the token's scale.
static inline void store_kv(const float* from, DType dtype, int64_t dim, std::byte* numbers,
                            int64_t first, int64_t step, float* scale) {
  if (dtype == DType::kF16) {
    uint16_t half[kHeadDimMax];
    const Simd::F most = Simd::set1(kF16Max), least = Simd::set1(-kF16Max);
    for (int64_t d = 0; d < dim; d += Simd::kLanes) {
      const Simd::F x = Simd::load(from + d);
      Simd::store_f16(half + d, Simd::min(most, Simd::max(least, x)));  // in this order NaN stays
    }
    scatter(half, reinterpret_cast<uint16_t*>(numbers) + first, step, dim);
  } else if (dtype == DType::kI8) {
    Simd::F largest = Simd::zero();
    for (int64_t d = 0; d < dim; d += Simd::kLanes) {
      largest = Simd::max(largest, Simd::abs(Simd::load(from + d)));
    }
    const float max = Simd::max_of(largest);
    const Simd::F factor = Simd::set1(int8_factor(max));
    int8_t whole[kHeadDimMax];
    for (int64_t d = 0; d < dim; d += Simd::kLanes) {
      Simd::store_bytes(whole + d, Simd::round(Simd::mul(Simd::load(from + d), factor)));
    }
    scatter(whole, reinterpret_cast<int8_t*>(numbers) + first, step, dim);
    *scale = int8_step(max);
  } else {
    scatter(from, reinterpret_cast<float*>(numbers) + first, step, dim);
  }
}

void write_kv(const ConstView& k, const ConstView& v, const AttentionSegment& segment,
              const KvPages& pages, int64_t kv_head) {
  const int64_t value_dim = pages.value_size();
  const int64_t key_dim = pages.latent ? pages.rest_dim() : pages.head_dim;
  for (int64_t i = 0; i < segment.num_rows; ++i) {
    const int64_t position = segment.position + i, token = position % kPageTokens;
    std::byte* page = pages.data + segment.page_table[position / kPageTokens] * pages.page_bytes();
    std::byte* keys = page + pages.keys_at(kv_head);
    std::byte* values = page + pages.values_at(kv_head);
    const float* k_row = k.row<float>(segment.row_begin + i) + kv_head * key_dim;
    const float* v_row = v.row<float>(segment.row_begin + i) + kv_head * value_dim;
    store_kv(k_row, pages.dtype, key_dim, keys,
             pages.latent ? token * pages.head_dim + value_dim : token,
             pages.latent ? 1 : kPageTokens,
             reinterpret_cast<float*>(keys + pages.key_scales_at()) + token);
    store_kv(v_row, pages.dtype, value_dim, values, token * pages.value_stride(), 1,
             reinterpret_cast<float*>(values + pages.value_scales_at()) + token);
  }
}

template <DType kKv>
static void read_rows(const KvPages& pages, const int32_t* page_table, const View& k, const View& v,
                      int64_t begin, int64_t end) {
  const int64_t value_dim = pages.value_size();
  for (int64_t i = begin; i < end; ++i) {
    const std::byte* page = pages.data + page_table[i / kPageTokens] * pages.page_bytes();
    const int64_t token = i % kPageTokens;
    const auto copy = [&](int64_t from, int64_t dim, int64_t scales_at, float* to) {
      Simd::F scale = Simd::zero();
      if constexpr (kKv == DType::kI8) {
        scale = Simd::set1(reinterpret_cast<const float*>(page + scales_at)[token]);
      }
      for (int64_t d = 0; d < dim; d += Simd::kLanes) {
        Simd::F x = load_kv<kKv>(page, token * pages.head_dim + from + d);
        if constexpr (kKv == DType::kI8) x = Simd::mul(x, scale);
        Simd::store(to + d, x);
      }
    };
    copy(0, value_dim, pages.value_scales_at(), v.row<float>(i));
    copy(value_dim, pages.rest_dim(), pages.key_scales_at(), k.row<float>(i));
  }
}

void read_latents(const KvPages& pages, const int32_t* page_table, const View& k, const View& v,
                  int64_t begin, int64_t end) {
  switch (pages.dtype) {
    case DType::kF16:
      return read_rows<DType::kF16>(pages, page_table, k, v, begin, end);
    case DType::kI8:
      return read_rows<DType::kI8>(pages, page_table, k, v, begin, end);
    default:
      return read_rows<DType::kF32>(pages, page_table, k, v, begin, end);
  }
}
