#include "minke/eval/samples.h"

#include <algorithm>
#include <future>

#include "minke/engine/engine.h"

namespace minke {
namespace {

// What the engine's thread hands over for one prompt.
struct Pending {
  std::vector<int32_t> tokens;
  std::string error;
  std::promise<void> ended;
};

std::vector<int32_t> prompt_ids(const Tokenizer& tokenizer, const std::string& prompt) {
  std::vector<int32_t> ids = tokenizer.encode(prompt);
  const std::optional<int32_t> start = tokenizer.bos() ? tokenizer.bos() : tokenizer.eos();
  if ((tokenizer.add_bos() || ids.empty()) && start) ids.insert(ids.begin(), *start);
  return ids;
}

}  // namespace

Result<std::vector<Sample>> draw_samples(const Device& device, const Model& model,
                                         const Tokenizer& tokenizer,
                                         const std::vector<std::string>& prompts,
                                         const SampleOptions& options) {
  std::vector<Sample> samples;
  if (prompts.empty()) return samples;
  std::vector<Request> requests;
  size_t longest = 0;
  for (const std::string& prompt : prompts) {
    Request request;
    request.prompt = prompt_ids(tokenizer, prompt);
    request.stop_tokens = tokenizer.end_of_generation_ids();
    request.sampling = options.sampling;
    request.sampling.seed += requests.size();
    longest = std::max(longest, request.prompt.size());
    requests.push_back(std::move(request));
  }
  EngineConfig config;
  const int64_t context =
      options.context_tokens > 0 ? options.context_tokens : model.config().max_position_embeddings;
  if (static_cast<int64_t>(longest) >= context) {
    return fail(ErrorCode::kUsage, "a prompt for samples has {} tokens, but there are {} in all",
                longest, context);
  }
  config.context_tokens =
      static_cast<int>(std::min(static_cast<int64_t>(longest) + options.num_tokens, context));
  config.kv_dtype = DType::kF32;
  config.num_tokens = std::min<int64_t>(tokenizer.vocab_size(), model.config().vocab_size);
  config.sequences_max = static_cast<int>(std::min<size_t>(prompts.size(), 16));
  config.waiting_max = static_cast<int>(prompts.size());
  std::vector<Pending> pending(prompts.size());  // outlives the engine, which writes to it
  MK_ASSIGN(const auto engine, Engine::create(device, model, config));
  for (size_t i = 0; i < prompts.size(); ++i) {
    const auto length = static_cast<int>(requests[i].prompt.size());
    requests[i].max_tokens = std::min(options.num_tokens, config.context_tokens - length);
    MK_TRY(engine->submit(std::move(requests[i]), [&each = pending[i]](const TokenEvent& event) {
      if (event.token) each.tokens.push_back(*event.token);
      if (!event.finish) return;
      each.error = event.error;
      each.ended.set_value();
    }));
  }
  for (size_t i = 0; i < prompts.size(); ++i) {
    pending[i].ended.get_future().wait();
    if (!pending[i].error.empty()) return fail(ErrorCode::kFailed, "{}", pending[i].error);
    samples.push_back({prompts[i], tokenizer.decode(pending[i].tokens)});
  }
  return samples;
}

}  // namespace minke
