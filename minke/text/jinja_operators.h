#pragma once
#include <optional>

#include "minke/base/result.h"
#include "minke/text/jinja_ast.h"
#include "minke/text/jinja_value.h"

/// What Python's operators do to values. Errors are kUsage, without a line: the interpreter adds
/// it.
namespace minke::jinja {

/// The first offset >= from where `part` is in `text`, or npos; linear time.
size_t find_text(std::string_view text, std::string_view part, size_t from = 0);

/// "str", "int", "dict", ... as Python names the type.
const char* type_name(const Value& value);

/// The error that any use of an undefined value gives, saying what was undefined.
tl::unexpected<Error> undefined_error(const Value& value);

/// Python's bool(value).
bool truth(const Value& value);

/// a == b. Error: values nested too deeply to compare.
Result<bool> equals(Heap& heap, const Value& a, const Value& b, int depth = 0);

/// -1, 0 or 1 for two numbers, two strings or two sequences; an Error for others. NaN is unordered:
/// the result is then empty.
Result<std::optional<int>> order(Heap& heap, const Value& a, const Value& b, int depth = 0);

/// One of == != < <= > >= in, not in.
Result<bool> compare(Heap& heap, Op op, const Value& a, const Value& b);

/// One of + - * / // % **. Integers are 64-bit: a result outside of it is an Error.
Result<Value> arithmetic(Heap& heap, Op op, const Value& a, const Value& b);
Result<Value> negate(const Value& value);

/// The items of what can be iterated: sequences, the keys of a dict, the characters of a string.
Result<std::vector<Value>> iterate(Heap& heap, const Value& value);

/// len(value); an Error where Python has none.
Result<int64_t> length(Heap& heap, const Value& value);

/// The value of `key`, or null.
const Value* find_key(Heap& heap, const Dict& dict, const Value& key);
const Value* find_key(Heap& heap, const Dict& dict, std::string_view key);

/// Sets a key while a dict is being made; a later value replaces an earlier one in its place.
void set_key(Heap& heap, Dict& dict, const Value& key, const Value& value);

/// Checks that `key` may be a dict's key: an Error for lists, dicts and what holds them.
Result<void> check_hashable(const Value& key);

/// container[key] for indices and keys; kMissing where it has none.
Result<Value> get_item(Heap& heap, const Value& container, const Value& key);

/// container[start:stop:step]; None or missing stands for the default.
Result<Value> get_slice(Heap& heap, const Value& container, const Value& start, const Value& stop,
                        const Value& step);

/// The byte offset of character `index` of `s`, which may be one past its end.
size_t byte_offset(Heap& heap, const Str& s, int64_t index);

}  // namespace minke::jinja
