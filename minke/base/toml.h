#pragma once
#include <functional>
#include <string_view>

#include "minke/base/json.h"
#include "minke/base/result.h"

namespace minke {

/// A TOML document (v1.0) as a JSON object: tables become objects, in the document's order; dates
/// and times become strings. Parsing is toml++'s, hidden in toml.cpp.
///
/// `on_key`, where given, is told the line of each key of the top level and of tables in it
/// ("model.hidden_size"), so that what reads the values can say where a wrong one stands.
///
/// The error is kUsage: "NAME:LINE: ..." with what was expected.
Result<Json> parse_toml(
    std::string_view text, std::string_view name,
    const std::function<void(std::string_view key, int line)>& on_key = nullptr);

}  // namespace minke
