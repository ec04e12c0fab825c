#include "minke/train/optimizer_state.h"

#include <algorithm>
#include <cstring>

namespace minke {

std::string state_name(const char* kind, const std::string& name, size_t index) {
  return name.empty() ? fmt::format("{}.{}", kind, index) : fmt::format("{}.{}", kind, name);
}

Result<Tensor> copied_entry(const OptimizerState& state, const std::string& name, DType dtype,
                            const Shape& shape) {
  const auto entry = std::find_if(state.tensors.begin(), state.tensors.end(),
                                  [&](const auto& each) { return each.name == name; });
  if (entry == state.tensors.end()) {
    return fail(ErrorCode::kCorrupt,
                "the optimizer's state has no '{}': it is of another model or optimizer", name);
  }
  const Tensor& value = entry->value;
  if (value.dtype() != dtype || !(value.shape() == shape)) {
    return fail(ErrorCode::kCorrupt,
                "the optimizer's '{}' is {} {} when it should be {} {}: resume with the settings "
                "that the checkpoint was made with",
                name, dtype_info(value.dtype()).name, value.shape().text(), dtype_info(dtype).name,
                shape.text());
  }
  Tensor copy = Tensor::zeros(dtype, shape);
  std::memcpy(copy.view().data, value.view().data,
              static_cast<size_t>(dtype_bytes(dtype, shape.num_elements())));
  return copy;
}

}  // namespace minke
