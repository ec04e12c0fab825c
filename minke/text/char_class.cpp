#include "minke/text/char_class.h"

#include <utf8proc.h>

#include "minke/base/utf8.h"

namespace minke {
namespace {

uint8_t class_of(uint32_t code_point) {
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(code_point))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return char_class::kLetter;
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
      return char_class::kMark;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return char_class::kNumber;
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO:
      return char_class::kPunctuation;
    case UTF8PROC_CATEGORY_SM:
    case UTF8PROC_CATEGORY_SC:
    case UTF8PROC_CATEGORY_SK:
    case UTF8PROC_CATEGORY_SO:
      return char_class::kSymbol;
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return char_class::kSpace;
    default:  // NEL is the one white space beyond ASCII that is no separator.
      return code_point == 0x85 ? char_class::kSpace : char_class::kOther;
  }
}

}  // namespace

TextChar wide_char_at(std::string_view text, size_t at) {
  const Utf8Char decoded = utf8_next(text.substr(at));
  const auto bytes = static_cast<uint8_t>(decoded.bytes);
  if (!decoded.valid) return {char_class::kOther, bytes, decoded.code_point};
  return {class_of(decoded.code_point), bytes, decoded.code_point};
}

}  // namespace minke
