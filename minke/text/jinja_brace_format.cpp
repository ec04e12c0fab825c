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
  if (take('0')) {
    // Zeros fill between sign and digits, or as the alignment before them says.
    if (!spec.align) spec.zero_fill = true;
    if (spec.fill == " ") spec.fill = "0";
  }
  if (!take_number(text, spec.width)) return bad_format("the width is too large");
  if (take(',')) spec.separator = ',';
  if (take('_')) spec.separator = '_';
  if (take('.') && !take_number(text, spec.precision)) {
    return bad_format("the precision is too large");
  }
  if (text.size() > 1) return bad_format("invalid format specifier");
  if (!text.empty()) spec.type = text[0];
  return spec;
}

Result<void> brace_value(Heap& heap, MarkedBuilder& out, const Value& value, const Str& spec_text) {
  if (spec_text.text.empty()) return print_str(out, value);
  MK_ASSIGN(FormatSpec spec, brace_spec(spec_text.text));
  spec.untrusted_fill = spec_text.any_untrusted();
  if (value.is(Kind::kString)) {
    if (spec.type && spec.type != 's') return bad_format("a string has no such format");
    if (spec.align == '=') return bad_format("'=' is for numbers only");
    append_text(heap, out, value, spec, '<');
    return {};
  }
  if (!value.is_number()) return bad_format("only strings and numbers have format specifiers");
  if (spec.type == 'n') spec.type = value.is_integer() ? 'd' : 'g';  // of the C locale
  if (spec.type == 'c') return append_character(heap, out, value, spec, '<');
  const bool integer = is_int_type(spec.type);
  const bool as_int = integer || (!spec.type && value.is_integer());
  if (as_int && spec.precision >= 0) return bad_format("an integer has no precision");
  if (spec.zero_fill) spec.align = '=';
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
    if (end == 0 && !field.empty()) return bad_format("a field without a name");
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
      const Numbering wanted = name.empty() ? Numbering::kAutomatic : Numbering::kManual;
      if (numbering_ != Numbering::kOpen && numbering_ != wanted) {
        return bad_format("fields with and without numbers");
      }
      numbering_ = wanted;
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

  enum class Numbering { kOpen, kAutomatic, kManual };

  Interpreter& run_;
  const Arguments& arguments_;
  Numbering numbering_ = Numbering::kOpen;
  size_t next_ = 0;
};

}  // namespace

namespace {

/// One replacement field: {name!conversion:spec}.
struct Field {
  std::string_view name;
  char conversion = 0;
  std::string_view spec;
};

/// The end of the field that starts at the brace text[begin]: its closing brace, npos if none.
size_t field_end(std::string_view text, size_t begin) {
  int depth = 0;
  for (size_t at = begin; at < text.size(); ++at) {
    if (text[at] == '{') ++depth;
    if (text[at] == '}' && --depth == 0) return at;
  }
  return std::string_view::npos;
}

Result<Field> split_field(std::string_view text) {
  Field field;
  const size_t end = std::min(text.find_first_of("!:"), text.size());
  field.name = text.substr(0, end);
  text.remove_prefix(end);
  if (text.starts_with('!')) {
    if (text.size() < 2 || (text.size() > 2 && text[2] != ':')) {
      return bad_format("one letter is needed after !");
    }
    field.conversion = text[1];
    text.remove_prefix(2);
  }
  if (text.starts_with(':')) field.spec = text.substr(1);
  if (field.name.find_first_of("{}") != std::string_view::npos) {
    return bad_format("a brace in the name of a field");
  }
  return field;
}

Result<Value> converted(Heap& heap, const Value& value, char conversion) {
  if (conversion == 0) return value;
  if (conversion == 's') return to_str(heap, value);
  if (conversion != 'r' && conversion != 'a') return bad_format("only !r, !s and !a are known");
  MarkedBuilder repr(heap);
  MK_TRY(print_repr(repr, value));
  const Value text = repr.finish();
  return conversion == 'a' ? escape_non_ascii(heap, *text.string) : text;
}

/// Formats `format` with the fields of `fields`; a specification may hold fields once more.
Result<Value> expand(Interpreter& run, FieldReader& fields, const Str& format, int depth) {
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
    const size_t close = text[brace] == '{' ? field_end(text, brace) : std::string_view::npos;
    if (close == std::string_view::npos) return bad_format("a single brace");
    MK_ASSIGN(const Field field, split_field(text.substr(brace + 1, close - brace - 1)));
    MK_ASSIGN(Value value, fields.read(field.name));
    MK_ASSIGN(value, converted(run.heap(), value, field.conversion));
    const auto spec_begin = static_cast<size_t>(field.spec.data() - text.data());
    Value spec = run.heap().view({}, false);
    if (!field.spec.empty()) {
      spec = run.heap().slice(format, spec_begin, spec_begin + field.spec.size());
    }
    if (field.spec.find_first_of("{}") != std::string_view::npos) {
      if (depth > 0) return bad_format("fields nested too deep");
      MK_ASSIGN(spec, expand(run, fields, *spec.string, depth + 1));
    }
    MK_TRY(brace_value(run.heap(), out, value, *spec.string));
    at = close + 1;
  }
  out.append(format, at, text.size());
  return out.finish();
}

}  // namespace

Result<Value> brace_format(Interpreter& run, const Str& format, const Arguments& arguments) {
  FieldReader fields(run, arguments);
  return expand(run, fields, format, 0);
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
