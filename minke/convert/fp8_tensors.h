#pragma once
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "minke/base/json.h"
#include "minke/convert/planned_tensor.h"

namespace minke {

/// What the scales of FP8 matrices may be.
enum class Fp8ScaleFormat : uint8_t {
  kNone,   ///< nothing is to be FP8
  kFloat,  ///< any number, as DeepSeek-V3's and R1's
  kUe8m0,  ///< a power of two, as DeepSeek-V3.1's; kept as f32, too
};

/// Whether DeepSeek's checkpoints have this tensor in FP8: the projections of attention, experts
/// and other feed-forwards, but not embedding, head, norms, gates and what joins an MTP module's
/// inputs.
bool is_fp8_matrix(std::string_view hf_name, const Shape& shape);

class Fp8Matrix;

/// Tensors in FP8, and what makes them, which must outlive their writing.
struct Fp8Plan {
  std::vector<PlannedTensor> tensors;
  std::vector<std::unique_ptr<Fp8Matrix>> matrices;

  Fp8Plan();
  Fp8Plan(Fp8Plan&&) noexcept;
  ~Fp8Plan();
};

/// A checkpoint as DeepSeek-V3's, under Hugging Face's names: of `exact`, the tensors in f32, each
/// is_fp8_matrix() becomes NAME in f8_e4m3 and before it NAME_scale_inv [ceil(rows / 128),
/// ceil(cols / 128)] in f32; the rest is taken from `others`, the same tensors as they are to be
/// kept. A block's scale s is its largest magnitude / 448 (1 where all are 0), for kUe8m0 the next
/// power of two at or above; its weights are x / s, rounded to nearest even. The tensors must be
/// written in this order.
Fp8Plan plan_fp8(std::vector<PlannedTensor> exact, std::vector<PlannedTensor> others,
                 Fp8ScaleFormat format);

/// What config.json says of them: quantization_config.
Json fp8_settings(Fp8ScaleFormat format);

}  // namespace minke
