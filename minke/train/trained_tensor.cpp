#include "minke/train/trained_tensor.h"

#include <algorithm>

namespace minke {
namespace {

// Their rows are looked up or compared one by one, not applied to a hidden state as a map
// (kellerjordan.github.io/posts/muon, "when should you use it").
bool is_table(const std::string& name) {
  return name.starts_with("token_embd.") || name.starts_with("position_embd.") ||
         name.starts_with("output.") || name.find("ffn_gate_inp.") != std::string::npos;
}

}  // namespace

TrainedTensor trained_tensor(const Parameter& parameter) {
  TrainedTensor tensor;
  tensor.weight = parameter.value;
  tensor.decays = parameter.rows > 0;
  if (!parameter.names.empty()) tensor.name = parameter.names[0];
  if (parameter.rows > 0 &&
      std::none_of(parameter.names.begin(), parameter.names.end(), is_table)) {
    tensor.matrix_rows = parameter.name_rows;
    if (tensor.matrix_rows.empty()) tensor.matrix_rows = {parameter.rows};
    tensor.cols = parameter.cols;
  }
  return tensor;
}

void check_trained(const char* op, const TrainedTensor& tensor) {
  const Tensor& weight = tensor.weight;
  const Tensor& gradient = tensor.gradient;
  MK_CHECK(!weight.read_only(), "{}: weight {} lies in a mapped file", op, weight.shape().text());
  MK_CHECK(weight.dtype() == DType::kF32 && weight.contiguous(),
           "{}: weight {} {} must be contiguous f32", op, dtype_info(weight.dtype()).name,
           weight.shape().text());
  if (!gradient.defined()) return;
  MK_CHECK(gradient.dtype() == DType::kF32 && gradient.contiguous() &&
               gradient.shape() == weight.shape(),
           "{}: gradient {} {} for weight {}", op, dtype_info(gradient.dtype()).name,
           gradient.shape().text(), weight.shape().text());
}

}  // namespace minke
