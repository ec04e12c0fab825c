#pragma once
#include <filesystem>
#include <map>
#include <vector>

#include "minke/base/thread_pool.h"
#include "minke/data/batch.h"
#include "minke/train/dpo.h"
#include "minke/train/token_objective.h"

namespace minke {

/// ln p of both answers of a pair under the reference, which is the model as the run began.
struct PairLogProbs {
  double chosen = 0;
  double rejected = 0;
};

/// Those of all pairs that a run meets, by PairBatch::indices. They are computed once, before the
/// first step, so that no second model is held; a resumed run reads them again.
class ReferenceLogProbs {
 public:
  /// Computes what is not known yet of the pairs of steps [0, num_steps), `micro_batch` pairs at a
  /// time; how many those were. `progress` is called with the steps done and is false to stop
  /// (kInterrupted).
  Result<int64_t> compute(const Device& device, const Model& model, const PairSource& source,
                          int64_t num_steps, int64_t micro_batch,
                          FunctionRef<bool(int64_t)> progress);
  /// JSON lines of pair, chosen and rejected; all digits, so that a resumed run has the same bits.
  /// kCorrupt names the line.
  static Result<ReferenceLogProbs> read(const std::filesystem::path& path);
  Result<void> write(const std::filesystem::path& path) const;

  /// Of a pair that was computed (MK_CHECK).
  const PairLogProbs& of(int64_t index) const;
  bool has(const PairBatch& batch) const;

 private:
  void add(const Device& device, const Model& model, const PairBatch& pairs);

  std::map<int64_t, PairLogProbs> pairs_;
};

/// Direct preference optimisation (dpo_loss()). Its units are pairs; its metrics have TRL's names.
class DpoObjective final : public Objective {
 public:
  /// All must outlive it.
  DpoObjective(const Model& model, const PairSource& source, const ReferenceLogProbs& reference,
               const DpoConfig& config)
      : model_(model), source_(source), reference_(reference), config_(config) {}

  Result<StepSize> begin_step(int64_t step) override;
  Tensor loss(const Context& context, int64_t begin, int64_t end) override;
  std::vector<StepMetric> metrics() const override;

 private:
  const Model& model_;
  const PairSource& source_;
  const ReferenceLogProbs& reference_;
  const DpoConfig config_;
  PairBatch batch_;
  DpoSums sums_;
  TokenBatch answers_;  // of the micro-batch: ops read it until they were passed backwards
  ForwardBatch inputs_;
};

}  // namespace minke
