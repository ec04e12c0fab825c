#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "minke/base/result.h"
#include "minke/engine/request.h"
#include "minke/models/model.h"
#include "minke/text/tokenizer.h"

namespace minke {

/// How samples are drawn.
struct SampleOptions {
  int num_tokens = 64;         ///< most of each
  int64_t context_tokens = 0;  ///< where samples end; 0: what the model was made for
  SamplingParams sampling;
};

/// A text that a model has gone on with.
struct Sample {
  std::string prompt;
  std::string text;  ///< without the prompt
};

/// Lets the model, as its weights are now, go on with each prompt: with the engine that serves and
/// a cache in f32, so in training's own arithmetic. All prompts at once; prompt i is drawn with the
/// seed plus i. An empty prompt begins with the model's token for that. Nothing else may compute on
/// the device meanwhile. kUsage for prompts that fill the context.
Result<std::vector<Sample>> draw_samples(const Device& device, const Model& model,
                                         const Tokenizer& tokenizer,
                                         const std::vector<std::string>& prompts,
                                         const SampleOptions& options);

}  // namespace minke
