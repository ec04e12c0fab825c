// str.format, and strftime.
#include <algorithm>
#include <ctime>

#include "minke/base/utf8.h"
#include "minke/text/jinja_format.h"
#include "minke/text/jinja_format_spec.h"
#include "minke/text/jinja_operators.h"
#include "minke/text/jinja_print.h"

namespace minke::jinja {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// Python's format specification: [[fill]align][sign][#][0][width][,][.precision][type].
Result<FormatSpec> brace_spec(std::string_view text) {
  FormatSpec spec;
  static constexpr std::string_view kAligns = "<>=^";
  if (!text.empty()) {
    const auto bytes = static_cast<size_t>(utf8_next(text).bytes);
    if (text.size() > bytes && kAligns.find(text[bytes]) != std::string_view::npos) {
      spec.fill = std::string(text.substr(0, bytes));
      spec.align = text[bytes];
      text.remove_prefix(bytes + 1);
    } else if (kAligns.find(text[0]) != std::string_view::npos) {
      spec.align = text[0];
      text.remove_prefix(1);
    }
  }
  const auto take = [&text](char c) {
    if (!text.starts_with(c)) return false;
    text.remove_prefix(1);
    return true;
  };
  if (text.starts_with('+') || text.starts_with('-') || text.starts_with(' ')) {
    spec.sign = text[0];
    text.remove_prefix(1);
  }
  spec.alternate = take('#');
  if (take('0') && !spec.align) {
    spec.fill = "0";
    spec.align = '=';
  }
  if (!take_number(text, spec.width)) return bad_format("the width is too large");
  spec.comma = take(',');
  if (take('.') && !take_number(text, spec.precision)) {
    return bad_format("the precision is too large");
  }
  if (text.size() > 1) return bad_format("invalid format specifier");
  if (!text.empty()) spec.type = text[0];
  return spec;
}

Result<void> brace_value(Heap& heap, MarkedBuilder& out, const Value& value,
                         std::string_view spec_text) {
  if (spec_text.empty()) return print_str(out, value);
  MK_ASSIGN(const FormatSpec spec, brace_spec(spec_text));
  if (value.is(Kind::kString)) {
    if (spec.type && spec.type != 's') return bad_format("a string has no such format");
    append_text(heap, out, value, spec, '<');
    return {};
  }
  if (!value.is_number()) return bad_format("only strings and numbers have format specifiers");
  const bool integer = is_int_type(spec.type);
  if ((spec.type && !integer && !is_float_type(spec.type)) || (integer && value.is(Kind::kFloat))) {
    return bad_format(fmt::format("unknown format for a {}", type_name(value)));
  }
  append_numeric(out, value, spec);
  return {};
}

/// Finds what `{field}` means: a position or name, then .attributes and [keys].
class FieldReader {
 public:
  FieldReader(Interpreter& run, const Arguments& arguments) : run_(run), arguments_(arguments) {}

  Result<Value> read(std::string_view field) {
    const size_t end = std::min(field.find_first_of(".["), field.size());
    MK_ASSIGN(Value value, first(field.substr(0, end)));
    field.remove_prefix(end);
    while (!field.empty()) {
      const bool attribute = field[0] == '.';
      const size_t stop = attribute ? field.find_first_of(".[", 1) : field.find(']');
      if (!attribute && (field[0] != '[' || stop == std::string_view::npos)) {
        return bad_format("a bracket is missing in a field");
      }
      const std::string_view name = field.substr(1, std::min(stop, field.size()) - 1);
      field.remove_prefix(attribute ? std::min(stop, field.size()) : stop + 1);
      if (attribute) {
        MK_ASSIGN(value, run_.attribute(value, name));
        continue;
      }
      Value key = run_.heap().copy(name, false);
      if (!name.empty() && std::all_of(name.begin(), name.end(), is_digit)) {
        std::string_view digits = name;
        int64_t index = 0;
        if (!take_number(digits, index)) return bad_format("an index is too large");
        key = Value::of_int(index);
      }
      MK_ASSIGN(value, run_.item(value, key));
    }
    return value;
  }

 private:
  Result<Value> first(std::string_view name) {
    if (name.empty() || is_digit(name[0])) {
      auto index = static_cast<int64_t>(next_);
      if (name.empty()) {
        ++next_;
      } else if (!take_number(name, index) || !name.empty()) {
        return bad_format("a field's number is no number or too large");
      }
      const auto at = static_cast<size_t>(index);
      if (at < arguments_.positional.size()) return arguments_.positional[at];
      return bad_format("not enough arguments for the format string");
    }
    for (const auto& [known, value] : arguments_.keyword) {
      if (known == name) return value;
    }
    return bad_format(fmt::format("no argument '{}'", name.substr(0, 100)));
  }

  Interpreter& run_;
  const Arguments& arguments_;
  size_t next_ = 0;
};

}  // namespace

Result<Value> brace_format(Interpreter& run, const Str& format, const Arguments& arguments) {
  FieldReader fields(run, arguments);
  MarkedBuilder out(run.heap());
  const std::string_view text = format.text;
  size_t at = 0;
  for (size_t brace; (brace = text.find_first_of("{}", at)) != std::string_view::npos;) {
    if (!run.heap().try_steps(1)) break;
    out.append(format, at, brace);
    if (brace + 1 < text.size() && text[brace + 1] == text[brace]) {
      out.append(format, brace, brace + 1);
      at = brace + 2;
      continue;
    }
    const size_t close = text.find_first_of("{}", brace + 1);
    const bool plain = text[brace] == '{' && close != std::string_view::npos && text[close] == '}';
    if (!plain) return bad_format("a single brace, or one field inside of another");
    std::string_view field = text.substr(brace + 1, close - brace - 1);
    std::string_view spec;
    if (const size_t colon = field.find(':'); colon != std::string_view::npos) {
      spec = field.substr(colon + 1);
      field = field.substr(0, colon);
    }
    char conversion = 0;
    if (const size_t mark = field.find('!'); mark != std::string_view::npos) {
      if (mark + 2 != field.size()) return bad_format("one letter is needed after !");
      conversion = field[mark + 1];
      field = field.substr(0, mark);
    }
    MK_ASSIGN(Value value, fields.read(field));
    if (conversion == 'r') {
      MarkedBuilder repr(run.heap());
      MK_TRY(print_repr(repr, value));
      value = repr.finish();
    } else if (conversion == 's') {
      MK_ASSIGN(value, to_str(run.heap(), value));
    } else if (conversion) {
      return bad_format("only !r and !s are known");
    }
    MK_TRY(brace_value(run.heap(), out, value, spec));
    at = close + 1;
  }
  out.append(format, at, text.size());
  return out.finish();
}

Result<Value> format_time(Heap& heap, const Str& format, int64_t unix_seconds) {
  constexpr size_t kFormatBytesMax = 1000;
  if (format.text.size() > kFormatBytesMax) return bad_format("a time format over 1000 bytes");
  const auto seconds = static_cast<std::time_t>(unix_seconds);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  // strftime returns 0 for an empty result, too, so that one byte is always there.
  const std::string pattern = std::string(format.text) + "|";
  std::string text(64 * kFormatBytesMax, 0);
  text.resize(std::strftime(text.data(), text.size(), pattern.c_str(), &parts));
  if (text.empty()) return bad_format("the time does not fit");
  text.pop_back();
  return heap.copy(text, format.any_untrusted());
}

}  // namespace minke::jinja
