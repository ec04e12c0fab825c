#include "minke/train/dpo.h"

#include <algorithm>
#include <cmath>

namespace minke {
namespace {

double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

// -ln sigmoid(x) without overflow.
double softplus_of_negative(double x) {
  return x > 0 ? std::log1p(std::exp(-x)) : -x + std::log1p(std::exp(x));
}

}  // namespace

std::vector<double> answer_log_probs(const Tensor& log_probs, std::span<const int32_t> lengths) {
  const std::span<const float> values = log_probs.span<float>();
  std::vector<double> sums;
  size_t row = 0;
  for (const int32_t length : lengths) {
    double sum = 0;
    for (const size_t end = row + static_cast<size_t>(length); row < end; ++row) {
      MK_DCHECK(row < values.size(), "dpo: answers of more than {} tokens", values.size());
      sum += static_cast<double>(values[row]);
    }
    sums.push_back(sum);
  }
  MK_CHECK(row == values.size(), "dpo: answers of {} tokens, log-probabilities of {}", row,
           values.size());
  return sums;
}

Tensor dpo_loss(const Context& context, const Tensor& log_probs, std::span<const int32_t> lengths,
                std::span<const double> reference, const DpoConfig& config, double divisor,
                DpoSums& sums) {
  MK_CHECK(!lengths.empty() && lengths.size() % 2 == 0 && reference.size() == lengths.size(),
           "dpo: {} answers, {} references", lengths.size(), reference.size());
  const std::vector<double> policy = answer_log_probs(log_probs, lengths);
  const size_t num_pairs = lengths.size() / 2;
  std::vector<double> slopes(lengths.size());  // of the loss by each answer's sum
  double loss = 0;
  for (size_t i = 0; i < num_pairs; ++i) {
    const size_t j = num_pairs + i;
    const double chosen = config.beta * (policy[i] - reference[i]);
    const double rejected = config.beta * (policy[j] - reference[j]);
    const double margin = chosen - rejected, s = config.label_smoothing;
    loss += (1 - s) * softplus_of_negative(margin) + s * softplus_of_negative(-margin);
    slopes[i] = config.beta / divisor * (s * sigmoid(margin) - (1 - s) * sigmoid(-margin));
    slopes[j] = -slopes[i];
    sums.chosen_reward += chosen;
    sums.rejected_reward += rejected;
    sums.num_right += margin > 0 ? 1 : 0;
  }
  const Tensor out = context.empty(DType::kF32, {1});
  *out.data<float>() = static_cast<float>(loss / divisor);
  if (!context.records(log_probs)) return out;
  const Device& device = context.device;
  return context.tape->record(
      "dpo_loss", {log_probs.var()}, out,
      [&device, slopes, rows = std::vector<int32_t>(lengths.begin(), lengths.end()),
       shape = log_probs.shape()](const Tensor& grad) {
        const Tensor dx = Tensor::empty(device.arena(), DType::kF32, shape);
        float* to = dx.data<float>();
        for (size_t i = 0; i < rows.size(); ++i) {
          const auto slope =
              static_cast<float>(slopes[i] * static_cast<double>(*grad.data<float>()));
          to = std::fill_n(to, rows[i], slope);
        }
        return std::vector<Tensor>{dx};
      });
}

}  // namespace minke
