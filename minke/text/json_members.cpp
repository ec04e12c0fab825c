#include "minke/text/json_members.h"

namespace minke {
namespace {

/// The member, or nullptr when it is missing or null.
const Json* member(const Json& object, std::string_view key) {
  const Json* found = object.find(key);
  return found == nullptr || found->is_null() ? nullptr : found;
}

}  // namespace

Result<bool> bool_or(const Json& object, std::string_view where, std::string_view key,
                     bool otherwise) {
  const Json* found = member(object, key);
  if (found == nullptr) return otherwise;
  if (found->is_bool()) return found->as_bool();
  return fail(ErrorCode::kCorrupt, "tokenizer: {}.{} is {}, expected true or false", where, key,
              found->kind());
}

Result<std::string> string_or(const Json& object, std::string_view where, std::string_view key,
                              std::string_view otherwise) {
  const Json* found = member(object, key);
  if (found == nullptr) return std::string(otherwise);
  if (found->is_string()) return found->as_string();
  return fail(ErrorCode::kCorrupt, "tokenizer: {}.{} is {}, expected a string", where, key,
              found->kind());
}

Result<Json> parse_file(std::string_view name, std::string_view text, const JsonLimits& limits) {
  auto json = parse_json(text, limits);
  if (!json) return fail(ErrorCode::kCorrupt, "{}: {}", name, json.error().message);
  if (json->is_object()) return json;
  return fail(ErrorCode::kCorrupt, "{}: found {}, expected an object", name, json->kind());
}

}  // namespace minke
