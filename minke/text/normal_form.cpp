#include "minke/text/normal_form.h"

#include <utf8proc.h>

#include <algorithm>
#include <vector>

#include "minke/base/check.h"
#include "minke/base/utf8.h"

namespace minke {
namespace {

/// Blocks in which no character changes under NFC or composes with the one before; they may well
/// compose with what follows. The first few hold nearly all text.
bool is_stable(uint32_t c) {
  if (c < 0x300) return true;
  if (c < 0x3000) {
    return (c >= 0x388 && c <= 0x482) || (c >= 0x2010 && c <= 0x20CF) ||
           (c >= 0x2190 && c <= 0x2328);
  }
  return (c <= 0x9FFF && c != 0x3099 && c != 0x309A && (c < 0x302A || c > 0x302F)) ||
         (c >= 0xAC00 && c <= 0xD7A3) || (c >= 0xFF00 && c <= 0xFFEF) ||
         (c >= 0x1F000 && c <= 0x1FAFF);
}

/// Appends valid UTF-8 in normal form C.
void append_composed(std::string& out, std::string_view text) {
  constexpr auto kOptions = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  const auto size = static_cast<utf8proc_ssize_t>(text.size());
  // At most 4 code points come from one (U+1F82), and a character has a byte at least. One more:
  // utf8proc ends the text with a zero.
  std::vector<utf8proc_int32_t> code_points(text.size() * 4 + 1);
  utf8proc_ssize_t count =
      utf8proc_decompose(bytes, size, code_points.data(),
                         static_cast<utf8proc_ssize_t>(code_points.size() - 1), kOptions);
  MK_CHECK(count >= 0 && static_cast<size_t>(count) < code_points.size(),
           "normal_form: utf8proc says {} of {} bytes", count, text.size());
  count = utf8proc_normalize_utf32(code_points.data(), count, kOptions);
  MK_CHECK(count >= 0, "normal_form: utf8proc says {}", count);
  for (utf8proc_ssize_t i = 0; i < count; ++i) {
    utf8_append(out, static_cast<uint32_t>(code_points[static_cast<size_t>(i)]));
  }
}

}  // namespace

bool is_surely_nfc(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    if (static_cast<unsigned char>(text[at]) < 0x80) {
      ++at;
      continue;
    }
    const Utf8Char c = utf8_next(text.substr(at));
    if (c.valid && !is_stable(c.code_point)) return false;
    at += static_cast<size_t>(c.bytes);
  }
  return true;
}

void append_nfc(std::string& out, std::string_view text) {
  // [copied, at) is text to be copied or composed; it is composed from `last`, the start of the
  // last stable character before the first one that is not.
  size_t copied = 0;
  size_t last = 0;
  bool composing = false;
  const auto flush = [&](size_t end) {
    if (!composing) return;
    out += text.substr(copied, last - copied);
    append_composed(out, text.substr(last, end - last));
    copied = end;
    composing = false;
  };
  for (size_t at = 0; at < text.size();) {
    const Utf8Char c = utf8_next(text.substr(at));
    if (!c.valid) {
      flush(at);
      last = at + static_cast<size_t>(c.bytes);
    } else if (is_stable(c.code_point)) {
      flush(at);
      last = at;
    } else {
      composing = true;
    }
    at += static_cast<size_t>(c.bytes);
  }
  flush(text.size());
  out += text.substr(copied);
}

}  // namespace minke
