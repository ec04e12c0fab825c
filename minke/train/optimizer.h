#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "minke/base/result.h"
#include "minke/tensor/device.h"
#include "minke/train/trained_tensor.h"

namespace minke {

/// What a step is taken with.
struct OptimizerStep {
  double learning_rate = 0.0;
  double gradient_scale = 1.0;  ///< multiplies every gradient as it is read: clip_scale()
};

/// What an optimizer remembers, for checkpoints.
struct OptimizerState {
  struct Entry {
    std::string name;
    Tensor value;  ///< shares the optimizer's memory; a loaded one may lie in a mapped file
  };
  int64_t num_steps = 0;
  std::vector<Entry> tensors;
};

/// Changes weights by their gradients.
///
/// Life: 1. the first step() makes the state, zero; 2. each step is given the same tensors in the
/// same order (one whose gradient is undefined is left alone); 3. state() and load_state() carry it
/// over a restart to the bit. The bits of a step do not depend on the threads.
class Optimizer {
 public:
  virtual ~Optimizer() = default;
  virtual void step(const Device& device, std::span<const TrainedTensor> tensors,
                    const OptimizerStep& step) = 0;

  virtual int64_t num_steps() const = 0;
  /// The memory that the state of these tensors takes.
  virtual uint64_t state_bytes(std::span<const TrainedTensor> tensors) const = 0;
  /// Before step 1 it has no tensors.
  virtual OptimizerState state() const = 0;
  /// Takes a copy of a state() of the same tensors. kCorrupt when an entry is missing or has
  /// another shape or format than this optimizer's, which then is as it was.
  virtual Result<void> load_state(std::span<const TrainedTensor> tensors,
                                  const OptimizerState& state) = 0;
};

/// AdamW's constants, named as PyTorch names them.
struct AdamWConfig {
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0.1;
  DType moments = DType::kF32;  ///< or kBf16
};

/// AdamW (Loshchilov and Hutter 2019) as torch.optim.AdamW computes it; t = 1 for the first step:
///
///   w -= lr decay w;   m = beta1 m + (1 - beta1) g;   v = beta2 v + (1 - beta2) g^2
///   w -= lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + epsilon)
///
/// Moments in bf16 (as DeepSeek-V3's, section 3.3.3) take half the memory: the step uses m and v in
/// f32, and stores them rounded at random, by a hash of t and the element. Rounded to nearest, v
/// would stand still: with beta2 = 0.999 a step changes it by less than half of bf16's unit.
///
/// Elements are independent, so weights may lie in any layout; zero padding with zero gradients
/// stays zero.
std::unique_ptr<Optimizer> make_adamw(const AdamWConfig& config);

/// How Muon's update is scaled to the shape [rows, cols] of a matrix.
enum class MuonScale {
  kOriginal,       ///< sqrt(max(1, rows / cols)): rates about 0.02 (Keller Jordan)
  kMatchRmsAdamW,  ///< 0.2 sqrt(max(rows, cols)): AdamW's rates (Moonlight, arXiv 2502.16982)
};

/// Muon's constants; `rest` is for what is no matrix.
struct MuonConfig {
  double momentum = 0.95;
  double weight_decay = 0.1;
  MuonScale scale = MuonScale::kMatchRmsAdamW;
  double rest_rate = 1.0;  ///< AdamW's learning rate, as a multiple of Muon's
  AdamWConfig rest;
};

/// Muon (kellerjordan.github.io/posts/muon) as torch.optim.Muon computes it, with Nesterov's
/// momentum, in f32 where PyTorch iterates in bf16:
///
///   b = momentum b + (1 - momentum) g;   u = (1 - momentum) g + momentum b
///   X = u / |u|;  5 times: A = X X^T, X = 3.4445 X + (-4.775 A + 2.0315 A A) X
///   w -= lr decay w;   w -= lr scale X
///
/// for each matrix of TrainedTensor::matrix_rows; all else is AdamW's. Half of AdamW's state. Cost
/// of a matrix of n x m, n <= m: 10 (2 n n m + n n n) flops.
std::unique_ptr<Optimizer> make_muon(const MuonConfig& config);

}  // namespace minke
