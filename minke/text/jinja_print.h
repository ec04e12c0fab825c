#pragma once
#include "minke/base/result.h"
#include "minke/text/jinja_value.h"

namespace minke::jinja {

/// Python's repr of a float: shortest digits that read back the same, "1.0", "1e+16", "inf".
std::string float_repr(double value);

/// Python's str.isprintable for one character.
bool is_python_printable(uint32_t code_point);

/// Appends Python's str(value): what {{ value }} prints. Undefined prints nothing.
Result<void> print_str(MarkedBuilder& out, const Value& value);

/// Appends Python's repr(value): strings quoted, lists and dicts with their reprs inside.
Result<void> print_repr(MarkedBuilder& out, const Value& value, int depth = 0);

/// str(value) as a string value; strings come back as they are.
Result<Value> to_str(Heap& heap, const Value& value);

/// How json.dumps lays out a value.
struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  bool has_indent = false;
  Value indent;  ///< the string for one level, when has_indent
  std::string_view item_separator = ", ";
  std::string_view key_separator = ": ";
};

/// Appends json.dumps(value). Error: a value that is no JSON, or nesting over 100 levels.
Result<void> print_json(MarkedBuilder& out, const Value& value, const JsonStyle& style,
                        int depth = 0);

}  // namespace minke::jinja
