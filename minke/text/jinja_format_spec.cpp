#include "minke/text/jinja_format_spec.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "minke/base/utf8.h"
#include "minke/text/jinja_operators.h"
#include "minke/text/jinja_print.h"

namespace minke::jinja {

tl::unexpected<Error> bad_format(std::string_view what) {
  return fail(ErrorCode::kUsage, "format: {}", what);
}

bool take_number(std::string_view& text, int64_t& number) {
  for (number = 0; !text.empty() && text[0] >= '0' && text[0] <= '9'; text.remove_prefix(1)) {
    number = number * 10 + (text[0] - '0');
    if (number > kFormatWidthMax) return false;
  }
  return true;
}

namespace {

std::string group_thousands(std::string digits, char separator) {
  const size_t end = std::min(digits.find_first_not_of("0123456789"), digits.size());
  for (size_t at = end; at > 3;) {
    at -= 3;
    digits.insert(at, 1, separator);
  }
  return digits;
}

/// The digits of |value| for an integer type, with its prefix.
std::string integer_digits(int64_t value, const FormatSpec& spec) {
  const uint64_t size = value < 0 ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  std::string text;
  switch (spec.type) {
    case 'x':
      text = fmt::format("{:x}", size);
      break;
    case 'X':
      text = fmt::format("{:X}", size);
      break;
    case 'o':
      text = fmt::format("{:o}", size);
      break;
    case 'b':
      text = fmt::format("{:b}", size);
      break;
    default:
      text = fmt::format("{}", size);
  }
  if (spec.alternate && spec.type != 'd' && spec.type != 0) {
    text.insert(0, std::string{'0', spec.type});
  }
  return spec.separator ? group_thousands(text, spec.separator) : text;
}

std::string float_digits(double value, const FormatSpec& spec) {
  const double size = std::fabs(value);
  const auto precision = static_cast<int>(spec.precision < 0 ? 6 : spec.precision);
  std::string text;
  switch (spec.type) {
    case 'e':
      text = fmt::format("{:.{}e}", size, precision);
      break;
    case 'E':
      text = fmt::format("{:.{}E}", size, precision);
      break;
    case 'g':
      text = fmt::format("{:.{}g}", size, precision);
      break;
    case 'G':
      text = fmt::format("{:.{}G}", size, precision);
      break;
    case '%':
      text = fmt::format("{:.{}f}%", size * 100, precision);
      break;
    case 0:
      text = spec.precision < 0 ? float_repr(size) : fmt::format("{:.{}g}", size, precision);
      break;
    default:
      text = fmt::format("{:.{}f}", size, precision);
  }
  return spec.separator ? group_thousands(text, spec.separator) : text;
}

/// Appends `body` padded to the width, with `sign` before it.
void append_padded(MarkedBuilder& out, const Str& body, std::string_view sign,
                   const FormatSpec& spec, char default_align, bool untrusted) {
  const int64_t size = out.heap().length(body) + static_cast<int64_t>(sign.size());
  const int64_t missing = std::max<int64_t>(spec.width - size, 0);
  const char align = spec.align ? spec.align : default_align;
  const int64_t before = align == '>' || align == '=' ? missing : align == '^' ? missing / 2 : 0;
  if (align == '=') out.append(sign, untrusted);
  for (int64_t i = 0; i < before; ++i) out.append(spec.fill, spec.untrusted_fill);
  if (align != '=') out.append(sign, untrusted);
  out.append(body);
  for (int64_t i = before; i < missing; ++i) out.append(spec.fill, spec.untrusted_fill);
}

void append_number(MarkedBuilder& out, const std::string& digits, bool negative,
                   const FormatSpec& spec, bool untrusted) {
  const std::string_view sign = negative           ? "-"
                                : spec.sign == '+' ? "+"
                                : spec.sign == ' ' ? " "
                                                   : "";
  Str body{.text = digits};
  if (untrusted && !digits.empty()) body.marks.push_back({0, digits.size()});
  append_padded(out, body, sign, spec, '>', untrusted);
}

}  // namespace

void append_text(Heap& heap, MarkedBuilder& out, const Value& text, const FormatSpec& spec,
                 char default_align) {
  const Str& s = *text.string;
  if (spec.precision < 0) {
    append_padded(out, s, "", spec, default_align, false);
  } else {
    const Value cut = heap.slice(s, 0, byte_offset(heap, s, spec.precision));
    append_padded(out, *cut.string, "", spec, default_align, false);
  }
}

Result<void> append_character(Heap& heap, MarkedBuilder& out, const Value& value,
                              const FormatSpec& spec, char default_align) {
  if (!value.is_integer() || value.as_int() < 0 || value.as_int() > 0x10FFFF) {
    return bad_format("%c needs a character");
  }
  std::string text;
  utf8_append(text, static_cast<uint32_t>(value.as_int()));
  append_text(heap, out, heap.copy(text, value.untrusted), spec, default_align);
  return {};
}

Value escape_non_ascii(Heap& heap, const Str& s) {
  std::string text;
  if (!heap.try_bytes(static_cast<int64_t>(s.text.size() * 5))) return heap.view({}, false);
  for (size_t at = 0; at < s.text.size();) {
    const Utf8Char c = utf8_next(s.text.substr(at));
    const uint32_t p = c.code_point;
    if (p < 0x80) text += static_cast<char>(p);
    if (p >= 0x80)
      text += p < 0x100     ? fmt::format("\\x{:02x}", p)
              : p < 0x10000 ? fmt::format("\\u{:04x}", p)
                            : fmt::format("\\U{:08x}", p);
    at += static_cast<size_t>(c.bytes);
  }
  return heap.copy(text, s.any_untrusted());
}

bool is_float_type(char type) {
  return std::string_view("eEfFgG%").find(type) != std::string_view::npos && type != 0;
}
bool is_int_type(char type) {
  return std::string_view("dxXob").find(type) != std::string_view::npos && type != 0;
}

void append_numeric(MarkedBuilder& out, const Value& value, const FormatSpec& spec) {
  if (is_float_type(spec.type) || value.is(Kind::kFloat)) {
    const double number = value.as_float();
    append_number(out, float_digits(number, spec), std::signbit(number), spec, value.untrusted);
  } else {
    const int64_t number = value.as_int();
    append_number(out, integer_digits(number, spec), number < 0, spec, value.untrusted);
  }
}

}  // namespace minke::jinja
