#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "minke/nn/parameter.h"
#include "minke/tensor/tensor.h"

namespace minke {

/// A weight, its gradient, and how it is trained. Both f32, contiguous, of one shape and layout.
struct TrainedTensor {
  Tensor weight;
  Tensor gradient;
  bool decays = true;  ///< weight decay applies (matrices: yes; norms and biases: no)
  std::string name{};  ///< under which optimizers save what they remember of it
  /// Where the weight is matrices in panels (kernels/packed.h), one below the other: the rows of
  /// each and their width. Empty for what is trained element by element: vectors, embeddings, the
  /// head and the routers of experts, which Muon is not made for.
  std::vector<int64_t> matrix_rows{};
  int64_t cols = 0;
};

/// A Parameter as an optimizer sees it, without a gradient yet; named after its first tensor.
TrainedTensor trained_tensor(const Parameter& parameter);

/// MK_CHECKs what every optimizer relies on: the layout, and a gradient like the weight or none.
void check_trained(const char* op, const TrainedTensor& tensor);

}  // namespace minke
