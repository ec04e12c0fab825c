#include "minke/nn/rope_table.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "minke/base/check.h"

namespace minke {
namespace {

constexpr double kTwoPi = 2.0 * std::numbers::pi;

// With turns = original / wavelength: below low_freq_factor frequency / factor, above
// high_freq_factor the frequency, else a blend. In f32, as transformers does it.
void scale_llama3(std::vector<float>& frequencies, const RopeScaling& scaling) {
  const auto original = static_cast<float>(scaling.original_max_position_embeddings);
  const auto low = static_cast<float>(scaling.low_freq_factor);
  const auto high = static_cast<float>(scaling.high_freq_factor);
  const auto factor = static_cast<float>(scaling.factor);
  for (float& frequency : frequencies) {
    const float wavelength = static_cast<float>(kTwoPi) / frequency;
    const float smooth = std::clamp((original / wavelength - low) / (high - low), 0.0f, 1.0f);
    frequency = (1.0f - smooth) * (frequency / factor) + smooth * frequency;
  }
}

// Dimension i is divided by the factor with the weight ramp(i), which rises from 0 at the dimension
// that turns beta_fast times in the old context to 1 at that which turns beta_slow times.
// In f32, as transformers does it.
void scale_yarn(std::vector<float>& frequencies, const std::vector<float>& periods,
                int64_t head_dim, double theta, const RopeScaling& scaling) {
  const auto dimension_of = [&](double turns) {
    const auto original = static_cast<double>(scaling.original_max_position_embeddings);
    return static_cast<double>(head_dim) * std::log(original / (turns * kTwoPi)) /
           (2.0 * std::log(theta));
  };
  const auto low = static_cast<float>(std::max(std::floor(dimension_of(scaling.beta_fast)), 0.0));
  auto high = static_cast<float>(
      std::min(std::ceil(dimension_of(scaling.beta_slow)), static_cast<double>(head_dim - 1)));
  if (high == low) high += 0.001f;
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const float ramp = std::clamp((static_cast<float>(i) - low) / (high - low), 0.0f, 1.0f);
    const float kept = 1.0f - ramp;
    const float divided = 1.0f / (static_cast<float>(scaling.factor) * periods[i]);
    frequencies[i] = divided * (1.0f - kept) + frequencies[i] * kept;
  }
}

// `periods`: what the frequencies are 1 over, theta^(2i / head_dim).
void scale(std::vector<float>& frequencies, const std::vector<float>& periods, int64_t head_dim,
           double theta, const RopeScaling& scaling) {
  switch (scaling.type) {
    case RopeScaling::Type::kDefault:
      MK_CHECK(scaling.divisors.empty() || scaling.divisors.size() == frequencies.size(),
               "rope: {} divisors of {} frequencies", scaling.divisors.size(), frequencies.size());
      for (size_t i = 0; i < scaling.divisors.size(); ++i) frequencies[i] /= scaling.divisors[i];
      return;
    case RopeScaling::Type::kLinear:
      for (float& frequency : frequencies) frequency /= static_cast<float>(scaling.factor);
      return;
    case RopeScaling::Type::kLlama3:
      return scale_llama3(frequencies, scaling);
    case RopeScaling::Type::kYarn:
      return scale_yarn(frequencies, periods, head_dim, theta, scaling);
  }
}

}  // namespace

double yarn_mscale(double factor, double mscale) {
  return factor <= 1.0 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0;
}

std::vector<float> rope_frequencies(int64_t head_dim, double theta, const RopeScaling& scaling) {
  const int64_t half = head_dim / 2;
  std::vector<float> frequencies(static_cast<size_t>(half)), periods(static_cast<size_t>(half));
  for (int64_t i = 0; i < half; ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(head_dim);
    periods[i] = static_cast<float>(std::pow(theta, static_cast<double>(exponent)));
    frequencies[i] = 1.0f / periods[i];
  }
  scale(frequencies, periods, head_dim, theta, scaling);
  return frequencies;
}

Tensor rope_table(int64_t num_positions, int64_t head_dim, double theta,
                  const RopeScaling& scaling) {
  const int64_t half = head_dim / 2;
  const std::vector<float> frequencies = rope_frequencies(head_dim, theta, scaling);
  const auto attention_factor = static_cast<float>(scaling.attention_factor);
  Tensor table = Tensor::zeros(DType::kF32, {num_positions, head_dim});
  for (int64_t p = 0; p < num_positions; ++p) {
    float* row = table.view().row<float>(p);
    for (int64_t i = 0; i < half; ++i) {
      const float angle = static_cast<float>(p) * frequencies[i];
      row[i] = std::cos(angle) * attention_factor;
      row[half + i] = std::sin(angle) * attention_factor;
    }
  }
  return table;
}

}  // namespace minke
