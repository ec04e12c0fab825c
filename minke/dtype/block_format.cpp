#include "minke/dtype/block_format.h"

#include "minke/base/check.h"
#include "minke/dtype/half.h"

namespace minke {

const BlockFormat& block_format(DType dtype) {
  for (const BlockFormat& format : kBlockFormats) {
    if (format.dtype == dtype) return format;
  }
  MK_CHECK(false, "block_format: {} is no block format", dtype_info(dtype).name);
}

GroupScale group_scale(const BlockFormat& format, const BlockFields& fields, int group) {
  const float d = f16_to_f32(fields.d);
  const float m = f16_to_f32(fields.m);
  if (format.scale_bits == 0) return {d, format.has_min ? m : 0.0f};
  const int scale = fields.scale[group] - format.scale_bias;
  return {d * static_cast<float>(scale),
          format.has_min ? -(m * static_cast<float>(fields.min[group])) : 0.0f};
}

void decode_blocks(const BlockFormat& format, const std::byte* blocks, int64_t num_blocks,
                   float* out) {
  const int block_bytes = dtype_info(format.dtype).block_bytes;
  BlockFields fields;
  for (int64_t b = 0; b < num_blocks; ++b, blocks += block_bytes) {
    format.split(blocks, fields);
    for (int first = 0; first < format.block_size; first += format.group_size) {
      const auto [s, t] = group_scale(format, fields, first / format.group_size);
      for (int i = first; i < first + format.group_size; ++i) {
        const int q = format.uses_table ? kIq4Values[fields.q[i]] : fields.q[i] - format.bias;
        // Without a minimum nothing is added: -0 + 0 would lose its sign.
        *out++ = format.has_min ? s * static_cast<float>(q) + t : s * static_cast<float>(q);
      }
    }
  }
}

}  // namespace minke
