#pragma once
#include <cstddef>
#include <cstdint>

#include "minke/dtype/dtype.h"

namespace minke {

inline constexpr int kBlockElementsMax = 256;
inline constexpr int kBlockGroupsMax = 16;

/// A block of a block-quantised format taken apart: the whole numbers that its bytes hold, in the
/// order of the elements. BlockFormat says what they mean.
struct BlockFields {
  uint16_t d = 0;                       ///< f16 bits
  uint16_t m = 0;                       ///< f16 bits; formats with a minimum
  uint8_t scale[kBlockGroupsMax] = {};  ///< of each group; formats with scale_bits
  uint8_t min[kBlockGroupsMax] = {};    ///< of each group; formats with scale_bits and a minimum
  uint8_t q[kBlockElementsMax];         ///< of each element
};

/// What the numbers of a block mean. Element i lies in group g = i / group_size and is
///
///     s (q[i] - bias) + t        or, with `uses_table`, s kIq4Values[q[i]]
///     s = d                      without scale_bits,    t = m
///     s = d (scale[g] - scale_bias)   with scale_bits,  t = -m min[g]
///
/// and t = 0 without a minimum. Every product fits in the 24 bits of an f32, so that an element is
/// rounded at most once: by the addition of t.
struct BlockFormat {
  DType dtype;
  int block_size;   ///< elements a block: 32 or 256
  int group_size;   ///< elements that share s and t: 16 or 32
  int bits;         ///< of q
  int bias;         ///< subtracted from q
  bool has_min;     ///< t is there
  int scale_bits;   ///< of scale[g] and min[g]; 0 where d and m are one group's own
  int scale_bias;   ///< subtracted from scale[g]
  bool uses_table;  ///< q is an index into kIq4Values
  /// Takes a block's bytes apart, and puts them together (null where minke does not encode).
  void (*split)(const std::byte* block, BlockFields& fields);
  void (*join)(const BlockFields& fields, std::byte* block);

  constexpr int num_groups() const { return block_size / group_size; }
};

/// The values of iq4_nl and iq4_xs: 16 steps, finer near zero. Part of the formats.
inline constexpr int8_t kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                          1,    13,   25,  38,  53,  69,  89,  113};

#define MK_BLOCK_FORMAT(id, name, ...)                            \
  void split_##name(const std::byte* block, BlockFields& fields); \
  void join_##name(const BlockFields& fields, std::byte* block);
#include "minke/dtype/block_formats.def"
#undef MK_BLOCK_FORMAT

/// Formats with a table are read only: choosing their indices well needs to know which weights
/// matter.
inline constexpr BlockFormat kBlockFormats[] = {
#define MK_BLOCK_FORMAT(id, name, group, bits, bias, has_min, scale_bits, scale_bias, uses_table) \
  {DType::id,                                                                                     \
   scale_bits > 0 ? 256 : 32,                                                                     \
   group,                                                                                         \
   bits,                                                                                          \
   bias,                                                                                          \
   has_min,                                                                                       \
   scale_bits,                                                                                    \
   scale_bias,                                                                                    \
   uses_table,                                                                                    \
   split_##name,                                                                                  \
   uses_table ? nullptr : join_##name},
#include "minke/dtype/block_formats.def"
#undef MK_BLOCK_FORMAT
};

/// The format's row; it must be block-quantised. For constants: files that are
/// compiled for one instruction set must not emit functions that others may link.
consteval BlockFormat block_format_of(DType dtype) {
  int i = 0;
  while (kBlockFormats[i].dtype != dtype) ++i;  // past the end is no constant: an error
  return kBlockFormats[i];
}

/// The same at run time (MK_CHECK).
const BlockFormat& block_format(DType dtype);

/// One group's s and t of BlockFormat's equation.
struct GroupScale {
  float s;
  float t;
};
GroupScale group_scale(const BlockFormat& format, const BlockFields& fields, int group);

/// Decodes whole blocks by a format's row; see DTypeInfo.
void decode_blocks(const BlockFormat& format, const std::byte* blocks, int64_t num_blocks,
                   float* out);

/// Encodes whole blocks: searches scales and minima for the least squared error, in which element i
/// counts weights[i] >= 0 (null: all alike). Infinities and NaN become finite. The bytes of a block
/// depend on its own values and weights only, and are the same on every CPU. `format` must have a
/// join (MK_CHECK).
void encode_blocks(const BlockFormat& format, const float* values, const float* weights,
                   int64_t num_blocks, std::byte* blocks);

}  // namespace minke
