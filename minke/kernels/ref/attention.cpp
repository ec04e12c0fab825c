#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "minke/base/check.h"
#include "minke/dtype/half.h"
#include "minke/kernels/exp.h"
#include "minke/kernels/ref/ref.h"

namespace minke::kernels::ref {
namespace {

// One KV head of one page, decoded: keys [d][token] and values [token][d].
template <class T>
struct PageCopy {
  std::vector<T> keys;
  std::vector<T> values;
};

// Number i at `numbers`, times the scale of its token in i8.
template <class T>
T decoded(const std::byte* numbers, DType dtype, int64_t i, const std::byte* scales,
          int64_t token) {
  if (dtype == DType::kF16) {
    uint16_t bits;
    std::memcpy(&bits, numbers + 2 * i, 2);
    return f16_to_f32(bits);
  }
  if (dtype == DType::kI8) {
    float scale;
    std::memcpy(&scale, scales + 4 * token, 4);
    return static_cast<T>(scale * static_cast<float>(static_cast<int8_t>(numbers[i])));
  }
  T value;
  std::memcpy(&value, numbers + static_cast<int64_t>(sizeof(T)) * i, sizeof(T));
  return value;
}

template <class T>
PageCopy<T> decode_page(const std::byte* page, const KvPages& pages, int64_t kv_head) {
  const int64_t head_dim = pages.head_dim, value_dim = pages.value_size();
  const std::byte* keys = page + pages.keys_at(kv_head);
  const std::byte* values = page + pages.values_at(kv_head);
  PageCopy<T> copy{std::vector<T>(head_dim * kPageTokens), std::vector<T>(value_dim * kPageTokens)};
  for (int64_t t = 0; t < kPageTokens; ++t) {
    for (int64_t d = 0; d < value_dim; ++d) {
      copy.values[t * value_dim + d] = decoded<T>(values, pages.dtype, t * pages.value_stride() + d,
                                                  values + pages.value_scales_at(), t);
    }
    for (int64_t d = 0; d < head_dim; ++d) {
      T& key = copy.keys[d * kPageTokens + t];
      if (pages.latent && d < value_dim) {
        key = copy.values[t * value_dim + d];
      } else {
        key = decoded<T>(keys, pages.dtype, pages.latent ? t * head_dim + d : d * kPageTokens + t,
                         keys + pages.key_scales_at(), t);
      }
    }
  }
  return copy;
}

template <class T>
std::vector<PageCopy<T>> decode_pages(const AttentionTask& task) {
  const KvPages& pages = task.pages;
  const int64_t num_keys = task.num_keys(task.column_end - 1);
  std::vector<PageCopy<T>> copies;
  for (int64_t key = 0; key < num_keys; key += kPageTokens) {
    const int64_t page = task.segment.page_table[key / kPageTokens];
    copies.push_back(decode_page<T>(pages.data + page * pages.page_bytes(), pages, task.kv_head));
  }
  return copies;
}

// Online softmax (Milakov and Gimelshein 2018) with a page as its step:
//   s_t = scale * (q . k_t),  m' = max(m, max s),  c = exp(m - m'),  p_t = exp(s_t - m')
//   l = l c + sum p_t,  o = o c + sum p_t v_t;  at the end o / l
template <class T>
void attend(const T* q, int64_t num_keys, const std::vector<PageCopy<T>>& pages, int64_t head_dim,
            int64_t value_dim, T scale, T* out) {
  T max = -std::numeric_limits<T>::infinity();
  T sum = 0;
  std::fill_n(out, value_dim, T{0});
  for (int64_t page_begin = 0; page_begin < num_keys; page_begin += kPageTokens) {
    const PageCopy<T>& page = pages[page_begin / kPageTokens];
    const int64_t count = std::min<int64_t>(kPageTokens, num_keys - page_begin);
    T scores[kPageTokens];
    T new_max = max;
    for (int64_t t = 0; t < count; ++t) {
      T score = 0;
      for (int64_t d = 0; d < head_dim; ++d) {
        score = std::fma(q[d], page.keys[d * kPageTokens + t], score);
      }
      scores[t] = score * scale;
      new_max = std::max(new_max, scores[t]);
    }
    const T correction = exp_of<T>(max - new_max);
    sum *= correction;
    for (int64_t d = 0; d < value_dim; ++d) out[d] *= correction;
    for (int64_t t = 0; t < count; ++t) {
      const T p = exp_of<T>(scores[t] - new_max);
      sum += p;
      for (int64_t d = 0; d < value_dim; ++d) {
        out[d] = std::fma(p, page.values[t * value_dim + d], out[d]);
      }
    }
    max = new_max;
  }
  for (int64_t d = 0; d < value_dim; ++d) out[d] /= sum;
}

template <class T>
void attention_task(const AttentionTask& task) {
  const int64_t head_dim = task.pages.head_dim, value_dim = task.pages.value_size();
  const std::vector<PageCopy<T>> pages = decode_pages<T>(task);
  for (int64_t column = task.column_begin; column < task.column_end; ++column) {
    const int64_t row = task.row_of(column), head = task.head_of(column);
    attend<T>(task.q.row<T>(row) + head * head_dim, task.num_keys(column), pages, head_dim,
              value_dim, static_cast<T>(task.scale), task.out.row<T>(row) + head * value_dim);
  }
}

// Where one token's numbers go: number d at numbers + (first + d * step) elements.
struct TokenPlace {
  std::byte* numbers;
  int64_t first;
  int64_t step;
  std::byte* scale;  // in i8
};

void store_token(const ConstView& from, int64_t row, int64_t first_col, int64_t dim, DType dtype,
                 const TokenPlace& place) {
  const auto store = [&](int64_t d, const auto& value) {
    std::memcpy(
        place.numbers + static_cast<int64_t>(sizeof(value)) * (place.first + d * place.step),
        &value, sizeof(value));
  };
  if (dtype == DType::kF64) {
    for (int64_t d = 0; d < dim; ++d) store(d, from.row<double>(row)[first_col + d]);
    return;
  }
  const float* x = from.row<float>(row) + first_col;
  float max = 0.0f;
  for (int64_t d = 0; d < dim; ++d) max = std::max(max, std::fabs(x[d]));
  for (int64_t d = 0; d < dim; ++d) {
    if (dtype == DType::kF32) {
      store(d, x[d]);
    } else if (dtype == DType::kI8) {
      store(d, static_cast<int8_t>(std::nearbyint(x[d] * int8_factor(max))));
    } else {
      store(d, f32_to_f16(std::clamp(x[d], -kF16Max, kF16Max)));
    }
  }
  if (dtype != DType::kI8) return;
  const float scale = int8_step(max);
  std::memcpy(place.scale, &scale, 4);
}

}  // namespace

void write_kv(const ConstView& k, const ConstView& v, const AttentionSegment& segment,
              const KvPages& pages, int64_t kv_head) {
  MK_CHECK(k.dtype == v.dtype && (k.dtype == DType::kF64) == (pages.dtype == DType::kF64),
           "ref write_kv: k {}, v {} to pages of {}", dtype_info(k.dtype).name,
           dtype_info(v.dtype).name, dtype_info(pages.dtype).name);
  const int64_t value_dim = pages.value_size();
  const int64_t key_dim = pages.latent ? pages.rest_dim() : pages.head_dim;
  for (int64_t i = 0; i < segment.num_rows; ++i) {
    const int64_t position = segment.position + i, token = position % kPageTokens;
    const int64_t row = segment.row_begin + i;
    std::byte* page = pages.data + segment.page_table[position / kPageTokens] * pages.page_bytes();
    std::byte* keys = page + pages.keys_at(kv_head);
    std::byte* values = page + pages.values_at(kv_head);
    const int64_t first_key = pages.latent ? token * pages.head_dim + value_dim : token;
    store_token(k, row, kv_head * key_dim, key_dim, pages.dtype,
                {keys, first_key, pages.latent ? 1 : kPageTokens,
                 keys + pages.key_scales_at() + 4 * token});
    store_token(
        v, row, kv_head * value_dim, value_dim, pages.dtype,
        {values, token * pages.value_stride(), 1, values + pages.value_scales_at() + 4 * token});
  }
}

namespace {
template <class T>
void read_latents_of(const KvPages& pages, const int32_t* page_table, const View& k, const View& v,
                     int64_t begin, int64_t end) {
  const int64_t value_dim = pages.value_size();
  for (int64_t i = begin; i < end; ++i) {
    const std::byte* page = pages.data + page_table[i / kPageTokens] * pages.page_bytes();
    const int64_t token = i % kPageTokens;
    const auto number = [&](int64_t d, int64_t scales_at) {
      return decoded<T>(page, pages.dtype, token * pages.head_dim + d, page + scales_at, token);
    };
    for (int64_t d = 0; d < value_dim; ++d) v.row<T>(i)[d] = number(d, pages.value_scales_at());
    for (int64_t d = value_dim; d < pages.head_dim; ++d) {
      k.row<T>(i)[d - value_dim] = number(d, pages.key_scales_at());
    }
  }
}
}  // namespace

void read_latents(const KvPages& pages, const int32_t* page_table, const View& k, const View& v,
                  int64_t begin, int64_t end) {
  if (k.dtype == DType::kF64) return read_latents_of<double>(pages, page_table, k, v, begin, end);
  read_latents_of<float>(pages, page_table, k, v, begin, end);
}

void attention(const AttentionTask& task) {
  const bool is_f64 = task.q.dtype == DType::kF64;
  MK_CHECK(is_f64 == (task.pages.dtype == DType::kF64) && task.q.dtype == task.out.dtype,
           "ref attention: q {} with pages {}", dtype_info(task.q.dtype).name,
           dtype_info(task.pages.dtype).name);
  MK_CHECK(task.num_heads % task.pages.num_kv_heads == 0, "ref attention: {} heads, {} KV heads",
           task.num_heads, task.pages.num_kv_heads);
  if (is_f64) {
    attention_task<double>(task);
  } else {
    attention_task<float>(task);
  }
}

}  // namespace minke::kernels::ref
