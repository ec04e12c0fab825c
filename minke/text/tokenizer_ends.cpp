#include "minke/text/tokenizer_ends.h"

#include <algorithm>
#include <iterator>
#include <span>

namespace minke {
namespace {

/// Files do not say which tokens end a reply, beyond eos; models are known by these names, of which
/// llama.cpp keeps the list.
constexpr std::string_view kEndNames[] = {"<|eot_id|>",
                                          "<|im_end|>",
                                          "<|end|>",
                                          "<|return|>",
                                          "<|call|>",
                                          "<|flush|>",
                                          "<|calls|>",
                                          "<|eom_id|>",
                                          "<end_of_turn>",
                                          "<|endoftext|>",
                                          "</s>",
                                          "<EOT>",
                                          "_<EOT>",
                                          "[EOT]",
                                          "[EOS]",
                                          "<eos>",
                                          "<turn|>",
                                          "[e~[",
                                          "<|end_of_text|>",
                                          "<end_of_utterance>",
                                          "<|tool_response>",
                                          "<｜end▁of▁sentence｜>"};

// Roles of tokens that end a reply: what the file says, or else the first of these names.
constexpr std::string_view kEotNames[] = {
    "<|eot_id|>",        "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>",
    "<|end_of_text|>",   "<EOT>",      "_<EOT>",  "[EOT]",         "<｜end▁of▁sentence｜>",
    "<end_of_utterance>"};
constexpr std::string_view kEomNames[] = {"<|eom_id|>"};
constexpr std::string_view kFimPadNames[] = {"<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>",
                                             "[PAD]"};
constexpr std::string_view kFimRepNames[] = {"<|fim_repo|>", "<|repo_name|>", "<fim-repo>",
                                             "<REPO>", "<reponame>"};
constexpr std::string_view kFimSepNames[] = {"<|file_sep|>"};

std::optional<int32_t> first_of(std::optional<int32_t> given,
                                std::span<const std::string_view> names,
                                const TokenizerData& data) {
  if (given) return given;
  for (const std::string_view name : names) {
    if (const auto id = data.find(name)) return id;
  }
  return std::nullopt;
}

/// Names that end a reply in most models and do not in some, told by their other tokens: <|end|>
/// parts channels in OpenAI's harmony and Solar, </s> is plain text beside <|tool_response>.
void remove_false_ends(TokenizerData& data) {
  const auto has = [&](std::string_view name) { return data.find(name).has_value(); };
  const auto remove = [&](std::string_view name) {
    if (const auto id = data.find(name)) std::erase(data.end_of_generation, *id);
  };
  const bool calls = has("<|call|>") || has("<|calls|>");
  if (calls && (has("<|return|>") || has("<|flush|>"))) remove("<|end|>");
  if (has("<|tool_response>")) remove("</s>");
}

}  // namespace

bool is_end_name(std::string_view text) {
  if (text.empty() || (text[0] != '<' && text[0] != '[' && text[0] != '_')) return false;
  return std::find(std::begin(kEndNames), std::end(kEndNames), text) != std::end(kEndNames);
}

void find_ends(const NamedEnds& given, TokenizerData& data) {
  data.eot = first_of(given.eot, kEotNames, data);
  auto& ends = data.end_of_generation;
  ends = given.others;
  for (const auto& id :
       {data.eos, data.eot, first_of(given.eom, kEomNames, data),
        first_of(given.fim_pad, kFimPadNames, data), first_of(given.fim_rep, kFimRepNames, data),
        first_of(given.fim_sep, kFimSepNames, data)}) {
    if (id) ends.push_back(*id);
  }
  for (const std::string_view name : kEndNames) {
    if (const auto id = data.find(name)) ends.push_back(*id);
  }
  remove_false_ends(data);
  std::sort(ends.begin(), ends.end());
  ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
}

}  // namespace minke
