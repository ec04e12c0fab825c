#pragma once
#include <string_view>

#include "minke/text/jinja_interpreter.h"

/// The built-in filters, tests, globals and methods: ordered tables, found by name.
namespace minke::jinja {

/// Each is null when there is none of that name.
const Builtin* find_filter(std::string_view name);
const Builtin* find_test(std::string_view name);
const Builtin* find_global(std::string_view name);
const Builtin* find_string_method(std::string_view name);
const Builtin* find_container_method(const Value& container, std::string_view name);

}  // namespace minke::jinja
