#include "minke/data/example_encoder.h"

#include <algorithm>

#include <array>

#include "minke/base/check.h"
#include "minke/base/random.h"
#include "minke/data/text_hash.h"
#include "minke/text/tokenizer.h"

namespace minke {
namespace {

// Control tokens around prefix, suffix and middle: DeepSeek's, StarCoder's and SmolLM's, Qwen's.
constexpr std::array<std::array<std::string_view, 3>, 3> kFimTexts = {
    {{"<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"},
     {"<fim_prefix>", "<fim_suffix>", "<fim_middle>"},
     {"<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"}}};

size_t common_prefix(std::string_view a, std::string_view b) {
  return static_cast<size_t>(std::ranges::mismatch(a, b).in1 - a.begin());
}

Json message_of(std::string_view role, const Words& text) {
  return Json::object({{"role", role}, {"content", text}});
}

void append_messages(const Words& words, std::string_view role, Json& messages) {
  if (words.is_string()) messages.push(message_of(role, words));
  if (!words.is_array()) return;
  for (const Json& message : words.as_array()) messages.push(message);
}

MarkedText slice(const MarkedText& whole, TextRange range) {
  MarkedText part{.text = whole.text.substr(range.begin, range.end - range.begin), .untrusted = {}};
  for (const TextRange& marked : whole.untrusted) {
    const size_t begin = std::max(marked.begin, range.begin);
    const size_t end = std::min(marked.end, range.end);
    if (begin < end) part.untrusted.push_back({begin - range.begin, end - range.begin});
  }
  return part;
}

bool is_trusted(const MarkedText& whole, size_t begin, size_t size) {
  return std::ranges::none_of(whole.untrusted, [&](const TextRange& range) {
    return range.begin < begin + size && begin < range.end;
  });
}

// The next place that begins a character.
size_t character_at(std::string_view text, size_t at) {
  while (at < text.size() && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80) ++at;
  return at;
}

// How many messages two answers begin with alike: they belong to the prompt.
size_t shared_messages(const std::vector<Words>& answers) {
  if (answers.size() < 2 || !answers[0].is_array()) return 0;
  const Json::Array& a = answers[0].as_array();
  return static_cast<size_t>(std::ranges::mismatch(a, answers[1].as_array()).in1 - a.begin());
}

}  // namespace

Result<ExampleEncoder> ExampleEncoder::create(const Tokenizer& tokenizer,
                                              const EncoderOptions& options) {
  ExampleEncoder encoder(tokenizer, options);
  if (!tokenizer.chat_template().empty()) {
    MK_ASSIGN(ChatTemplate parsed, ChatTemplate::parse(tokenizer.chat_template()));
    encoder.template_ = std::move(parsed);
  } else if (options.chat) {
    return fail(ErrorCode::kUsage,
                "the tokenizer has no chat template: put a chat_template.jinja beside it, or take "
                "--chat never");
  }
  if (options.fim_rate > 0.0) MK_TRY(encoder.find_fim_tokens());
  const std::vector<int32_t> probe = tokenizer.encode("a");
  encoder.adds_space_ = !probe.empty() && tokenizer.token_bytes(probe[0]).starts_with(' ');
  return encoder;
}

Result<void> ExampleEncoder::find_fim_tokens() {
  for (const auto& texts : kFimTexts) {
    const auto prefix = tokenizer_->find(texts[0]);
    const auto suffix = tokenizer_->find(texts[1]);
    const auto middle = tokenizer_->find(texts[2]);
    if (!prefix || !suffix || !middle) continue;
    fim_ = FimTokens{.prefix = *prefix, .suffix = *suffix, .middle = *middle};
    return {};
  }
  return fail(ErrorCode::kUsage,
              "the tokenizer has no tokens to fill in a middle ({}, {}, {} or their like): take "
              "--fim-rate 0",
              kFimTexts[1][0], kFimTexts[1][1], kFimTexts[1][2]);
}

void ExampleEncoder::append_ids(const std::vector<int32_t>& ids, bool learned,
                                TokenDocument& out) const {
  out.ids.insert(out.ids.end(), ids.begin(), ids.end());
  out.loss.insert(out.loss.end(), ids.size(), learned);
}

// Counts bytes, and refuses a text that the tokenizer cannot write.
Result<TokenDocument> ExampleEncoder::finish(TokenDocument document, size_t text_bytes) const {
  size_t written = 0;
  for (size_t i = 0; i < document.ids.size(); ++i) {
    const int32_t id = document.ids[i];
    const size_t bytes = tokenizer_->token_bytes(id).size();
    written += bytes;
    if (document.loss[i] && !tokenizer_->is_control(id)) {
      document.text_bytes += static_cast<int64_t>(bytes);
    }
  }
  const size_t lost = text_bytes - std::min(text_bytes, written);
  constexpr size_t kLostPercentMax = 1;
  if (lost * 100 > text_bytes * kLostPercentMax) {
    return fail(ErrorCode::kCorrupt,
                "the tokenizer has no tokens for {} of its {} bytes: it was made for other text",
                lost, text_bytes);
  }
  document.lost_bytes = static_cast<int64_t>(lost);
  return document;
}

// "Efficient Training of Language Models to Fill in the Middle" (Bavarian et al. 2022), PSM, as
// DeepSeek-V3 does it: prefix and suffix are given, the middle follows.
void ExampleEncoder::append_rearranged(std::string_view text, TokenDocument& out) const {
  Random random(options_.seed ^ text_hash(text));
  const bool fills = fim_ && random.uniform() < options_.fim_rate;
  if (!fills) return append_ids(tokenizer_->encode(text), true, out);
  size_t first = character_at(text, random.below(text.size() + 1));
  size_t second = character_at(text, random.below(text.size() + 1));
  if (first > second) std::swap(first, second);
  append_ids({fim_->prefix}, true, out);
  append_ids(tokenizer_->encode(text.substr(0, first)), true, out);
  append_ids({fim_->suffix}, true, out);
  append_ids(tokenizer_->encode(text.substr(second)), true, out);
  append_ids({fim_->middle}, true, out);
  append_ids(tokenizer_->encode(text.substr(first, second - first)), true, out);
}

Result<TokenDocument> ExampleEncoder::encode_text(std::string_view text, TextPart part) const {
  TokenDocument out;
  const auto bos = tokenizer_->bos();
  if (part.first && tokenizer_->add_bos() && bos) append_ids({*bos}, true, out);
  if (part.first && part.last) {
    append_rearranged(text, out);
  } else {
    append_ids(tokenizer_->encode(text), true, out);
  }
  const auto eos = tokenizer_->eos();
  if (part.last && options_.append_eos && eos) append_ids({*eos}, true, out);
  MK_ASSIGN(out, finish(std::move(out), text.size()));
  out.loss.clear();
  out.continues = !part.last;
  return out;
}

void ExampleEncoder::append(const MarkedText& whole, TextRange range, bool learned,
                            TokenDocument& out) const {
  if (range.begin == range.end) return;
  if (adds_space_ && range.begin > 0) {
    // A text by itself would begin with a space here: take what it is as the end of all before it.
    std::vector<int32_t> ids = tokenizer_->encode(slice(whole, {0, range.end}));
    const auto before = static_cast<std::ptrdiff_t>(out.ids.size());
    if (std::ranges::mismatch(out.ids, ids).in1 == out.ids.end()) {
      ids.erase(ids.begin(), ids.begin() + before);
      return append_ids(ids, learned, out);
    }
  }
  append_ids(tokenizer_->encode(slice(whole, range)), learned, out);
}

Result<TokenDocument> ExampleEncoder::encode_plain(std::string_view prompt,
                                                   std::string_view answer) const {
  MarkedText whole{.text = std::string(prompt), .untrusted = {}};
  if (!prompt.empty()) whole.text += options_.separator;
  const size_t begin = whole.text.size();
  whole.text += answer;
  whole.untrusted = {{0, whole.text.size()}};
  TokenDocument out;
  const auto bos = tokenizer_->bos();
  TokenDocument start;
  if (begin > 0) append(whole, {0, begin}, false, start);
  append(whole, {begin, whole.text.size()}, true, start);
  if (tokenizer_->add_bos() && bos) append_ids({*bos}, false, out);
  out.ids.insert(out.ids.end(), start.ids.begin(), start.ids.end());
  out.loss.insert(out.loss.end(), start.loss.begin(), start.loss.end());
  const auto eos = tokenizer_->eos();
  if (options_.append_eos && eos) append_ids({*eos}, true, out);
  return finish(std::move(out), whole.text.size());
}

Result<MarkedText> ExampleEncoder::render(const Json& messages, size_t count, const Json& tools,
                                          bool generation_prompt) const {
  const auto text_of = [&](std::optional<int32_t> id) {
    return id ? std::optional(std::string(tokenizer_->token_bytes(*id))) : std::nullopt;
  };
  const auto begin = messages.as_array().begin();
  ChatInput input{
      .messages = Json(Json::Array(begin, begin + static_cast<std::ptrdiff_t>(count))),
      .tools = tools,
      .add_generation_prompt = generation_prompt,
      .bos_token = text_of(tokenizer_->bos()),
      .eos_token = text_of(tokenizer_->eos()),
      .extra = Json::object(),
      .now_seconds = 0,  // the same data each day
  };
  Result<MarkedText> text = template_->render(input);
  if (!text) return fail(ErrorCode::kCorrupt, "the chat template: {}", text.error().message);
  return text;
}

// The end of the first token that ends a turn in `range`, else the end of the range.
size_t ExampleEncoder::end_of_turn(const MarkedText& whole, TextRange range) const {
  size_t end = range.end;
  for (const int32_t id : tokenizer_->end_of_generation_ids()) {
    const std::string_view token = tokenizer_->token_bytes(id);
    size_t at = token.empty() ? std::string::npos : whole.text.find(token, range.begin);
    while (at != std::string::npos && at + token.size() <= end) {
      if (is_trusted(whole, at, token.size())) {
        end = at + token.size();
        break;
      }
      at = whole.text.find(token, at + 1);
    }
  }
  return end;
}

Result<std::vector<TextRange>> ExampleEncoder::learned_ranges(const MarkedText& whole,
                                                              const Json& messages,
                                                              size_t first_learned,
                                                              const Json& tools) const {
  std::vector<TextRange> ranges;
  const size_t count = messages.as_array().size();
  // Templates cannot be asked for the prompt of a turn that nothing comes before.
  for (size_t i = std::max(first_learned, size_t{1}); i < count; ++i) {
    if (*messages.as_array()[i].find("role") != Json("assistant")) continue;
    MK_ASSIGN(const MarkedText prompt, render(messages, i, tools, true));
    TextRange range{.begin = common_prefix(prompt.text, whole.text), .end = whole.text.size()};
    if (range.begin < prompt.text.size()) {
      // Templates of reasoning models open <think> in a prompt and leave thoughts out later.
      MK_ASSIGN(const MarkedText before, render(messages, i, tools, false));
      if (range.begin < before.text.size()) {
        return fail(ErrorCode::kCorrupt,
                    "the chat template writes what is before message {} in another way once it is "
                    "answered, so that its loss mask cannot be told: make an example of each turn",
                    i + 1);
      }
    }
    MK_ASSIGN(const MarkedText after, render(messages, i + 1, tools, false));
    if (whole.text.starts_with(after.text)) range.end = after.text.size();
    range.end = end_of_turn(whole, range);
    if (range.begin < range.end) ranges.push_back(range);
  }
  if (ranges.empty()) {
    return fail(ErrorCode::kCorrupt, "no answer of the assistant after another message");
  }
  return ranges;
}

Result<TokenDocument> ExampleEncoder::encode_chat(const Json& messages, size_t first_learned,
                                                  const Json& tools) const {
  if (!template_) {
    return fail(ErrorCode::kUsage,
                "the tokenizer has no chat template, which messages need: put a "
                "chat_template.jinja beside it");
  }
  MK_ASSIGN(const MarkedText whole, render(messages, messages.as_array().size(), tools, false));
  MK_ASSIGN(const std::vector<TextRange> ranges,
            learned_ranges(whole, messages, first_learned, tools));
  TokenDocument out;
  size_t at = 0;
  for (const TextRange& range : ranges) {
    append(whole, {at, std::max(at, range.begin)}, false, out);
    append(whole, {std::max(at, range.begin), std::max(at, range.end)}, true, out);
    at = std::max(at, range.end);
  }
  append(whole, {at, whole.text.size()}, false, out);
  return finish(std::move(out), whole.text.size());
}

Result<std::vector<TokenDocument>> ExampleEncoder::encode(const Record& record) const {
  std::vector<TokenDocument> documents;
  const size_t shared = shared_messages(record.answers);
  for (const Words& answer : record.answers) {
    if (record.format == RecordFormat::kText) {
      MK_ASSIGN(documents.emplace_back(), encode_text(answer.as_string(), {}));
      continue;
    }
    const bool is_chat = record.prompt.is_array() || (options_.chat && !record.prompt.is_null());
    const bool plain = answer.is_string() && !is_chat;
    if (plain) {
      const std::string prompt = record.prompt.is_string() ? record.prompt.as_string() : "";
      MK_ASSIGN(documents.emplace_back(), encode_plain(prompt, answer.as_string()));
      continue;
    }
    Json messages = Json::array();
    append_messages(record.prompt, "user", messages);
    const size_t first_learned = messages.as_array().size() + shared;
    append_messages(answer, "assistant", messages);
    MK_ASSIGN(documents.emplace_back(), encode_chat(messages, first_learned, record.tools));
  }
  return documents;
}

}  // namespace minke
