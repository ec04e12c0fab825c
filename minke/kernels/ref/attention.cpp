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

// A head's numbers in a part of a page, `dim` a token, token t's being those with token_of(i) == t.
template <class T, class TokenOf>
void decode_part(const std::byte* head, const KvPages& pages, int64_t dim, std::vector<T>& out,
                 const TokenOf& token_of) {
  out.resize(dim * kPageTokens);
  for (size_t i = 0; i < out.size(); ++i) {
    if (pages.dtype == DType::kF16) {
      uint16_t bits;
      std::memcpy(&bits, head + 2 * i, 2);
      out[i] = f16_to_f32(bits);
    } else if (pages.dtype == DType::kI8) {
      float scale;
      std::memcpy(&scale, head + pages.numbers_bytes(dim) + 4 * token_of(i), 4);
      out[i] = static_cast<T>(scale * static_cast<float>(static_cast<int8_t>(head[i])));
    } else {
      std::memcpy(&out[i], head + sizeof(T) * i, sizeof(T));
    }
  }
}

template <class T>
std::vector<PageCopy<T>> decode_pages(const AttentionTask& task) {
  const KvPages& pages = task.pages;
  const int64_t num_keys = task.segment.position + task.row_end;
  std::vector<PageCopy<T>> copies((num_keys + kPageTokens - 1) / kPageTokens);
  for (size_t p = 0; p < copies.size(); ++p) {
    const std::byte* page = pages.data + task.segment.page_table[p] * pages.page_bytes();
    const int64_t value_dim = pages.value_size();
    decode_part(page + pages.keys_at(task.kv_head), pages, pages.head_dim, copies[p].keys,
                [](size_t i) { return i % kPageTokens; });
    decode_part(page + pages.values_at(task.kv_head), pages, value_dim, copies[p].values,
                [&](size_t i) { return i / static_cast<size_t>(value_dim); });
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
  const int64_t group = task.group();
  const std::vector<PageCopy<T>> pages = decode_pages<T>(task);
  for (int64_t row = task.row_begin; row < task.row_end; ++row) {
    const int64_t batch_row = task.segment.row_begin + row;
    for (int64_t head = task.kv_head * group; head < (task.kv_head + 1) * group; ++head) {
      attend<T>(task.q.row<T>(batch_row) + head * head_dim, task.segment.position + row + 1, pages,
                head_dim, value_dim, static_cast<T>(task.scale),
                task.out.row<T>(batch_row) + head * value_dim);
    }
  }
}

// Stores the numbers of one head and token, `dim` of them, number d at index first + d * step.
void store_token(const ConstView& from, int64_t row, int64_t kv_head, const KvPages& pages,
                 int64_t dim, std::byte* head, int64_t first, int64_t step, int64_t token) {
  const auto store = [&](int64_t d, const auto& value) {
    std::memcpy(head + static_cast<int64_t>(sizeof(value)) * (first + d * step), &value,
                sizeof(value));
  };
  if (pages.dtype == DType::kF64) {
    for (int64_t d = 0; d < dim; ++d) store(d, from.row<double>(row)[kv_head * dim + d]);
    return;
  }
  const float* x = from.row<float>(row) + kv_head * dim;
  float max = 0.0f;
  for (int64_t d = 0; d < dim; ++d) max = std::max(max, std::fabs(x[d]));
  for (int64_t d = 0; d < dim; ++d) {
    if (pages.dtype == DType::kF32) {
      store(d, x[d]);
    } else if (pages.dtype == DType::kI8) {
      store(d, static_cast<int8_t>(std::nearbyint(x[d] * int8_factor(max))));
    } else {
      store(d, f32_to_f16(std::clamp(x[d], -kF16Max, kF16Max)));
    }
  }
  if (!pages.has_scales()) return;
  const float scale = int8_step(max);
  std::memcpy(head + pages.numbers_bytes(dim) + 4 * token, &scale, 4);
}

}  // namespace

void write_kv(const ConstView& k, const ConstView& v, const AttentionSegment& segment,
              const KvPages& pages, int64_t kv_head) {
  MK_CHECK(k.dtype == v.dtype && (k.dtype == DType::kF64) == (pages.dtype == DType::kF64),
           "ref write_kv: k {}, v {} to pages of {}", dtype_info(k.dtype).name,
           dtype_info(v.dtype).name, dtype_info(pages.dtype).name);
  for (int64_t i = 0; i < segment.num_rows; ++i) {
    const int64_t position = segment.position + i;
    const int64_t token = position % kPageTokens;
    std::byte* page = pages.data + segment.page_table[position / kPageTokens] * pages.page_bytes();
    const int64_t row = segment.row_begin + i, value_dim = pages.value_size();
    store_token(k, row, kv_head, pages, pages.head_dim, page + pages.keys_at(kv_head), token,
                kPageTokens, token);
    store_token(v, row, kv_head, pages, value_dim, page + pages.values_at(kv_head),
                token * value_dim, 1, token);
  }
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
