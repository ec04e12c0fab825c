#pragma once
#include <string>
#include <string_view>

#include "minke/base/json.h"
#include "minke/base/result.h"

namespace minke {

/// A member of an object in a tokenizer file. One that is missing or null gives the default, one of
/// another kind the error kCorrupt with its place, `where`.`key`.
Result<bool> bool_or(const Json& object, std::string_view where, std::string_view key,
                     bool otherwise);
/// The same for a text.
Result<std::string> string_or(const Json& object, std::string_view where, std::string_view key,
                              std::string_view otherwise);

/// Parses a file's text, which must be an object. kCorrupt, naming the file.
Result<Json> parse_file(std::string_view name, std::string_view text, const JsonLimits& limits);

}  // namespace minke
