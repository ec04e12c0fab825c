#include "minke/convert/parameter_tensors.h"

#include <fmt/format.h>

#include "minke/convert/hf_tensors.h"
#include "minke/convert/tensor_name.h"
#include "minke/models/hf_names.h"
#include "minke/nn/parameter_part.h"

namespace minke {
namespace {

// Of a plan without sources nothing is dropped.
class NoFile final : public SortedWeights {
 public:
  void drop(std::span<const std::byte>) const override {}
};

// Llama's queries and keys of a GGUF file are in neighbouring pairs.
bool is_paired(const ModelConfig& config, const std::string& gguf_name) {
  const std::string part = TensorName::of(gguf_name).part;
  return config.architecture == "llama" && config.rope_style == kernels::RopeStyle::kInterleaved &&
         (part == "attn_q" || part == "attn_k");
}

PlannedTensor planned(const ModelConfig& config, ParameterPart part, const Tensor& storage) {
  const auto name = hf_name_of(part.name, config.architecture);
  MK_CHECK(name.has_value(), "plan_parameters: '{}' has no name in checkpoints", part.name);
  if (config.architecture == "gpt2" && is_conv1d(part.name)) {
    return {{*name, DType::kF32, {part.cols, part.rows}},
            {},
            part.cols,
            [part = std::move(part), storage](int64_t col, std::byte* out) {
              copy_column(part, storage, col, reinterpret_cast<float*>(out));
            }};
  }
  const int64_t head_dim = is_paired(config, part.name) ? config.head_dim : 0;
  const Shape shape = part.shape();
  return {{*name, DType::kF32, shape},
          {},
          shape.num_rows(),
          [part = std::move(part), storage, head_dim](int64_t row, std::byte* out) {
            const int64_t from = head_dim > 0 ? paired_row(row, head_dim) : row;
            copy_row(part, storage, from, reinterpret_cast<float*>(out));
          }};
}

}  // namespace

std::vector<PlannedTensor> plan_parameters(const Model& model, std::span<const Tensor> values) {
  const auto& parameters = model.parameters().parameters();
  MK_CHECK(values.empty() || values.size() == parameters.size(),
           "plan_parameters: {} values for {} parameters", values.size(), parameters.size());
  std::vector<PlannedTensor> plan;
  for (size_t i = 0; i < parameters.size(); ++i) {
    const Parameter& parameter = parameters[i];
    MK_CHECK(parameter.dtype == DType::kF32 && parameter.loras.empty(),
             "plan_parameters: '{}' is {} and has {} adapters", parameter.names.front(),
             dtype_info(parameter.dtype).name, parameter.loras.size());
    for (ParameterPart& part : parts_of(parameter)) {
      plan.push_back(
          planned(model.config(), std::move(part), values.empty() ? parameter.value : values[i]));
    }
  }
  return plan;
}

Result<void> write_parameters(const Model& model, Json config_json,
                              const std::filesystem::path& folder,
                              const WriteTensorsOptions& options, std::span<const Tensor> values) {
  if (config_json.find("torch_dtype") != nullptr) config_json.set("torch_dtype", "float32");
  config_json.set("dtype", "float32");
  MK_TRY(write_file_atomic(folder / "config.json", config_json.dump(2) + "\n"));
  const std::vector<PlannedTensor> plan = plan_parameters(model, values);
  std::vector<WeightDeclaration> declarations;
  for (const PlannedTensor& tensor : plan) declarations.push_back(tensor.declaration);
  MK_ASSIGN(WeightWriter writer, create_safetensors(folder, declarations));
  return write_tensors(plan, NoFile(), options, writer);
}

}  // namespace minke
