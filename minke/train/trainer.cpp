#include "minke/train/trainer.h"

#include <algorithm>
#include <utility>

#include "minke/train/gradient_norm.h"

namespace minke {

Trainer::Trainer(const Device& device, ParameterStore& store, std::vector<TrainedTensor> tensors,
                 std::unique_ptr<Optimizer> optimizer, const TrainerOptions& options)
    : device_(device),
      store_(store),
      tensors_(std::move(tensors)),
      optimizer_(std::move(optimizer)),
      options_(options) {
  MK_CHECK(!tensors_.empty(), "trainer: no weights to train");
  MK_CHECK(options.clip_norm >= 0 && options.micro_batch >= 0, "trainer: clip {}, micro-batch {}",
           options.clip_norm, options.micro_batch);
}

Result<StepReport> Trainer::compute(Objective& objective, int64_t step) {
  StepReport report;
  report.step = step;
  MK_ASSIGN(report.size, objective.begin_step(step));
  const int64_t units = report.size.units;
  const int64_t at_once = options_.micro_batch > 0 ? options_.micro_batch : units;
  MK_CHECK(units > 0, "trainer: step {} has an empty batch", step);
  Tape tape;
  const Context context{device_, &tape};
  for (int64_t begin = 0; begin < units; begin += at_once) {
    const Tensor loss = objective.loss(context, begin, std::min(begin + at_once, units));
    report.loss += static_cast<double>(*loss.data<float>());
    tape.backward(device_, loss);
  }
  for (TrainedTensor& tensor : tensors_) tensor.gradient = tape.grad(tape.watch(tensor.weight));
  report.grad_norm = gradient_norm(device_, tensors_);
  report.metrics = objective.metrics();
  return report;
}

void Trainer::apply(const StepReport& report, double learning_rate) {
  OptimizerStep step;
  step.learning_rate = learning_rate;
  if (options_.clip_norm > 0)
    step.gradient_scale = clip_scale(report.grad_norm, options_.clip_norm);
  optimizer_->step(device_, tensors_, step);
  store_.changed();
  drop();
}

void Trainer::drop() {
  for (TrainedTensor& tensor : tensors_) tensor.gradient = Tensor();
}

std::vector<TrainedTensor> trained_tensors(const ParameterStore& store) {
  std::vector<TrainedTensor> tensors;
  for (const Parameter& parameter : store.parameters()) {
    if (parameter.trainable()) tensors.push_back(trained_tensor(parameter));
  }
  return tensors;
}

}  // namespace minke
