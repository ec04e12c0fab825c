#include "minke/nn/panel_store.h"

namespace minke {

Result<Tensor> PanelMemory::place(const PanelMatrix& matrix, PackRows pack) {
  Tensor panels = Tensor::zeros(matrix.tensor_dtype(), matrix.tensor_shape());
  MK_TRY(pack(0, matrix.rows, panels.view().data));
  return panels;
}

Result<Tensor> PanelCounter::place(const PanelMatrix& matrix, PackRows) {
  bytes_ += matrix.bytes();
  if (is_expert(matrix)) expert_bytes_ += matrix.bytes();
  return Tensor();
}

bool is_expert(const PanelMatrix& matrix) {
  return matrix.name.find("_exps.") != std::string::npos;
}

}  // namespace minke
