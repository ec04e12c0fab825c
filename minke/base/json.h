#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "minke/base/result.h"

namespace minke {

/// A JSON value: null, bool, integer, float, string, array or object. Objects keep the order in
/// which their keys came, because chat templates print them in that order. Parsing is nlohmann's
/// (hidden in json.cpp: its header costs 9 s a file); the value type is ours.
class Json {
 public:
  using Array = std::vector<Json>;
  using Member = std::pair<std::string, Json>;
  using Object = std::vector<Member>;

  Json() = default;
  Json(std::nullptr_t) {}
  Json(bool value) : value_(value) {}
  Json(int value) : value_(static_cast<int64_t>(value)) {}
  Json(int64_t value) : value_(value) {}
  Json(uint64_t value) : value_(static_cast<int64_t>(value)) {}
  Json(double value) : value_(value) {}
  Json(const char* value) : value_(std::string(value)) {}
  Json(std::string_view value) : value_(std::string(value)) {}
  Json(std::string value) : value_(std::move(value)) {}
  Json(Array value) : value_(std::move(value)) {}
  Json(Object value) : value_(std::move(value)) {}

  /// `Json::object({{"a", 1}, {"b", "text"}})`; keys are expected to differ.
  static Json object(Object members = {}) { return Json(std::move(members)); }
  static Json array(Array items = {}) { return Json(std::move(items)); }

  bool is_null() const { return std::holds_alternative<std::nullptr_t>(value_); }
  bool is_bool() const { return std::holds_alternative<bool>(value_); }
  bool is_int() const { return std::holds_alternative<int64_t>(value_); }
  bool is_double() const { return std::holds_alternative<double>(value_); }
  bool is_number() const { return is_int() || is_double(); }
  bool is_string() const { return std::holds_alternative<std::string>(value_); }
  bool is_array() const { return std::holds_alternative<Array>(value_); }
  bool is_object() const { return std::holds_alternative<Object>(value_); }
  /// The kind in words, for error messages: "null", "boolean", "integer", "number", "string", ...
  const char* kind() const;

  /// Access to the value of a known kind; another kind aborts, so ask is_*() first.
  bool as_bool() const;
  int64_t as_int() const;
  double as_double() const;  ///< also takes an integer
  const std::string& as_string() const;
  const Array& as_array() const;
  Array& as_array();
  const Object& as_object() const;
  Object& as_object();

  /// The member `key`, or nullptr when this is no object or has no such key.
  const Json* find(std::string_view key) const;
  /// Appends the member, or replaces the one of that name. This must be an object or null.
  void set(std::string_view key, Json value);
  /// Appends to an array (null becomes an empty array first).
  void push(Json value);

  /// One line of JSON without spaces; `indent` > 0 breaks lines. Bytes of strings that are not
  /// UTF-8 become U+FFFD, so the output is always valid JSON. Infinite and NaN numbers print null.
  std::string dump(int indent = 0) const;

  friend bool operator==(const Json& a, const Json& b) { return a.value_ == b.value_; }

 private:
  std::variant<std::nullptr_t, bool, int64_t, double, std::string, Array, Object> value_ = nullptr;
};

/// Limits that hold while parsing foreign JSON.
struct JsonLimits {
  size_t bytes_max = size_t{64} << 20;
  int depth_max = 64;
  size_t values_max = SIZE_MAX;  ///< of all kinds, at all depths; one takes 40 bytes at least
};

/// Parses one JSON document (RFC 8259; duplicate keys: the last one counts). The error is kUsage
/// and says what was expected at which byte.
Result<Json> parse_json(std::string_view text, const JsonLimits& limits = {});

/// Appends `text` as a quoted JSON string (with the same repair of invalid UTF-8 as Json::dump).
void append_json_string(std::string& out, std::string_view text);

}  // namespace minke
