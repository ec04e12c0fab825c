#include "minke/server/completion_schema.h"

namespace minke {
namespace {

constexpr const char* kPromptKinds =
    "a string, an array of strings, an array of token ids or an array of such arrays";

ApiResult<CompletionPrompt> read_tokens(const Json::Array& items, int32_t vocab_size) {
  std::vector<int32_t> ids;
  ids.reserve(items.size());
  for (const Json& item : items) {
    if (!item.is_int() || item.as_int() < 0 || item.as_int() >= vocab_size) {
      return tl::unexpected(field_error(
          "prompt", fmt::format("prompt holds {}, expected token ids from 0 to {}",
                                item.is_number() ? item.dump() : item.kind(), vocab_size - 1)));
    }
    ids.push_back(static_cast<int32_t>(item.as_int()));
  }
  return CompletionPrompt(std::move(ids));
}

ApiResult<std::vector<CompletionPrompt>> read_prompts(const Json* prompt, int32_t vocab_size) {
  std::vector<CompletionPrompt> out;
  if (prompt != nullptr && prompt->is_string()) {
    out.emplace_back(prompt->as_string());
    return out;
  }
  if (prompt == nullptr || !prompt->is_array() || prompt->as_array().empty()) {
    return tl::unexpected(field_error(
        "prompt", fmt::format("prompt is {}, expected {}",
                              prompt == nullptr ? "missing" : prompt->kind(), kPromptKinds)));
  }
  const Json::Array& items = prompt->as_array();
  if (items[0].is_number()) {
    auto ids = read_tokens(items, vocab_size);
    if (!ids) return tl::unexpected(ids.error());
    out.push_back(std::move(*ids));
    return out;
  }
  if (items.size() > kPromptsMax) {
    return tl::unexpected(field_error(
        "prompt", fmt::format("{} prompts, expected at most {}", items.size(), kPromptsMax)));
  }
  for (const Json& item : items) {
    if (item.is_string()) {
      out.emplace_back(item.as_string());
    } else if (item.is_array()) {
      auto ids = read_tokens(item.as_array(), vocab_size);
      if (!ids) return tl::unexpected(ids.error());
      out.push_back(std::move(*ids));
    } else {
      return tl::unexpected(field_error(
          "prompt", fmt::format("prompt holds {}, expected {}", item.kind(), kPromptKinds)));
    }
  }
  return out;
}

}  // namespace

ApiResult<CompletionRequest> read_completion_request(const Json& body,
                                                     const GenerationContext& context) {
  CompletionRequest out;
  Fields fields(body);
  out.generation = read_generation_fields(fields, context);
  int64_t logprobs = -1;
  fields.integer("logprobs", logprobs, 0, kTopLogprobsMax);
  fields.boolean("echo", out.echo);
  std::string suffix;
  fields.text("suffix", suffix);
  int64_t best_of = out.generation.n;
  fields.integer("best_of", best_of, 1, kAnswersMax);
  if (!suffix.empty()) fields.fail("suffix", "suffix is not supported by this model");
  if (best_of != out.generation.n) {
    fields.fail("best_of", fmt::format("best_of is {}, expected it to equal n ({})", best_of,
                                       out.generation.n));
  }
  if (out.echo && logprobs >= 0) {
    fields.fail("echo", "echo together with logprobs is not supported by this version");
  }
  if (fields.error()) return tl::unexpected(*fields.error());
  out.num_logprobs = static_cast<int>(logprobs);
  auto prompts = read_prompts(fields.find("prompt"), context.vocab_size);
  if (!prompts) return tl::unexpected(prompts.error());
  out.prompts = std::move(*prompts);
  if (out.prompts.size() * static_cast<size_t>(out.generation.n) > kPromptsMax) {
    return tl::unexpected(
        field_error("n", fmt::format("{} prompts times n = {}, expected at most {} answers",
                                     out.prompts.size(), out.generation.n, kPromptsMax)));
  }
  return out;
}

}  // namespace minke
