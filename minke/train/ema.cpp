#include "minke/train/ema.h"

#include <cstring>
#include <utility>

#include "minke/train/optimizer_state.h"

namespace minke {
namespace {

constexpr int64_t kChunk = 1 << 15;  // elements a thread takes at once

}  // namespace

WeightAverage::WeightAverage(double decay) : decay_(decay) {
  MK_CHECK(decay >= 0.0 && decay < 1.0, "WeightAverage: decay {}", decay);
}

void WeightAverage::update(const Device& device, std::span<const TrainedTensor> tensors) {
  if (num_updates_++ == 0) {
    for (const TrainedTensor& tensor : tensors) {
      check_trained("WeightAverage", tensor);
      names_.push_back(tensor.name);
      averages_.push_back(Tensor::zeros(DType::kF32, tensor.weight.shape()));
      std::memcpy(averages_.back().view().data, tensor.weight.view().data,
                  static_cast<size_t>(tensor.weight.num_elements()) * sizeof(float));
    }
    return;
  }
  MK_CHECK(tensors.size() == averages_.size(), "WeightAverage: {} tensors, {} at first",
           tensors.size(), averages_.size());
  const auto rest = static_cast<float>(1.0 - decay_);
  for (size_t i = 0; i < tensors.size(); ++i) {
    const float* weight = tensors[i].weight.data<float>();
    float* average = averages_[i].data<float>();
    device.pool().parallel_for(averages_[i].num_elements(), kChunk,
                               [&](int64_t begin, int64_t end, int) {
                                 for (int64_t j = begin; j < end; ++j) {
                                   average[j] += rest * (weight[j] - average[j]);
                                 }
                               });
  }
}

void WeightAverage::swap(const Device& device, std::span<const TrainedTensor> tensors) {
  MK_CHECK(tensors.size() == averages_.size(), "WeightAverage: {} tensors, {} at first",
           tensors.size(), averages_.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    float* weight = tensors[i].weight.data<float>();
    float* average = averages_[i].data<float>();
    device.pool().parallel_for(averages_[i].num_elements(), kChunk,
                               [&](int64_t begin, int64_t end, int) {
                                 std::swap_ranges(weight + begin, weight + end, average + begin);
                               });
  }
}

OptimizerState WeightAverage::state() const {
  OptimizerState state{num_updates_, {}};
  for (size_t i = 0; i < averages_.size(); ++i) {
    state.tensors.push_back({state_name("average", names_[i], i), averages_[i]});
  }
  return state;
}

Result<void> WeightAverage::load_state(std::span<const TrainedTensor> tensors,
                                       const OptimizerState& state) {
  WeightAverage loaded(decay_);
  loaded.num_updates_ = state.num_steps;
  for (size_t i = 0; i < tensors.size() && state.num_steps > 0; ++i) {
    loaded.names_.push_back(tensors[i].name);
    MK_ASSIGN(loaded.averages_.emplace_back(),
              copied_entry(state, state_name("average", tensors[i].name, i), DType::kF32,
                           tensors[i].weight.shape()));
  }
  *this = std::move(loaded);
  return {};
}

}  // namespace minke
