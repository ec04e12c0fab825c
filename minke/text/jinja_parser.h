#pragma once
#include <memory>
#include <string_view>

#include "minke/base/result.h"
#include "minke/text/jinja_ast.h"

namespace minke::jinja {

/// Limits that hold while parsing: a template is a hostile file's string.
inline constexpr size_t kTemplateBytesMax = size_t{1} << 19;
inline constexpr int kNestingMax = 100;    ///< statements and brackets within each other
inline constexpr int kExprDepthMax = 150;  ///< also counts chains such as a + b + c or a.b.c

/// Parses a template: expressions, set, if, for, macro, call, filter, with, raw, generation,
/// autoescape, break, continue. Errors are kCorrupt and name the line.
Result<std::unique_ptr<Template>> parse_template(std::string_view source);

}  // namespace minke::jinja
