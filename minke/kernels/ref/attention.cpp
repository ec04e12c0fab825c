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

template <class T>
void decode_part(const std::byte* data, DType dtype, std::vector<T>& out) {
  for (size_t i = 0; i < out.size(); ++i) {
    if (dtype == DType::kF16) {
      uint16_t bits;
      std::memcpy(&bits, data + 2 * i, 2);
      out[i] = f16_to_f32(bits);
    } else {
      std::memcpy(&out[i], data + sizeof(T) * i, sizeof(T));
    }
  }
}

template <class T>
std::vector<PageCopy<T>> decode_pages(const AttentionTask& task) {
  const KvPages& pages = task.pages;
  const int64_t num_keys = task.segment.position + task.row_end;
  const int64_t head_elements = pages.head_dim * kPageTokens;
  std::vector<PageCopy<T>> copies((num_keys + kPageTokens - 1) / kPageTokens);
  for (size_t p = 0; p < copies.size(); ++p) {
    const std::byte* keys = pages.data + task.segment.page_table[p] * pages.page_bytes() +
                            task.kv_head * head_elements * pages.element_bytes();
    copies[p].keys.resize(head_elements);
    copies[p].values.resize(head_elements);
    decode_part(keys, pages.dtype, copies[p].keys);
    decode_part(keys + pages.part_bytes(), pages.dtype, copies[p].values);
  }
  return copies;
}

// Online softmax (Milakov and Gimelshein 2018) with a page as its step:
//   s_t = scale * (q . k_t),  m' = max(m, max s),  c = exp(m - m'),  p_t = exp(s_t - m')
//   l = l c + sum p_t,  o = o c + sum p_t v_t;  at the end o / l
template <class T>
void attend(const T* q, int64_t num_keys, const std::vector<PageCopy<T>>& pages, int64_t head_dim,
            T scale, T* out) {
  T max = -std::numeric_limits<T>::infinity();
  T sum = 0;
  std::fill_n(out, head_dim, T{0});
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
    for (int64_t d = 0; d < head_dim; ++d) out[d] *= correction;
    for (int64_t t = 0; t < count; ++t) {
      const T p = exp_of<T>(scores[t] - new_max);
      sum += p;
      for (int64_t d = 0; d < head_dim; ++d) {
        out[d] = std::fma(p, page.values[t * head_dim + d], out[d]);
      }
    }
    max = new_max;
  }
  for (int64_t d = 0; d < head_dim; ++d) out[d] /= sum;
}

template <class T>
void attention_task(const AttentionTask& task) {
  const int64_t head_dim = task.pages.head_dim;
  const int64_t group = task.num_heads / task.pages.num_kv_heads;
  const std::vector<PageCopy<T>> pages = decode_pages<T>(task);
  for (int64_t row = task.row_begin; row < task.row_end; ++row) {
    const int64_t batch_row = task.segment.row_begin + row;
    for (int64_t head = task.kv_head * group; head < (task.kv_head + 1) * group; ++head) {
      attend<T>(task.q.row<T>(batch_row) + head * head_dim, task.segment.position + row + 1, pages,
                head_dim, static_cast<T>(task.scale), task.out.row<T>(batch_row) + head * head_dim);
    }
  }
}

void store_element(std::byte* part, DType dtype, int64_t index, const ConstView& from, int64_t row,
                   int64_t column) {
  if (dtype == DType::kF64) {
    std::memcpy(part + 8 * index, from.row<double>(row) + column, 8);
    return;
  }
  const float value = from.row<float>(row)[column];
  if (dtype == DType::kF32) {
    std::memcpy(part + 4 * index, &value, 4);
  } else {
    const uint16_t half = f32_to_f16(value);
    std::memcpy(part + 2 * index, &half, 2);
  }
}

}  // namespace

void write_kv(const ConstView& k, const ConstView& v, const AttentionSegment& segment,
              const KvPages& pages, int64_t kv_head) {
  MK_CHECK(k.dtype == v.dtype && (k.dtype == DType::kF64) == (pages.dtype == DType::kF64),
           "ref write_kv: k {}, v {} to pages of {}", dtype_info(k.dtype).name,
           dtype_info(v.dtype).name, dtype_info(pages.dtype).name);
  const int64_t head_dim = pages.head_dim;
  for (int64_t i = 0; i < segment.num_rows; ++i) {
    const int64_t position = segment.position + i;
    const int64_t token = position % kPageTokens;
    std::byte* keys = pages.data + segment.page_table[position / kPageTokens] * pages.page_bytes() +
                      kv_head * head_dim * kPageTokens * pages.element_bytes();
    std::byte* values = keys + pages.part_bytes();
    for (int64_t d = 0; d < head_dim; ++d) {
      const int64_t column = kv_head * head_dim + d;
      const int64_t row = segment.row_begin + i;
      store_element(keys, pages.dtype, d * kPageTokens + token, k, row, column);
      store_element(values, pages.dtype, token * head_dim + d, v, row, column);
    }
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
