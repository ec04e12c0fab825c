#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "minke/tensor/device.h"
#include "minke/tensor/tensor.h"

namespace minke {

/// A weight, its gradient, and how it is trained. Both f32, contiguous, of one shape.
struct TrainedTensor {
  Tensor weight;
  Tensor gradient;
  bool decays = true;  ///< weight decay applies (matrices: yes; norms and biases: no)
};

/// The square root of the sum of squares of all gradients. Summed in f64 over chunks of fixed size,
/// so the bits do not depend on the threads. Undefined gradients count as zero.
double gradient_norm(const Device& device, std::span<const TrainedTensor> tensors);

/// Scales all gradients in place so that their norm is at most `norm_max`, as
/// torch.nn.utils.clip_grad_norm_ does: by min(1, norm_max / (norm + 1e-6)). Returns the norm
/// before.
double clip_gradient_norm(const Device& device, std::span<const TrainedTensor> tensors,
                          double norm_max);

/// AdamW's constants, named as PyTorch names them.
struct AdamWConfig {
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0.1;
};

/// AdamW (Loshchilov and Hutter 2019) as torch.optim.AdamW computes it; t = 1 for the first step:
///
///   w -= lr decay w;   m = beta1 m + (1 - beta1) g;   v = beta2 v + (1 - beta2) g^2
///   w -= lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + epsilon)
///
/// The moments are f32, made zero at the first step, and belong to the tensors by their place in
/// the list, which must be the same at every step. Elements are independent, so weights may lie in
/// any layout; zero padding with zero gradients stays zero.
class AdamW {
 public:
  explicit AdamW(const AdamWConfig& config) : config_(config) {}

  /// One step with the given learning rate; a tensor with an undefined gradient is left alone.
  void step(const Device& device, std::span<const TrainedTensor> tensors, double learning_rate);

  int64_t num_steps() const { return num_steps_; }
  /// First and second moments, in the order of the list (for checkpoints). Empty before step 1.
  const std::vector<Tensor>& first_moments() const { return first_; }
  const std::vector<Tensor>& second_moments() const { return second_; }

 private:
  AdamWConfig config_;
  int64_t num_steps_ = 0;
  std::vector<Tensor> first_;
  std::vector<Tensor> second_;
};

}  // namespace minke
