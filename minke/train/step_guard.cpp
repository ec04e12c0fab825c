#include "minke/train/step_guard.h"

#include <algorithm>
#include <cmath>

namespace minke {
namespace {

constexpr size_t kWindow = 128;
constexpr size_t kWindowMin = 32;
constexpr double kDeviationShareMin = 0.01;  // of the mean

// How many deviations above the mean.
double deviations_above(double value, const std::deque<double>& last) {
  double mean = 0, variance = 0;
  for (const double x : last) mean += x / static_cast<double>(last.size());
  for (const double x : last)
    variance += (x - mean) * (x - mean) / static_cast<double>(last.size());
  const double deviation = std::max(std::sqrt(variance), kDeviationShareMin * std::fabs(mean));
  return deviation > 0 ? (value - mean) / deviation : 0.0;
}

void push(std::deque<double>& last, double value) {
  last.push_back(value);
  if (last.size() > kWindow) last.pop_front();
}

Json numbers(const std::deque<double>& values) {
  Json out = Json::array();
  for (const double value : values) out.push(value);
  return out;
}

bool read_numbers(const Json* array, std::deque<double>& values) {
  if (array == nullptr || !array->is_array() || array->as_array().size() > kWindow) return false;
  values.clear();
  for (const Json& value : array->as_array()) {
    if (!value.is_number()) return false;
    values.push_back(value.as_double());
  }
  return true;
}

}  // namespace

std::string StepGuard::objection(double loss, double grad_norm) const {
  const auto objection_to = [&](const char* what, double value,
                                const std::deque<double>& last) -> std::string {
    if (!std::isfinite(value)) return fmt::format("the {} is {}", what, value);
    if (deviations_ <= 0 || last.size() < kWindowMin) return {};
    const double above = deviations_above(value, last);
    if (above <= deviations_) return {};
    return fmt::format("the {} is {:.4g}, {:.1f} deviations above the last {} steps", what, value,
                       above, last.size());
  };
  const std::string of_loss = objection_to("loss", loss, losses_);
  return of_loss.empty() ? objection_to("gradient norm", grad_norm, norms_) : of_loss;
}

void StepGuard::remember(double loss, double grad_norm) {
  push(losses_, loss);
  push(norms_, grad_norm);
}

Json StepGuard::state() const {
  return Json::object({{"losses", numbers(losses_)}, {"norms", numbers(norms_)}});
}

Result<void> StepGuard::set_state(const Json& state) {
  if (read_numbers(state.find("losses"), losses_) && read_numbers(state.find("norms"), norms_)) {
    return {};
  }
  return fail(ErrorCode::kCorrupt, "the guard's state is {}, expected losses and norms",
              state.kind());
}

}  // namespace minke
