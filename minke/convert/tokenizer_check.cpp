#include "minke/convert/tokenizer_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "minke/base/utf8.h"

namespace minke {
namespace {

// Each is a case on which published pre-tokenizers differ.
constexpr std::array<std::string_view, 12> kTexts = {
    "Hello world, it's what they'd've SAID: I'LL come. Don't!",
    " a  b   c\td\n\ne\r\n  f \n \n\n",
    "3 33 333 3333 33333 3.14 1,000,000 2024-11-23 0x7F v2",
    "for (int i = 0; i < n; ++i) { x[i] += \"a_b\" + 'c'; }  // ok\n\treturn -1;",
    "snake_case camelCase HTTPServer /usr/bin/env foo@example.org #tag $5 50% a^b ~x `y`",
    "中文分词测试，第3课。日本語のテキスト、カタカナ。한국어 문장",
    "Größe façade naïve Ünïcödé ПРИВЕТ мир Ελλάδα עברית العربية हिन्दी",
    "😀👍🏽 ✅🦙🦙 ©®™ “quotes” – dashes — … €100",
    "......!!!!!---?-?-?---======______~~~~~~",
    "trailing space ",
    "   ",
    "\n"};

// The first text that they cut differently.
std::optional<std::string_view> first_difference(const Tokenizer& a, const Tokenizer& b) {
  for (const std::string_view text : kTexts) {
    if (a.encode(text) != b.encode(text)) return text;
  }
  return std::nullopt;
}

bool is_filler(const Tokenizer& tokenizer, int32_t id) {
  return tokenizer.token_bytes(id) == fmt::format("[PAD{}]", id);
}

void add_token_differences(const Tokenizer& a, const Tokenizer& b, std::vector<std::string>& out) {
  const auto quoted = [](const Tokenizer& tokenizer, int32_t id) {
    return id < tokenizer.vocab_size()
               ? fmt::format("'{}'", printable_name(tokenizer.token_bytes(id)))
               : std::string("nothing");
  };
  int64_t count = 0;
  std::string first;
  for (int32_t id = 0; id < std::max(a.vocab_size(), b.vocab_size()); ++id) {
    const bool in_both = id < std::min(a.vocab_size(), b.vocab_size());
    if (in_both ? a.token_bytes(id) == b.token_bytes(id)
                : is_filler(id < a.vocab_size() ? a : b, id)) {
      continue;
    }
    if (count++ == 0) first = fmt::format("{}: {} and {}", id, quoted(a, id), quoted(b, id));
  }
  if (count > 0) out.push_back(fmt::format("{} tokens differ, the first {}", count, first));
}

void add_id_differences(const Tokenizer& a, const Tokenizer& b, std::vector<std::string>& out) {
  const auto text = [](std::optional<int32_t> id) {
    return id ? std::to_string(*id) : std::string("none");
  };
  const auto add = [&](const char* name, std::optional<int32_t> x, std::optional<int32_t> y) {
    if (x != y) out.push_back(fmt::format("{}: {} and {}", name, text(x), text(y)));
  };
  add("bos", a.bos(), b.bos());
  add("eos", a.eos(), b.eos());
  if (a.end_of_generation_ids() != b.end_of_generation_ids()) {
    out.push_back(fmt::format("ends of a reply: {} and {}",
                              fmt::join(a.end_of_generation_ids(), " "),
                              fmt::join(b.end_of_generation_ids(), " ")));
  }
  if (a.add_bos() != b.add_bos()) {
    out.push_back(fmt::format("bos before plain text: {} and {}", a.add_bos(), b.add_bos()));
  }
}

}  // namespace

Result<void> check_same_tokenizer(const Tokenizer& before, const Tokenizer& after) {
  const auto text = first_difference(before, after);
  if (!text) return {};
  return fail(ErrorCode::kUsage,
              "this tokenizer cannot be written in the other format: '{}' would be cut "
              "differently; --no-tokenizer leaves it out",
              *text);
}

std::vector<std::string> tokenizer_differences(const std::optional<Tokenizer>& a,
                                               const std::optional<Tokenizer>& b) {
  std::vector<std::string> out;
  if (!a || !b) {
    if (a || b) out.push_back(fmt::format("only the {} has one", a ? "first" : "second"));
    return out;
  }
  add_token_differences(*a, *b, out);
  add_id_differences(*a, *b, out);
  if (const auto text = first_difference(*a, *b)) {
    out.push_back(fmt::format("'{}' is cut differently", printable_name(*text)));
  }
  if (a->chat_template() != b->chat_template()) out.emplace_back("the chat templates differ");
  return out;
}

bool is_control_text(std::string_view text) {
  return text == "<pad>" || (text.starts_with("<|") && text.ends_with("|>")) ||
         (text.starts_with("<｜") && text.ends_with("｜>"));
}

}  // namespace minke
