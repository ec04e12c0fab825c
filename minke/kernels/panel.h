#pragma once
#include <cstddef>
#include <cstdint>

#include "minke/dtype/dtype.h"
#include "minke/tensor/view.h"

// Layouts that kernels read. This file is compiled with the instruction sets of the kernels, so it
// includes nothing that instantiates templates.
namespace minke::kernels {

/// How a weight matrix [rows = outputs, cols = inputs] lies in memory: in panels of 16 rows, each
/// panel running along the inputs, so that one vector holds the same input of 16 outputs and no
/// horizontal sum is needed. The last panel is padded with zero rows.
///
///   f32, f64, f16, bf16   panel[k][row]                     k = 0..cols-1, row = 0..15
///   q4_0, q4_1, q8_0      blocks of 32 inputs, each:
///     16 x f16 d          scale of each row
///     16 x f16 m          q4_1 only
///     q4_*: 4 x 64 bytes  byte [c][row*4 + i]: input 8c+i in the low, 8c+4+i in the high nibble
///     q8_0: 8 x 64 bytes  byte [c][row*4 + i]: input 4c+i as unsigned, q + 128
///
/// An element is d*q + m with q unsigned and m = -8 d (q4_0) or -128 d (q8_0).
inline constexpr int kPanelRows = 16;
inline constexpr int kBlockCols = 32;

/// A packed weight matrix, raw.
struct PackedView {
  const std::byte* data = nullptr;
  DType dtype = DType::kF32;
  int64_t rows = 0;  ///< outputs
  int64_t cols = 0;  ///< inputs; a multiple of 32 for block formats

  int64_t num_panels() const { return (rows + kPanelRows - 1) / kPanelRows; }
};

/// Activations quantised for integer products, one scale for every 32 inputs of a row, in 8 or 15
/// bits:
///
///   8 bits    x ~ scale * q
///   15 bits   x ~ scale * (128 q + q_low), q_low in [-64, 64]: a second int8 product, and 128
///   times
///             smaller steps for inputs with outliers
///
/// The buffers are the caller's.
struct Int8View {
  int8_t* q = nullptr;         ///< [rows, cols]
  float* scale = nullptr;      ///< [rows, num_blocks]
  float* scale_sum = nullptr;  ///< [rows, num_blocks]: scale * sum of the block's whole numbers
  int64_t rows = 0;
  int64_t cols = 0;         ///< a multiple of 32
  int8_t* q_low = nullptr;  ///< [rows, cols] for 15 bits; null for 8

  int64_t num_blocks() const { return cols / kBlockCols; }
};

/// Tokens in one page of the KV cache.
inline constexpr int kPageTokens = 64;

/// One layer's keys and values in pages. A page holds kPageTokens tokens of every KV head:
///
///   keys     [kv_head][d][token]   transposed: a vector holds one d of 16 tokens
///   values   [kv_head][token][d]
///
/// in f32, f16 (or f64 in gradient checks). Page p of the layer begins at data + p * page_bytes().
struct KvPages {
  std::byte* data = nullptr;
  DType dtype = DType::kF32;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;

  int64_t element_bytes() const { return dtype == DType::kF64 ? 8 : dtype == DType::kF32 ? 4 : 2; }
  /// Of the keys, and of the values, of a page.
  int64_t part_bytes() const { return num_kv_heads * head_dim * kPageTokens * element_bytes(); }
  int64_t page_bytes() const { return 2 * part_bytes(); }
};

/// Rows of a batch that belong to one sequence.
struct AttentionSegment {
  int64_t row_begin = 0;  ///< first row in q, k, v, out
  int64_t num_rows = 0;
  int64_t position = 0;                 ///< position of the first row in its sequence
  const int32_t* page_table = nullptr;  ///< page of tokens 64 i .. 64 i + 63
};

/// A piece of attention (kernels/attention.h): the query heads of KV head `kv_head` in rows
/// [row_begin, row_end) of the segment, counted from its first row.
struct AttentionTask {
  ConstView q;
  View out;
  AttentionSegment segment;
  KvPages pages;
  int64_t num_heads = 0;
  double scale = 1.0;
  int64_t kv_head = 0;
  int64_t row_begin = 0;
  int64_t row_end = 0;
};

}  // namespace minke::kernels
