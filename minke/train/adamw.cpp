#include "minke/train/adamw.h"

#include <bit>
#include <cmath>

#include "minke/base/random.h"
#include "minke/dtype/half.h"
#include "minke/train/optimizer_state.h"

namespace minke {
namespace {

constexpr int64_t kChunk = 1 << 15;  // elements a thread takes at once

// The numbers of one step on one tensor, in the precision they are applied in.
struct StepFactors {
  float gradient_scale;
  float keep;        // 1 - lr * decay
  float beta1_rest;  // 1 - beta1
  float beta2;
  float beta2_rest;
  float step_size;        // lr / (1 - beta1^t)
  float root_correction;  // sqrt(1 - beta2^t)
  float epsilon;
  uint32_t noise_seed;  // of this step and tensor
};

// How moments are stored. A write is given 16 random bits.
struct F32Moment {
  using Stored = float;
  static float read(float stored) { return stored; }
  static float write(float value, uint32_t) { return value; }
};
struct Bf16Moment {
  using Stored = uint16_t;
  static float read(uint16_t stored) { return bf16_to_f32(stored); }
  // Rounds up with the probability that makes the mean right: adds up to a unit, then cuts off.
  static uint16_t write(float value, uint32_t noise) {
    return static_cast<uint16_t>((std::bit_cast<uint32_t>(value) + noise) >> 16);
  }
};

// Marsaglia's xorshift, of shifts alone, which all vector units have: with a new random `seed` at
// each step every element's 32 bits are uniform and those of its steps independent, which is what
// unbiased rounding needs.
uint32_t noise_of(int64_t element, uint32_t seed) {
  uint32_t x = static_cast<uint32_t>(element) ^ seed;
  x ^= x << 13;
  x ^= x >> 17;
  return x ^ (x << 5);
}

template <class Moment>
void update(const StepFactors& f, int64_t begin, int64_t end, const float* __restrict g,
            float* __restrict w, typename Moment::Stored* __restrict first,
            typename Moment::Stored* __restrict second) {
  for (int64_t i = begin; i < end; ++i) {
    const float gradient = g[i] * f.gradient_scale;
    float m = Moment::read(first[i]), v = Moment::read(second[i]);
    m += f.beta1_rest * (gradient - m);
    v = f.beta2 * v + f.beta2_rest * (gradient * gradient);
    const float denominator = std::sqrt(v) / f.root_correction + f.epsilon;
    w[i] = w[i] * f.keep - f.step_size * (m / denominator);
    const uint32_t noise = noise_of(i, f.noise_seed);
    first[i] = Moment::write(m, noise & 0xFFFF);
    second[i] = Moment::write(v, noise >> 16);
  }
}

}  // namespace

AdamW::AdamW(const AdamWConfig& config) : config_(config) {
  MK_CHECK(config.moments == DType::kF32 || config.moments == DType::kBf16, "AdamW: moments in {}",
           dtype_info(config.moments).name);
}

void AdamW::step(const Device& device, std::span<const TrainedTensor> tensors,
                 const OptimizerStep& step) {
  if (num_steps_ == 0) {
    for (const TrainedTensor& tensor : tensors) {
      names_.push_back(tensor.name);
      first_.push_back(Tensor::zeros(config_.moments, tensor.weight.shape()));
      second_.push_back(Tensor::zeros(config_.moments, tensor.weight.shape()));
    }
  }
  MK_CHECK(tensors.size() == first_.size(), "AdamW: {} tensors, {} at the first step",
           tensors.size(), first_.size());
  ++num_steps_;
  const auto t = static_cast<double>(num_steps_);
  StepFactors f{};
  f.gradient_scale = static_cast<float>(step.gradient_scale);
  f.beta1_rest = static_cast<float>(1.0 - config_.beta1);
  f.beta2 = static_cast<float>(config_.beta2);
  f.beta2_rest = static_cast<float>(1.0 - config_.beta2);
  f.step_size = static_cast<float>(step.learning_rate / (1.0 - std::pow(config_.beta1, t)));
  f.root_correction = static_cast<float>(std::sqrt(1.0 - std::pow(config_.beta2, t)));
  f.epsilon = static_cast<float>(config_.epsilon);
  for (size_t i = 0; i < tensors.size(); ++i) {
    const TrainedTensor& tensor = tensors[i];
    check_trained("AdamW", tensor);
    MK_CHECK(first_[i].shape() == tensor.weight.shape(), "AdamW: tensor {} is {}, was {}", i,
             tensor.weight.shape().text(), first_[i].shape().text());
    if (!tensor.gradient.defined()) continue;
    f.keep =
        static_cast<float>(1.0 - (tensor.decays ? step.learning_rate * config_.weight_decay : 0.0));
    f.noise_seed = static_cast<uint32_t>(random_at(static_cast<uint64_t>(num_steps_), i));
    const auto over_elements = [&](auto moment) {
      using Moment = decltype(moment);
      auto* m = first_[i].data<typename Moment::Stored>();
      auto* v = second_[i].data<typename Moment::Stored>();
      device.pool().parallel_for(tensor.weight.num_elements(), kChunk,
                                 [&](int64_t begin, int64_t end, int) {
                                   update<Moment>(f, begin, end, tensor.gradient.data<float>(),
                                                  tensor.weight.data<float>(), m, v);
                                 });
    };
    config_.moments == DType::kF32 ? over_elements(F32Moment()) : over_elements(Bf16Moment());
  }
}

uint64_t AdamW::state_bytes(std::span<const TrainedTensor> tensors) const {
  int64_t bytes = 0;
  for (const TrainedTensor& tensor : tensors) {
    bytes += 2 * dtype_bytes(config_.moments, tensor.weight.num_elements());
  }
  return static_cast<uint64_t>(bytes);
}

OptimizerState AdamW::state() const {
  OptimizerState state{num_steps_, {}};
  for (size_t i = 0; i < first_.size(); ++i) {
    state.tensors.push_back({state_name("first_moment", names_[i], i), first_[i]});
    state.tensors.push_back({state_name("second_moment", names_[i], i), second_[i]});
  }
  return state;
}

Result<void> AdamW::load_state(std::span<const TrainedTensor> tensors,
                               const OptimizerState& state) {
  AdamW loaded(config_);
  loaded.num_steps_ = state.num_steps;
  for (size_t i = 0; i < tensors.size() && state.num_steps > 0; ++i) {
    const auto& [name, shape] = std::pair(tensors[i].name, tensors[i].weight.shape());
    loaded.names_.push_back(name);
    MK_ASSIGN(loaded.first_.emplace_back(),
              copied_entry(state, state_name("first_moment", name, i), config_.moments, shape));
    MK_ASSIGN(loaded.second_.emplace_back(),
              copied_entry(state, state_name("second_moment", name, i), config_.moments, shape));
  }
  *this = std::move(loaded);
  return {};
}

std::unique_ptr<Optimizer> make_adamw(const AdamWConfig& config) {
  return std::make_unique<AdamW>(config);
}

}  // namespace minke
