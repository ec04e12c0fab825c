#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "minke/autograd/context.h"
#include "minke/tensor/tensor.h"

namespace minke {

/// Direct preference optimisation (arXiv 2305.18290), its constants named as TRL names them.
struct DpoConfig {
  double beta = 0.1;             ///< how dear it is to leave the reference
  double label_smoothing = 0.0;  ///< share of pairs taken for turned round (cDPO), below 0.5
};

/// Sums over pairs: divided by their number the metrics of a step.
struct DpoSums {
  double chosen_reward = 0;    ///< beta (ln pi - ln ref) of the chosen answer
  double rejected_reward = 0;  ///< the same of the rejected one
  double num_right = 0;        ///< pairs whose chosen reward is the larger
};

/// The sums of ln p of each answer's tokens: log_probs [n], `lengths` rows of each, n in all.
std::vector<double> answer_log_probs(const Tensor& log_probs, std::span<const int32_t> lengths);

/// eq. 7 over pairs, divided by `divisor` (the pairs of the whole batch): with
/// d = (pi - ref of the chosen answer) - (the same of the rejected one),
///
///   loss = 1 / divisor  sum of -(1 - s) ln sigmoid(beta d) - s ln sigmoid(-beta d)
///
/// `log_probs` [n] f32 of all tokens; `lengths` and `reference` have an entry for each answer,
/// those that were chosen first, then the rejected ones in the same order. Differentiable; `sums`
/// is added to.
Tensor dpo_loss(const Context& context, const Tensor& log_probs, std::span<const int32_t> lengths,
                std::span<const double> reference, const DpoConfig& config, double divisor,
                DpoSums& sums);

}  // namespace minke
