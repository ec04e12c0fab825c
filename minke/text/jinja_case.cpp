#include "minke/text/jinja_case.h"

#include <utf8proc.h>

#include <string_view>

#include "minke/base/utf8.h"

namespace minke::jinja {
namespace {

/// Unicode's SpecialCasing.txt without conditions: character, upper, title; one space after each.
constexpr std::string_view kSpecial =
    "ß SS Ss ŉ ʼN ʼN ǰ J\u030c J\u030c ΐ Ι\u0308\u0301 Ι\u0308\u0301 "
    "ΰ Υ\u0308\u0301 Υ\u0308\u0301 և ԵՒ Եւ ẖ H\u0331 H\u0331 ẗ T\u0308 T\u0308 "
    "ẘ W\u030a W\u030a ẙ Y\u030a Y\u030a ẚ Aʾ Aʾ ὐ Υ\u0313 Υ\u0313 "
    "ὒ Υ\u0313\u0300 Υ\u0313\u0300 ὔ Υ\u0313\u0301 Υ\u0313\u0301 "
    "ὖ Υ\u0313\u0342 Υ\u0313\u0342 ᾀ ἈΙ ᾈ ᾁ ἉΙ ᾉ ᾂ ἊΙ ᾊ ᾃ ἋΙ ᾋ ᾄ ἌΙ ᾌ ᾅ ἍΙ ᾍ ᾆ ἎΙ ᾎ ᾇ ἏΙ ᾏ "
    "ᾈ ἈΙ ᾈ ᾉ ἉΙ ᾉ ᾊ ἊΙ ᾊ ᾋ ἋΙ ᾋ ᾌ ἌΙ ᾌ ᾍ ἍΙ ᾍ ᾎ ἎΙ ᾎ ᾏ ἏΙ ᾏ ᾐ ἨΙ ᾘ ᾑ ἩΙ ᾙ ᾒ ἪΙ ᾚ ᾓ ἫΙ ᾛ "
    "ᾔ ἬΙ ᾜ ᾕ ἭΙ ᾝ ᾖ ἮΙ ᾞ ᾗ ἯΙ ᾟ ᾘ ἨΙ ᾘ ᾙ ἩΙ ᾙ ᾚ ἪΙ ᾚ ᾛ ἫΙ ᾛ ᾜ ἬΙ ᾜ ᾝ ἭΙ ᾝ ᾞ ἮΙ ᾞ ᾟ ἯΙ ᾟ "
    "ᾠ ὨΙ ᾨ ᾡ ὩΙ ᾩ ᾢ ὪΙ ᾪ ᾣ ὫΙ ᾫ ᾤ ὬΙ ᾬ ᾥ ὭΙ ᾭ ᾦ ὮΙ ᾮ ᾧ ὯΙ ᾯ ᾨ ὨΙ ᾨ ᾩ ὩΙ ᾩ ᾪ ὪΙ ᾪ ᾫ ὫΙ ᾫ "
    "ᾬ ὬΙ ᾬ ᾭ ὭΙ ᾭ ᾮ ὮΙ ᾮ ᾯ ὯΙ ᾯ ᾲ ᾺΙ Ὰ\u0345 ᾳ ΑΙ ᾼ ᾴ ΆΙ Ά\u0345 ᾶ Α\u0342 Α\u0342 "
    "ᾷ Α\u0342Ι Α\u0342\u0345 ᾼ ΑΙ ᾼ ῂ ῊΙ Ὴ\u0345 ῃ ΗΙ ῌ ῄ ΉΙ Ή\u0345 ῆ Η\u0342 Η\u0342 "
    "ῇ Η\u0342Ι Η\u0342\u0345 ῌ ΗΙ ῌ ῒ Ι\u0308\u0300 Ι\u0308\u0300 "
    "ΐ Ι\u0308\u0301 Ι\u0308\u0301 ῖ Ι\u0342 Ι\u0342 ῗ Ι\u0308\u0342 Ι\u0308\u0342 "
    "ῢ Υ\u0308\u0300 Υ\u0308\u0300 ΰ Υ\u0308\u0301 Υ\u0308\u0301 ῤ Ρ\u0313 Ρ\u0313 "
    "ῦ Υ\u0342 Υ\u0342 ῧ Υ\u0308\u0342 Υ\u0308\u0342 ῲ ῺΙ Ὼ\u0345 ῳ ΩΙ ῼ ῴ ΏΙ Ώ\u0345 "
    "ῶ Ω\u0342 Ω\u0342 ῷ Ω\u0342Ι Ω\u0342\u0345 ῼ ΩΙ ῼ ﬀ FF Ff ﬁ FI Fi ﬂ FL Fl ﬃ FFI Ffi "
    "ﬄ FFL Ffl ﬅ ST St ﬆ ST St ﬓ ՄՆ Մն ﬔ ՄԵ Մե ﬕ ՄԻ Մի ﬖ ՎՆ Վն ﬗ ՄԽ Մխ ";
constexpr uint32_t kFirstSpecial = 0xDF;
constexpr uint32_t kLastSpecial = 0xFB17;

struct Special {
  std::string_view upper;
  std::string_view title;
};

/// The several characters that upper and title case of `c` have; empty for most.
Special special_of(uint32_t c) {
  // Outside of these blocks there are three, so that ordinary text never searches the table.
  const bool in_block = (c >= 0x1E96 && c <= 0x1FFC) || c >= 0xFB00 || c == 0xDF || c == 0x149 ||
                        c == 0x1F0 || c == 0x390 || c == 0x3B0 || c == 0x587;
  if (!in_block || c < kFirstSpecial || c > kLastSpecial) return {};
  std::string wanted;
  utf8_append(wanted, c);
  wanted += ' ';
  for (std::string_view left = kSpecial; !left.empty();) {
    const size_t upper = left.find(' ') + 1;
    const size_t title = left.find(' ', upper) + 1;
    const size_t next = left.find(' ', title) + 1;
    if (left.starts_with(wanted)) {
      return {left.substr(upper, title - upper - 1), left.substr(title, next - title - 1)};
    }
    left.remove_prefix(next);
  }
  return {};
}

int32_t code(uint32_t c) { return static_cast<int32_t>(c); }

}  // namespace

void append_upper(std::string& out, uint32_t c) {
  const std::string_view special = special_of(c).upper;
  if (special.empty()) {
    utf8_append(out, static_cast<uint32_t>(utf8proc_toupper(code(c))));
  } else {
    out += special;
  }
}

void append_lower(std::string& out, uint32_t c) {
  constexpr uint32_t kDottedCapitalI = 0x130;
  if (c == kDottedCapitalI) {
    out += "i\u0307";
  } else {
    utf8_append(out, static_cast<uint32_t>(utf8proc_tolower(code(c))));
  }
}

void append_title(std::string& out, uint32_t c) {
  const std::string_view special = special_of(c).title;
  if (special.empty()) {
    utf8_append(out, static_cast<uint32_t>(utf8proc_totitle(code(c))));
  } else {
    out += special;
  }
}

bool is_cased(uint32_t c) {
  return utf8proc_toupper(code(c)) != code(c) || utf8proc_tolower(code(c)) != code(c);
}

}  // namespace minke::jinja
