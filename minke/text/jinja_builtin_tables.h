#pragma once
#include <algorithm>
#include <span>
#include <string_view>

#include "minke/text/jinja_interpreter.h"
#include "minke/text/jinja_operators.h"

/// What the files with tables of built-ins share.
namespace minke::jinja {

/// The entry of that name in a table, or null. Tables are short and in alphabetical order.
inline const Builtin* find_in(std::span<const Builtin> table, std::string_view name) {
  const auto found = std::lower_bound(
      table.begin(), table.end(), name,
      [](const Builtin& entry, std::string_view wanted) { return entry.name < wanted; });
  return found != table.end() && found->name == name ? &*found : nullptr;
}

/// The filters of sequences (jinja_list_filters.cpp).
std::span<const Builtin> list_filters();

/// An integer argument, or `fallback` when it is missing or None.
inline Result<int64_t> integer_or(const Value& value, int64_t fallback) {
  if (!value.given() || value.is(Kind::kNone)) return fallback;
  if (value.is_integer()) return value.as_int();
  if (value.is(Kind::kUndefined)) return undefined_error(value);
  return fail(ErrorCode::kUsage, "an integer is needed, found '{}'", type_name(value));
}

}  // namespace minke::jinja
