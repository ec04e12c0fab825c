#pragma once
#include <cstddef>
#include <cstdint>

#include "minke/dtype/block_format.h"
#include "minke/tensor/view.h"

// Layouts that kernels read. This file is compiled with the instruction sets of the kernels, so it
// includes nothing that instantiates templates.
namespace minke::kernels {

/// How a weight matrix [rows = outputs, cols = inputs] lies in memory: in panels of 16 rows, each
/// panel running along the inputs, so that one vector holds the same input of 16 outputs and no
/// horizontal sum is needed. The last panel is padded with rows of zeros.
///
///   f32, f64, f16, bf16   panel[k][row]                     k = 0..cols-1, row = 0..15
///   block formats         units of 32 inputs (256 where the format's groups share d), each:
///     16 x f16 d          d of each row (BlockFormat)
///     16 x f16 m          formats with a minimum
///     small numbers       of each row the groups' scales, then their minima, where the format has
///                         such, n in all; number j of 4 or 6 bits has its low four bits in the
///                         byte [j / 2][row], in the low half for even j; of 6 bits its high two
///                         in the byte [n / 2 + j / 4][row] from bit 2 (j % 4) on; of 8 bits it
///                         is the byte [j][row]
///     then for every 32 inputs the numbers q in bit planes of 64-byte lines [row * 4 + i]:
///       8 bits            8 lines: line c has input 4c + i
///       4, 5, 6 bits      4 lines: line c has of inputs 8c + i and 8c + 4 + i the low four bits
///       2, 3 bits         2 lines: line c has of inputs 16c + 4j + i the bits 0, 1 at 2j, 2j + 1
///       3 and 5 bits      1 line more: bit j is the highest bit of input 4j + i
///       6 bits            2 lines more: as the lines of 2 bits, the highest two
///
/// So a packed matrix has the size that it has in its file, but for padding rows.
inline constexpr int kPanelRows = 16;
inline constexpr int kBlockCols = 32;
inline constexpr int kLineBytes = kPanelRows * 4;

/// Where those parts are, in bytes.
struct PanelLayout {
  int unit_cols;    ///< inputs of a unit
  int num_numbers;  ///< small numbers of a row in a unit
  int m_at;         ///< from the unit's start
  int numbers_at;   ///< from the unit's start; of the two high bits: high_numbers_at
  int high_numbers_at;
  int quants_at;    ///< from the unit's start
  int low_bits;     ///< of q in the first plane: 2, 4 or 8
  int high_bits;    ///< of q in the second: 0, 1 or 2
  int high_at;      ///< of the second plane, from the start of 32 inputs' lines
  int block_bytes;  ///< of 32 inputs' lines
  int unit_bytes;
};

/// The layout of a block format, as a constant (see block_format_of).
consteval PanelLayout panel_layout_of(const BlockFormat& format) {
  PanelLayout layout{};
  layout.unit_cols = format.block_size;
  layout.num_numbers = format.scale_bits == 0 ? 0 : format.num_groups() * (format.has_min ? 2 : 1);
  layout.m_at = 2 * kPanelRows;
  layout.numbers_at = layout.m_at * (format.has_min ? 2 : 1);
  const int low_numbers = layout.num_numbers / (format.scale_bits == 8 ? 1 : 2);
  layout.high_numbers_at = layout.numbers_at + low_numbers * kPanelRows;
  const int high_numbers = format.scale_bits == 6 ? layout.num_numbers / 4 : 0;
  layout.quants_at = layout.high_numbers_at + high_numbers * kPanelRows;
  layout.low_bits = format.bits >= 8 ? 8 : format.bits >= 4 ? 4 : 2;
  layout.high_bits = format.bits - layout.low_bits;
  layout.high_at = layout.low_bits * kLineBytes;
  layout.block_bytes = format.bits * kLineBytes;
  layout.unit_bytes = layout.quants_at + layout.unit_cols / kBlockCols * layout.block_bytes;
  return layout;
}

/// A packed weight matrix, raw.
struct PackedView {
  const std::byte* data = nullptr;
  DType dtype = DType::kF32;
  int64_t rows = 0;  ///< outputs
  int64_t cols = 0;  ///< inputs; whole units for block formats

  int64_t num_panels() const { return (rows + kPanelRows - 1) / kPanelRows; }
};

/// Activations quantised for integer products in blocks of 32 inputs of a row:
///
///   x ~ scale * (q + q_low / 128),  q in [-127, 127], q_low in [-64, 64]
///
/// Most blocks have q_low = 0, which is 8 bits and one int8 product. A block whose largest input is
/// far above the average of its row's blocks would bring most of the row's error: it takes 15 bits
/// and a second product for the remainder (low_bound(), decision 4). The buffers are the caller's.
struct Int8View {
  int8_t* q = nullptr;           ///< [rows, cols]
  int8_t* q_low = nullptr;       ///< [rows, cols]; undefined where has_low is 0
  uint8_t* has_low = nullptr;    ///< [rows, num_blocks]
  float* scale = nullptr;        ///< [rows, num_blocks]
  float* scale_sum = nullptr;    ///< [rows, num_blocks]: the sum of the block's inputs
  int32_t* q_sum = nullptr;      ///< [rows, 2 num_blocks]: of every 16 q
  int32_t* q_low_sum = nullptr;  ///< [rows, 2 num_blocks]: of every 16 q_low; 0 without
  int64_t rows = 0;
  int64_t cols = 0;  ///< a multiple of 32

  int64_t num_blocks() const { return cols / kBlockCols; }
  /// `count` of its rows from `row` on.
  Int8View rows_from(int64_t row, int64_t count) const {
    const int64_t block = row * num_blocks();
    return {
        q + row * cols,    q_low + row * cols,    has_low + block, scale + block, scale_sum + block,
        q_sum + 2 * block, q_low_sum + 2 * block, count,           cols};
  }
};

/// x * int8_factor(max|x|) rounded is x in 8 bits, in units of int8_step(max|x|). Below 2^-100 all
/// numbers count as zero, for 127 / max must not overflow.
static inline float int8_factor(float max) { return max >= 0x1p-100f ? 127.0f / max : 0.0f; }
static inline float int8_step(float max) { return max >= 0x1p-100f ? max / 127.0f : 0.0f; }

/// A block has a q_low when its max|x| is above this; `sum_of_max` is added up in order over the
/// row's blocks.
static inline float low_bound(float sum_of_max, int64_t num_blocks) {
  constexpr float kTimesTheMean = 2.0f;  // measured in decision 4
  return kTimesTheMean / static_cast<float>(num_blocks) * sum_of_max;
}

/// scale * sum of (q + q_low / 128), from the whole numbers' sums.
static inline float sum_of_inputs(float scale, int32_t q_sum, int32_t q_low_sum) {
  return scale / 128.0f * static_cast<float>(128 * q_sum + q_low_sum);
}

/// The largest f16: what the KV cache makes of larger numbers, as infinity times 0 is no number.
inline constexpr float kF16Max = 65504.0f;

/// Tokens in one page of the KV cache.
inline constexpr int kPageTokens = 64;

/// Keys and values in pages. A page holds kPageTokens tokens, in each layer of every KV head:
///
///   keys     [kv_head][d][token]   transposed: a vector holds one d of 16 tokens
///   values   [kv_head][token][d]
///
/// in f32, f16 (within +-kF16Max; f64 in gradient checks), or i8 with a scale for each token of
/// each head, its max|x| / 127:
///
///   keys     [kv_head]{[d][token] numbers, [token] f32 scales}, and the values likewise
///
/// With `latent` (MLA; num_kv_heads 1) there is one row for both: the latent of value_dim numbers,
/// which is the value and begins the key, then the rest of the key, which is rotated. In i8 each of
/// the two parts has a scale:
///
///   rows     {[token][head_dim] numbers, [token] f32 scales of latents, [token] f32 of the rest}
///
/// All layers of a page lie together, so that memory is touched as the sequences grow. `data` is
/// where the layer in hand begins in page 0; kernels find it in page p at data + p * page_bytes().
struct KvPages {
  std::byte* data = nullptr;
  DType dtype = DType::kF32;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;
  int64_t num_layers = 1;
  int64_t value_dim = 0;  ///< of a head's values; 0: head_dim
  bool latent = false;

  constexpr bool has_scales() const { return dtype == DType::kI8; }
  constexpr int64_t element_bytes() const {
    return dtype == DType::kF64 ? 8 : dtype == DType::kF32 ? 4 : has_scales() ? 1 : 2;
  }
  int64_t value_size() const { return value_dim > 0 ? value_dim : head_dim; }
  /// Of a head's numbers of `dim` a token; its scales begin after them.
  constexpr int64_t numbers_bytes(int64_t dim) const { return dim * kPageTokens * element_bytes(); }
  int64_t head_bytes(int64_t dim) const {
    return numbers_bytes(dim) + (has_scales() ? kPageTokens * 4 : 0);
  }
  /// Where a head's keys and values begin in a layer of a page.
  int64_t keys_at(int64_t kv_head) const { return kv_head * head_bytes(head_dim); }
  int64_t values_at(int64_t kv_head) const {
    return latent ? 0 : keys_at(num_kv_heads) + kv_head * head_bytes(value_size());
  }
  /// Where the scales of a head's keys and values begin, counted from the head's.
  int64_t key_scales_at() const { return numbers_bytes(head_dim) + (latent ? kPageTokens * 4 : 0); }
  int64_t value_scales_at() const { return numbers_bytes(latent ? head_dim : value_size()); }
  /// Numbers from a token's values to the next token's.
  int64_t value_stride() const { return latent ? head_dim : value_size(); }
  /// The part of a key that is not in the values.
  int64_t rest_dim() const { return head_dim - value_size(); }
  int64_t layer_bytes() const {
    if (!latent) return keys_at(num_kv_heads) + num_kv_heads * head_bytes(value_size());
    return numbers_bytes(head_dim) + (has_scales() ? 2 * kPageTokens * 4 : 0);
  }
  int64_t page_bytes() const { return num_layers * layer_bytes(); }
};

/// Rows of a batch that belong to one sequence.
struct AttentionSegment {
  int64_t row_begin = 0;  ///< first row in q, k, v, out
  int64_t num_rows = 0;
  int64_t position = 0;                 ///< position of the first row in its sequence
  const int32_t* page_table = nullptr;  ///< page of tokens 64 i .. 64 i + 63
  bool generated = false;               ///< the rows were drawn, not read as a prompt (nn/mla.h)
};

/// Keys that attention takes in one go: within a span page after page, then span after span. So
/// spans can be shared among threads without a bit changed.
inline constexpr int64_t kSpanTokens = 8 * kPageTokens;

/// The softmax of a query over one span: out = sum of e^(score - max) v, sum = sum of e^(score -
/// max), the partial result that spans are joined from. Where the query sees none of the keys: -inf
/// and zeros.
struct SpanResult {
  float* out = nullptr;  ///< [value_size]
  float max = 0.0f;
  float sum = 0.0f;
};

/// A piece of attention (kernels/attention.h): columns [column_begin, column_end) of a segment, a
/// column being one query, that of head column % group() of KV head `kv_head` in the segment's row
/// column / group(). Over all keys, or over those of one span, in which case the results go to
/// `partial`, in the order of the columns.
struct AttentionTask {
  ConstView q;
  View out;
  AttentionSegment segment;
  KvPages pages;
  int64_t num_heads = 0;
  double scale = 1.0;
  int64_t kv_head = 0;
  int64_t column_begin = 0;
  int64_t column_end = 0;
  int64_t span = 0;
  SpanResult* partial = nullptr;

  int64_t group() const { return num_heads / pages.num_kv_heads; }
  int64_t num_columns() const { return column_end - column_begin; }
  /// A column's row in the batch, its head, and the keys that it sees.
  int64_t row_of(int64_t column) const { return segment.row_begin + column / group(); }
  int64_t head_of(int64_t column) const { return kv_head * group() + column % group(); }
  int64_t num_keys(int64_t column) const { return segment.position + column / group() + 1; }
};

/// What attention_grad() (kernels/attention.h) reads and writes.
struct AttentionGradArgs {
  ConstView q, k, v, d_out;
  View dq, dk, dv;
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;
  double scale = 1.0;
};

/// One KV head of one sequence, rows [row_begin, row_begin + num_rows).
struct AttentionGradTask {
  const AttentionGradArgs* args;
  int64_t row_begin;
  int64_t num_rows;
  int64_t kv_head;

  int64_t head_dim() const { return args->q.cols / args->num_heads; }
  int64_t value_dim() const { return args->d_out.cols / args->num_heads; }
};
inline constexpr int64_t kGradHeadMax = 256;  ///< the widest head of the vector kernels
inline constexpr int64_t kGradQueries = 64;   ///< that they take at once
inline constexpr int64_t padded_keys(int64_t num_rows) {
  return (num_rows + kPanelRows - 1) / kPanelRows * kPanelRows;
}

}  // namespace minke::kernels
