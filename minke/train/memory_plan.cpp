#include "minke/train/memory_plan.h"

#include <algorithm>

#include "minke/base/clock.h"

namespace minke {
namespace {

constexpr int64_t kTokensAtOnce = 1024;

uint64_t bytes_of(const Tensor& tensor) {
  return static_cast<uint64_t>(dtype_bytes(tensor.dtype(), tensor.num_elements()));
}

// What the first unit of step 0 takes between forward and backward, and its time.
struct Probe {
  uint64_t bytes = 0;
  double seconds = 0;
  StepSize step;
  int64_t tokens = 0;
};

Result<Probe> probe(Trainer& trainer, Objective& objective) {
  const Device& device = trainer.device();
  Probe found;
  MK_ASSIGN(found.step, objective.begin_step(0));
  device.arena().trim();
  const size_t before = device.arena().bytes_held();
  const double start = seconds_now();
  {
    Tape tape;
    const Tensor loss = objective.loss({device, &tape}, 0, 1);
    tape.backward(device, loss);
  }
  found.seconds = seconds_now() - start;
  found.bytes = device.arena().bytes_held() - before;
  device.arena().trim();
  found.tokens = std::max<int64_t>(1, found.step.tokens / found.step.units);
  return found;
}

double gigabytes(uint64_t bytes) { return static_cast<double>(bytes) * 1e-9; }

}  // namespace

Result<MemoryPlan> plan_memory(Trainer& trainer, Objective& objective,
                               const MemoryPlanOptions& options) {
  MemoryPlan plan;
  plan.budget_bytes = options.budget_bytes;
  for (const Parameter& parameter : trainer.store().parameters()) {
    plan.num_parameters += parameter.num_elements();
    plan.weight_bytes += bytes_of(parameter.value);
  }
  for (const TrainedTensor& tensor : trainer.tensors()) {
    plan.num_trained += tensor.weight.num_elements();
    plan.gradient_bytes += bytes_of(tensor.weight);
  }
  plan.num_trained = std::min(plan.num_trained, plan.num_parameters);  // panels are padded
  plan.optimizer_bytes = trainer.optimizer().state_bytes(trainer.tensors());
  plan.average_bytes = options.has_average ? plan.gradient_bytes : 0;
  const uint64_t fixed =
      plan.weight_bytes + plan.gradient_bytes + plan.optimizer_bytes + plan.average_bytes;
  const uint64_t budget = options.budget_bytes > 0 ? options.budget_bytes : UINT64_MAX;
  const auto refuse = [&](uint64_t needed) {
    return fail(ErrorCode::kWillNotFit,
                "training needs {:.2f} GB ({:.2f} of weights, {:.2f} of gradients, {:.2f} of the "
                "optimizer) and may take {:.2f}: try moments bf16, shorter rows, or LoRA",
                gigabytes(needed), gigabytes(plan.weight_bytes), gigabytes(plan.gradient_bytes),
                gigabytes(plan.optimizer_bytes + plan.average_bytes), gigabytes(budget));
  };
  if (fixed > budget) return refuse(fixed);
  MK_ASSIGN(const Probe found, probe(trainer, objective));
  const int64_t unit_tokens = std::max(options.unit_tokens, found.tokens);
  plan.row_bytes = (found.bytes - std::min(found.bytes, plan.gradient_bytes)) *
                   static_cast<uint64_t>(unit_tokens) / static_cast<uint64_t>(found.tokens);
  plan.row_bytes = std::max<uint64_t>(plan.row_bytes, 1);
  plan.micro_batch = options.micro_batch;
  if (plan.micro_batch == 0) {
    if (fixed + plan.row_bytes > budget) return refuse(fixed + plan.row_bytes);
    const auto fitting = static_cast<int64_t>(
        std::min<uint64_t>((budget - fixed) / plan.row_bytes, uint64_t{1} << 30));
    plan.micro_batch = std::clamp<int64_t>(kTokensAtOnce / unit_tokens, 1, fitting);
  }
  plan.micro_batch = std::min(plan.micro_batch, found.step.units);
  plan.total_bytes = fixed + plan.row_bytes * static_cast<uint64_t>(plan.micro_batch);
  plan.seconds_per_step = found.seconds * static_cast<double>(found.step.units);
  return plan;
}

}  // namespace minke
