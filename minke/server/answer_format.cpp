#include "minke/server/answer_format.h"

#include <fmt/core.h>

#include "minke/server/generation_fields.h"

#ifndef MINKE_VERSION
#define MINKE_VERSION "unknown"
#endif

namespace minke {

Json Usage::to_json() const {
  return Json::object(
      {{"prompt_tokens", prompt},
       {"completion_tokens", completion},
       {"total_tokens", prompt + completion},
       {"prompt_cache_hit_tokens", cached},
       {"prompt_cache_miss_tokens", prompt - cached},
       {"prompt_tokens_details", Json::object({{"cached_tokens", cached}})},
       {"completion_tokens_details", Json::object({{"reasoning_tokens", reasoning}})}});
}

Json AnswerHead::to_json(const char* object) const {
  return Json::object({{"id", id},
                       {"object", object},
                       {"created", created},
                       {"model", model},
                       {"system_fingerprint", "minke-" MINKE_VERSION}});
}

std::string new_answer_id(const char* prefix) {
  return fmt::format("{}{:016x}{:08x}", prefix, random_bits(),
                     static_cast<uint32_t>(random_bits()));
}

std::string token_text(const Tokenizer& tokenizer, int32_t token) {
  return std::string(tokenizer.token_bytes(token));
}

}  // namespace minke
