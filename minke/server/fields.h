#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "minke/server/api_error.h"

namespace minke {

/// Reads the known fields of a JSON object. An absent or null field leaves the value as it is; a
/// wrong type or range is an error that names the field, what was found and what was expected. The
/// first error stays; unknown fields are never looked at.
class Fields {
 public:
  /// `object` must be an object and outlive this. `path` stands before names in errors.
  explicit Fields(const Json& object, std::string path = "")
      : object_(&object), path_(std::move(path)) {}

  void number(std::string_view name, double& value, double low, double high);
  void integer(std::string_view name, int64_t& value, int64_t low, int64_t high);
  void boolean(std::string_view name, bool& value);
  void text(std::string_view name, std::string& value);

  /// For SamplingParams::visit: the field's name is the setting's.
  void operator()(const char* name, double& value, double low, double high, const char*) {
    number(name, value, low, high);
  }
  void operator()(const char* name, int& value, int low, int high, const char*);

  /// The field unless absent or null.
  const Json* find(std::string_view name) const;
  std::string path_of(std::string_view name) const;
  void fail(std::string_view name, std::string message);
  /// "temperature is a string, expected a number from 0 to 2"
  void fail_kind(std::string_view name, const Json& found, std::string_view expected);

  const std::optional<ApiError>& error() const { return error_; }

 private:
  const Json* object_;
  std::string path_;
  std::optional<ApiError> error_;
};

/// An error about one field.
ApiError field_error(std::string path, std::string message);

/// Parses a request's body: one JSON object. Bounds depth, the members of an object and the number
/// of values before anything is allocated: 8 MiB of "[],[]," would otherwise become 200 MB.
ApiResult<Json> parse_body(std::string_view body);

}  // namespace minke
