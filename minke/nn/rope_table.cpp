#include "minke/nn/rope_table.h"

#include <cmath>

namespace minke {

Tensor rope_table(int64_t num_positions, int64_t head_dim, double theta) {
  const int64_t half = head_dim / 2;
  std::vector<float> frequencies(static_cast<size_t>(half));
  for (int64_t i = 0; i < half; ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(head_dim);
    frequencies[i] = 1.0f / static_cast<float>(std::pow(theta, static_cast<double>(exponent)));
  }
  Tensor table = Tensor::zeros(DType::kF32, {num_positions, head_dim});
  for (int64_t p = 0; p < num_positions; ++p) {
    float* row = table.view().row<float>(p);
    for (int64_t i = 0; i < half; ++i) {
      const float angle = static_cast<float>(p) * frequencies[i];
      row[i] = std::cos(angle);
      row[half + i] = std::sin(angle);
    }
  }
  return table;
}

}  // namespace minke
