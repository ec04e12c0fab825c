#include "minke/convert/fp8_tensors.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <utility>

#include "minke/dtype/fp8.h"

namespace minke {
namespace {

constexpr int64_t kBlock = 128;

int64_t num_blocks_of(int64_t size) { return (size + kBlock - 1) / kBlock; }

float scale_of(float largest, Fp8ScaleFormat format) {
  const float scale = largest / kE4m3Max;
  if (scale == 0.0f) return 1.0f;
  if (format == Fp8ScaleFormat::kFloat) return scale;
  int exponent = 0;
  const float fraction = std::frexp(scale, &exponent);  // in [0.5, 1)
  return std::ldexp(1.0f, fraction == 0.5f ? exponent - 1 : exponent);
}

}  // namespace

// A matrix of f32 that becomes f8_e4m3. Its scales are made first, and are read when the weights
// are: tensors are written one after the other.
class Fp8Matrix {
 public:
  Fp8Matrix(PlannedTensor from, Fp8ScaleFormat format)
      : from_(std::move(from)),
        format_(format),
        rows_(from_.declaration.shape[0]),
        cols_(from_.declaration.shape[1]),
        unit_rows_(rows_ / from_.num_units),
        scales_(static_cast<size_t>(num_blocks_of(rows_) * num_blocks_of(cols_))) {}

  PlannedTensor scales_plan() {
    PlannedTensor plan;
    plan.declaration.name = from_.declaration.name + "_scale_inv";
    plan.declaration.shape = {num_blocks_of(rows_), num_blocks_of(cols_)};
    plan.sources = from_.sources;
    plan.num_units = num_blocks_of(rows_);
    plan.make = [this](int64_t unit, std::byte* out) { make_scales(unit, out); };
    return plan;
  }

  PlannedTensor weights_plan() const {
    PlannedTensor plan;
    plan.declaration = from_.declaration;
    plan.declaration.dtype = DType::kF8E4M3;
    plan.sources = from_.sources;
    plan.num_units = from_.num_units;
    plan.make = [this](int64_t unit, std::byte* out) { make_weights(unit, out); };
    return plan;
  }

 private:
  // Writes the scales of the blocks of one row of blocks.
  void make_scales(int64_t block_row, std::byte* out) {
    const int64_t begin = block_row * kBlock, end = std::min(rows_, begin + kBlock);
    const int64_t num_scales = num_blocks_of(cols_);
    float* const scales = scales_.data() + block_row * num_scales;
    std::fill_n(scales, num_scales, 0.0f);
    for (int64_t unit = begin / unit_rows_; unit * unit_rows_ < end; ++unit) {
      const std::vector<float> values = unit_values(unit);
      const int64_t first = std::max(begin, unit * unit_rows_);
      const int64_t last = std::min(end, (unit + 1) * unit_rows_);
      for (int64_t row = first; row < last; ++row) {
        const float* x = values.data() + (row - unit * unit_rows_) * cols_;
        for (int64_t i = 0; i < cols_; ++i) {
          scales[i / kBlock] = std::max(scales[i / kBlock], std::abs(x[i]));
        }
      }
    }
    for (int64_t i = 0; i < num_scales; ++i) scales[i] = scale_of(scales[i], format_);
    std::memcpy(out, scales, static_cast<size_t>(num_scales) * sizeof(float));
  }

  void make_weights(int64_t unit, std::byte* out) const {
    const std::vector<float> values = unit_values(unit);
    for (int64_t r = 0; r < unit_rows_; ++r) {
      const int64_t row = unit * unit_rows_ + r;
      const float* const scales = scales_.data() + row / kBlock * num_blocks_of(cols_);
      for (int64_t i = 0; i < cols_; ++i) {
        const float x = values[static_cast<size_t>(r * cols_ + i)] / scales[i / kBlock];
        out[r * cols_ + i] = static_cast<std::byte>(f32_to_e4m3(x));
      }
    }
  }

  std::vector<float> unit_values(int64_t unit) const {
    std::vector<float> values(static_cast<size_t>(unit_rows_ * cols_));
    from_.make(unit, reinterpret_cast<std::byte*>(values.data()));
    return values;
  }

  PlannedTensor from_;
  Fp8ScaleFormat format_;
  int64_t rows_;
  int64_t cols_;
  int64_t unit_rows_;
  std::vector<float> scales_;  // [blocks of rows, blocks of cols]
};

bool is_fp8_matrix(std::string_view hf_name, const Shape& shape) {
  const bool in_block = hf_name.find(".self_attn.") != std::string_view::npos ||
                        hf_name.find(".mlp.") != std::string_view::npos;
  const bool projects =
      hf_name.ends_with("_proj.weight") || hf_name.ends_with("_proj_with_mqa.weight");
  return in_block && projects && shape.num_dims() == 2 && shape.num_elements() > 0;
}

Fp8Plan plan_fp8(std::vector<PlannedTensor> exact, std::vector<PlannedTensor> others,
                 Fp8ScaleFormat format) {
  std::map<std::string, PlannedTensor> kept;
  for (PlannedTensor& tensor : others) {
    std::string name = tensor.declaration.name;
    kept.emplace(std::move(name), std::move(tensor));
  }
  Fp8Plan out;
  for (PlannedTensor& tensor : exact) {
    const WeightDeclaration& declared = tensor.declaration;
    if (!is_fp8_matrix(declared.name, declared.shape)) {
      out.tensors.push_back(std::move(kept.at(declared.name)));
      continue;
    }
    Fp8Matrix* const matrix =
        out.matrices.emplace_back(std::make_unique<Fp8Matrix>(std::move(tensor), format)).get();
    PlannedTensor scales = matrix->scales_plan(), weights = matrix->weights_plan();
    out.tensors.push_back(std::move(scales));
    out.tensors.push_back(std::move(weights));
  }
  return out;
}

Fp8Plan::Fp8Plan() = default;
Fp8Plan::Fp8Plan(Fp8Plan&&) noexcept = default;
Fp8Plan::~Fp8Plan() = default;

Json fp8_settings(Fp8ScaleFormat format) {
  Json out = Json::object({{"activation_scheme", "dynamic"},
                           {"fmt", "e4m3"},
                           {"quant_method", "fp8"},
                           {"weight_block_size", Json::array({kBlock, kBlock})}});
  if (format == Fp8ScaleFormat::kUe8m0) out.set("scale_fmt", "ue8m0");
  return out;
}

}  // namespace minke
