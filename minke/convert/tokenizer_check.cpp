#include "minke/convert/tokenizer_check.h"

#include <array>

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

}  // namespace

Result<void> check_same_tokenizer(const Tokenizer& before, const Tokenizer& after) {
  for (const std::string_view text : kTexts) {
    if (before.encode(text) == after.encode(text)) continue;
    return fail(ErrorCode::kUsage,
                "this tokenizer cannot be written in the other format: '{}' would be cut "
                "differently; --no-tokenizer leaves it out",
                text);
  }
  return {};
}

bool is_control_text(std::string_view text) {
  return text == "<pad>" || (text.starts_with("<|") && text.ends_with("|>")) ||
         (text.starts_with("<｜") && text.ends_with("｜>"));
}

}  // namespace minke
