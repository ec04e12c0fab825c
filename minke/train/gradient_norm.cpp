#include "minke/train/gradient_norm.h"

#include <cmath>

namespace minke {
namespace {

constexpr int64_t kChunk = 1 << 15;  // elements that are summed together

// Sixteen partial sums, then their sum in order: fixed by `count` alone.
double sum_of_squares(const float* x, int64_t count) {
  constexpr int kLanes = 16;
  double lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) {
      const double value = x[i + lane];
      lanes[lane] += value * value;
    }
  }
  for (int lane = 0; i + lane < count; ++lane) {
    const double value = x[i + lane];
    lanes[lane] += value * value;
  }
  double sum = 0.0;
  for (const double lane : lanes) sum += lane;
  return sum;
}

}  // namespace

double gradient_norm(const Device& device, std::span<const TrainedTensor> tensors) {
  double total = 0.0;
  for (const TrainedTensor& tensor : tensors) {
    check_trained("gradient_norm", tensor);
    if (!tensor.gradient.defined()) continue;
    const float* g = tensor.gradient.data<float>();
    const int64_t count = tensor.gradient.num_elements();
    std::vector<double> sums((count + kChunk - 1) / kChunk);
    device.pool().parallel_for(count, kChunk, [&](int64_t begin, int64_t end, int) {
      sums[begin / kChunk] = sum_of_squares(g + begin, end - begin);
    });
    for (const double sum : sums) total += sum;
  }
  return std::sqrt(total);
}

double clip_scale(double norm, double norm_max) {
  MK_CHECK(norm_max > 0.0, "clip_scale: norm_max {}", norm_max);
  // In f32, as PyTorch has it; written so that what is not a number stays so.
  const auto factor = static_cast<float>(norm_max / (norm + 1e-6));
  return factor >= 1.0f ? 1.0 : factor;
}

double clip_gradient_norm(const Device& device, std::span<const TrainedTensor> tensors,
                          double norm_max) {
  const double norm = gradient_norm(device, tensors);
  const auto factor = static_cast<float>(clip_scale(norm, norm_max));
  if (factor == 1.0f) return norm;
  for (const TrainedTensor& tensor : tensors) {
    if (!tensor.gradient.defined()) continue;
    float* g = tensor.gradient.data<float>();
    device.pool().parallel_for(tensor.gradient.num_elements(), kChunk,
                               [&](int64_t begin, int64_t end, int) {
                                 for (int64_t i = begin; i < end; ++i) g[i] *= factor;
                               });
  }
  return norm;
}

}  // namespace minke
