#pragma once
#include <cstdint>
#include <string>

#include "minke/train/optimizer_config.h"
#include "minke/train/schedule.h"

namespace minke {

/// The settings that all stages have in common.
struct TrainingConfig {
  int64_t steps = 1000;
  int64_t batch = 8;
  int64_t micro_batch = 0;
  double memory_gb = 0;
  ScheduleConfig schedule;
  OptimizerConfig optimizer;
  double clip = 1.0;
  double ema = 0;
  int64_t eval_every = 250;
  int64_t eval_batches = 20;
  int64_t patience = 0;
  std::string tasks;
  std::string samples;
  int64_t sample_tokens = 64;
  int64_t save_every = 500;
  double save_minutes = 30;
  int64_t keep = 2;
  double spike = 8;
  int64_t skips = 5;
  uint64_t seed = 1;
  bool tensorboard = false;
  int threads = 0;

  template <class Visitor>
  void visit(Visitor& visitor) {
    visitor("steps", steps, 1.0, 1e12, "changes of the weights");
    visitor("batch", batch, 1.0, 1e9, "rows of a step, or pairs");
    visitor("micro_batch", micro_batch, 0.0, 1e9,
            "rows computed at once, whose gradients add up; 0: as many as fit the memory");
    visitor("memory_gb", memory_gb, 0.0, 1e6, "what training may take; 0: what is free");
    schedule.visit(visitor);
    optimizer.visit(visitor);
    visitor("clip", clip, 0.0, 1e9, "the largest norm of all gradients together; 0: any");
    visitor(
        "ema", ema, 0.0, 0.9999999,
        "decay of an average of the weights, which is evaluated and at the end written; 0: none");
    visitor("eval_every", eval_every, 0.0, 1e12, "steps between evaluations; 0: none");
    visitor("eval_batches", eval_batches, 1.0, 1e12, "batches of an evaluation");
    visitor("patience", patience, 0.0, 1e9,
            "evaluations without a better loss after which training stops; 0: never");
    visitor("tasks", tasks,
            "questions that evaluations ask: files as minke eval choice reads, between commas");
    visitor("samples", samples,
            "a file of prompts, one a line, that evaluations let the model "
            "go on with");
    visitor("sample_tokens", sample_tokens, 1.0, 1e6, "most tokens of such a sample");
    visitor("save_every", save_every, 0.0, 1e12, "steps between checkpoints; 0: only the last");
    visitor("save_minutes", save_minutes, 0.0, 1e6, "minutes between them; 0: by steps alone");
    visitor("keep", keep, 1.0, 1e6, "checkpoints that are kept, besides the best");
    visitor("spike", spike, 0.0, 1e6,
            "a step is skipped whose loss or norm is so many deviations above the last ones; 0: "
            "only what is no number");
    visitor("skips", skips, 1.0, 1e6,
            "skipped steps in a row after which the last checkpoint's weights are taken");
    visitor("seed", seed, "of all that is drawn: order of the data, new weights");
    visitor("tensorboard", tensorboard, "write an event file for TensorBoard, too");
    visitor("threads", threads, 0.0, 1024.0, "0: all CPUs that this process may use");
  }
};

}  // namespace minke
