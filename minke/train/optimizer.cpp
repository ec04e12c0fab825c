#include "minke/train/optimizer.h"

#include <algorithm>
#include <cmath>

namespace minke {
namespace {

constexpr int64_t kChunk =
    1 << 15;  // elements a thread takes at once, and that are summed together

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

template <class Body>
void over_chunks(const Device& device, const Tensor& tensor, const Body& body) {
  device.pool().parallel_for(tensor.num_elements(), kChunk,
                             [&](int64_t begin, int64_t end, int) { body(begin, end); });
}

void check_tensor(const TrainedTensor& tensor) {
  MK_CHECK(!tensor.weight.read_only(), "optimizer: weight {} lies in a mapped file",
           tensor.weight.shape().text());
  MK_CHECK(tensor.weight.dtype() == DType::kF32 && tensor.weight.contiguous(),
           "optimizer: weight {} {} must be contiguous f32", dtype_info(tensor.weight.dtype()).name,
           tensor.weight.shape().text());
  if (!tensor.gradient.defined()) return;
  MK_CHECK(tensor.gradient.dtype() == DType::kF32 && tensor.gradient.contiguous() &&
               tensor.gradient.shape() == tensor.weight.shape(),
           "optimizer: gradient {} {} for weight {}", dtype_info(tensor.gradient.dtype()).name,
           tensor.gradient.shape().text(), tensor.weight.shape().text());
}

// The numbers of one step, in the precision they are applied in.
struct StepFactors {
  float keep;        // 1 - lr * decay
  float beta1_rest;  // 1 - beta1
  float beta2;
  float beta2_rest;
  float step_size;        // lr / (1 - beta1^t)
  float root_correction;  // sqrt(1 - beta2^t)
  float epsilon;
};

void update(const StepFactors& f, const float* __restrict g, int64_t count, float* __restrict w,
            float* __restrict m, float* __restrict v) {
  for (int64_t i = 0; i < count; ++i) {
    m[i] += f.beta1_rest * (g[i] - m[i]);
    v[i] = f.beta2 * v[i] + f.beta2_rest * (g[i] * g[i]);
    const float denominator = std::sqrt(v[i]) / f.root_correction + f.epsilon;
    w[i] = w[i] * f.keep - f.step_size * (m[i] / denominator);
  }
}

}  // namespace

double gradient_norm(const Device& device, std::span<const TrainedTensor> tensors) {
  double total = 0.0;
  for (const TrainedTensor& tensor : tensors) {
    check_tensor(tensor);
    if (!tensor.gradient.defined()) continue;
    const float* g = tensor.gradient.data<float>();
    std::vector<double> sums((tensor.gradient.num_elements() + kChunk - 1) / kChunk);
    over_chunks(device, tensor.gradient, [&](int64_t begin, int64_t end) {
      sums[begin / kChunk] = sum_of_squares(g + begin, end - begin);
    });
    for (const double sum : sums) total += sum;
  }
  return std::sqrt(total);
}

double clip_gradient_norm(const Device& device, std::span<const TrainedTensor> tensors,
                          double norm_max) {
  MK_CHECK(norm_max > 0.0, "clip_gradient_norm: norm_max {}", norm_max);
  const double norm = gradient_norm(device, tensors);
  const auto factor = static_cast<float>(norm_max / (norm + 1e-6));
  // Written so that a norm that is not a number reaches the gradients: it must not pass unseen.
  if (factor >= 1.0f) return norm;
  for (const TrainedTensor& tensor : tensors) {
    if (!tensor.gradient.defined()) continue;
    float* g = tensor.gradient.data<float>();
    over_chunks(device, tensor.gradient, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) g[i] *= factor;
    });
  }
  return norm;
}

void AdamW::step(const Device& device, std::span<const TrainedTensor> tensors,
                 double learning_rate) {
  if (num_steps_ == 0) {
    for (const TrainedTensor& tensor : tensors) {
      first_.push_back(Tensor::zeros(DType::kF32, tensor.weight.shape()));
      second_.push_back(Tensor::zeros(DType::kF32, tensor.weight.shape()));
    }
  }
  MK_CHECK(tensors.size() == first_.size(), "AdamW: {} tensors, {} at the first step",
           tensors.size(), first_.size());
  ++num_steps_;
  const auto t = static_cast<double>(num_steps_);
  StepFactors f{};
  f.beta1_rest = static_cast<float>(1.0 - config_.beta1);
  f.beta2 = static_cast<float>(config_.beta2);
  f.beta2_rest = static_cast<float>(1.0 - config_.beta2);
  f.step_size = static_cast<float>(learning_rate / (1.0 - std::pow(config_.beta1, t)));
  f.root_correction = static_cast<float>(std::sqrt(1.0 - std::pow(config_.beta2, t)));
  f.epsilon = static_cast<float>(config_.epsilon);
  for (size_t i = 0; i < tensors.size(); ++i) {
    const TrainedTensor& tensor = tensors[i];
    check_tensor(tensor);
    MK_CHECK(first_[i].shape() == tensor.weight.shape(), "AdamW: tensor {} is {}, was {}", i,
             tensor.weight.shape().text(), first_[i].shape().text());
    if (!tensor.gradient.defined()) continue;
    f.keep = static_cast<float>(1.0 - (tensor.decays ? learning_rate * config_.weight_decay : 0.0));
    float* w = tensor.weight.data<float>();
    const float* g = tensor.gradient.data<float>();
    float* m = first_[i].data<float>();
    float* v = second_[i].data<float>();
    over_chunks(device, tensor.weight, [&](int64_t begin, int64_t end) {
      update(f, g + begin, end - begin, w + begin, m + begin, v + begin);
    });
  }
}

}  // namespace minke
