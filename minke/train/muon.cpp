#include <algorithm>
#include <cmath>
#include <numeric>

#include "minke/kernels/packed.h"
#include "minke/train/adamw.h"
#include "minke/train/optimizer_state.h"
#include "minke/train/orthogonal.h"

namespace minke {
namespace {

constexpr int64_t kChunk = 1 << 15;  // elements a thread takes at once

bool is_muons(const TrainedTensor& tensor) { return !tensor.matrix_rows.empty(); }

// dst [cols, rows] = src [rows, cols], transposed.
void transpose(const Device& device, const float* src, int64_t rows, int64_t cols, float* dst) {
  device.pool().parallel_for(cols, 16, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t col = begin; col < end; ++col) dst[col * rows + row] = src[row * cols + col];
    }
  });
}

// A matrix in the panels of a weight: rows [first, first + rows).
struct MatrixPlace {
  int64_t first = 0;
  int64_t rows = 0;
  int64_t cols = 0;
};

// The matrix out of packed panels, row-major.
Tensor unpacked(const Device& device, const Tensor& panels, int64_t all_rows,
                const MatrixPlace& place) {
  Tensor out = Tensor::empty(device.arena(), DType::kF32, {place.rows, place.cols});
  std::vector<int32_t> indices(place.rows);
  std::iota(indices.begin(), indices.end(), static_cast<int32_t>(place.first));
  kernels::unpack_rows(device, {panels.view().data, DType::kF32, all_rows, place.cols},
                       indices.data(), place.rows, out.view());
  return out;
}

// The orthogonal matrix nearest to one in panels, row-major.
Tensor orthogonal(const Device& device, const Tensor& panels, int64_t all_rows,
                  const MatrixPlace& place) {
  const Tensor x = unpacked(device, panels, all_rows, place);
  if (place.rows <= place.cols) {
    orthogonalize(device, x);
    return x;
  }
  const Tensor turned = Tensor::empty(device.arena(), DType::kF32, {place.cols, place.rows});
  transpose(device, x.data<float>(), place.rows, place.cols, turned.data<float>());
  orthogonalize(device, turned);
  transpose(device, turned.data<float>(), place.cols, place.rows, x.data<float>());
  return x;
}

// w = keep w - step x, for the rows of a matrix in panels.
void apply(const Device& device, const Tensor& panels, const MatrixPlace& place, const Tensor& x,
           float keep, float step) {
  float* weights = panels.data<float>();
  const float* updates = x.data<float>();
  device.pool().parallel_for(place.rows, kernels::kPanelRows, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t at = place.first + row;
      float* w = weights + at / kernels::kPanelRows * kernels::kPanelRows * place.cols +
                 at % kernels::kPanelRows;
      const float* u = updates + row * place.cols;
      for (int64_t col = 0; col < place.cols; ++col) {
        float& weight = w[col * kernels::kPanelRows];
        weight = weight * keep - step * u[col];
      }
    }
  });
}

class Muon final : public Optimizer {
 public:
  explicit Muon(const MuonConfig& config) : config_(config), rest_(config.rest) {}

  void step(const Device& device, std::span<const TrainedTensor> tensors,
            const OptimizerStep& step) override;
  int64_t num_steps() const override { return rest_.num_steps(); }
  uint64_t state_bytes(std::span<const TrainedTensor> tensors) const override;
  OptimizerState state() const override;
  Result<void> load_state(std::span<const TrainedTensor> tensors,
                          const OptimizerState& state) override;

 private:
  static std::vector<TrainedTensor> rest_of(std::span<const TrainedTensor> tensors);
  void step_matrices(const Device& device, const TrainedTensor& tensor, const Tensor& momentum,
                     const OptimizerStep& step) const;
  double shape_scale(const MatrixPlace& place) const;

  MuonConfig config_;
  AdamW rest_;
  std::vector<std::string> names_;
  std::vector<Tensor> momenta_;  // of the tensors with matrices, in their order and layout
};

std::vector<TrainedTensor> Muon::rest_of(std::span<const TrainedTensor> tensors) {
  std::vector<TrainedTensor> rest;
  std::remove_copy_if(tensors.begin(), tensors.end(), std::back_inserter(rest), is_muons);
  return rest;
}

double Muon::shape_scale(const MatrixPlace& place) const {
  const auto rows = static_cast<double>(place.rows), cols = static_cast<double>(place.cols);
  return config_.scale == MuonScale::kOriginal ? std::sqrt(std::max(1.0, rows / cols))
                                               : 0.2 * std::sqrt(std::max(rows, cols));
}

void Muon::step_matrices(const Device& device, const TrainedTensor& tensor, const Tensor& momentum,
                         const OptimizerStep& step) const {
  check_trained("Muon", tensor);
  const int64_t all_rows =
      std::accumulate(tensor.matrix_rows.begin(), tensor.matrix_rows.end(), int64_t{0});
  MK_CHECK(kernels::packed_bytes(DType::kF32, all_rows, tensor.cols) ==
                   dtype_bytes(DType::kF32, tensor.weight.num_elements()) &&
               momentum.shape() == tensor.weight.shape(),
           "Muon: '{}' {} holds no [{}, {}]", tensor.name, tensor.weight.shape().text(), all_rows,
           tensor.cols);
  const Tensor update = Tensor::empty(device.arena(), DType::kF32, tensor.weight.shape());
  const auto scale = static_cast<float>(step.gradient_scale);
  const auto keep = static_cast<float>(config_.momentum);
  const auto rest = static_cast<float>(1.0 - config_.momentum);
  device.pool().parallel_for(update.num_elements(), kChunk,
                             [&, g = tensor.gradient.data<float>(), b = momentum.data<float>(),
                              u = update.data<float>()](int64_t begin, int64_t end, int) {
                               for (int64_t i = begin; i < end; ++i) {
                                 const float gradient = g[i] * scale;
                                 b[i] += rest * (gradient - b[i]);
                                 u[i] = gradient + keep * (b[i] - gradient);
                               }
                             });
  const double decay = tensor.decays ? step.learning_rate * config_.weight_decay : 0.0;
  MatrixPlace place{0, 0, tensor.cols};
  for (const int64_t rows : tensor.matrix_rows) {
    place.rows = rows;
    apply(device, tensor.weight, place, orthogonal(device, update, all_rows, place),
          static_cast<float>(1.0 - decay),
          static_cast<float>(step.learning_rate * shape_scale(place)));
    place.first += rows;
  }
}

void Muon::step(const Device& device, std::span<const TrainedTensor> tensors,
                const OptimizerStep& step) {
  if (num_steps() == 0) {
    for (const TrainedTensor& tensor : tensors) {
      if (!is_muons(tensor)) continue;
      names_.push_back(tensor.name);
      momenta_.push_back(Tensor::zeros(DType::kF32, tensor.weight.shape()));
    }
  }
  size_t index = 0;
  for (const TrainedTensor& tensor : tensors) {
    if (!is_muons(tensor)) continue;
    MK_CHECK(index < momenta_.size(), "Muon: more matrices than the {} of the first step", index);
    const Tensor& momentum = momenta_[index++];
    if (tensor.gradient.defined()) step_matrices(device, tensor, momentum, step);
  }
  OptimizerStep rest_step = step;
  rest_step.learning_rate *= config_.rest_rate;
  rest_.step(device, rest_of(tensors), rest_step);
}

uint64_t Muon::state_bytes(std::span<const TrainedTensor> tensors) const {
  uint64_t bytes = rest_.state_bytes(rest_of(tensors));
  for (const TrainedTensor& tensor : tensors) {
    if (is_muons(tensor)) bytes += dtype_bytes(DType::kF32, tensor.weight.num_elements());
  }
  return bytes;
}

OptimizerState Muon::state() const {
  OptimizerState state = rest_.state();
  for (size_t i = 0; i < momenta_.size(); ++i) {
    state.tensors.push_back({state_name("momentum", names_[i], i), momenta_[i]});
  }
  return state;
}

Result<void> Muon::load_state(std::span<const TrainedTensor> tensors, const OptimizerState& state) {
  Muon loaded(config_);
  for (const TrainedTensor& tensor : tensors) {
    if (!is_muons(tensor) || state.num_steps == 0) continue;
    const std::string name = state_name("momentum", tensor.name, loaded.names_.size());
    loaded.names_.push_back(tensor.name);
    MK_ASSIGN(loaded.momenta_.emplace_back(),
              copied_entry(state, name, DType::kF32, tensor.weight.shape()));
  }
  MK_TRY(loaded.rest_.load_state(rest_of(tensors), state));
  *this = std::move(loaded);
  return {};
}

}  // namespace

std::unique_ptr<Optimizer> make_muon(const MuonConfig& config) {
  return std::make_unique<Muon>(config);
}

}  // namespace minke
