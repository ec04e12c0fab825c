#include "minke/server/fields.h"

#include <array>
#include <cmath>

namespace minke {
namespace {

constexpr int kDepthMax = 64;
constexpr int kMembersMax = 1024;        // of one object: finding a duplicate key is linear
constexpr int64_t kValuesMax = 1 << 20;  // of the body; a token array takes one each

const char* article(std::string_view kind) {
  if (kind == "null") return "";
  return kind.starts_with('a') || kind.starts_with('i') || kind.starts_with('o') ? "an " : "a ";
}

// Whether the text, read as JSON, would exceed a limit. Says nothing about its correctness.
const char* shape_defect(std::string_view text) {
  std::array<int, kDepthMax + 1> commas{};
  int depth = 0;
  int64_t values = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
      continue;
    }
    if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kDepthMax) return "is nested deeper than 64 levels";
      commas[depth] = c == '{' ? 0 : INT32_MIN;
      if (++values > kValuesMax) return "holds more than 1048576 values";
    } else if ((c == ']' || c == '}') && depth > 0) {
      --depth;
    } else if (c == ',') {
      if (++commas[depth] >= kMembersMax) return "has an object of more than 1024 members";
      if (++values > kValuesMax) return "holds more than 1048576 values";
    }
  }
  return nullptr;
}

}  // namespace

const Json* Fields::find(std::string_view name) const {
  const Json* value = object_->find(name);
  return value == nullptr || value->is_null() ? nullptr : value;
}

std::string Fields::path_of(std::string_view name) const {
  return path_.empty() ? std::string(name) : fmt::format("{}.{}", path_, name);
}

void Fields::fail(std::string_view name, std::string message) {
  if (!error_) error_ = field_error(path_of(name), std::move(message));
}

void Fields::fail_kind(std::string_view name, const Json& found, std::string_view expected) {
  fail(name, fmt::format("{} is {}{}, expected {}", path_of(name), article(found.kind()),
                         found.kind(), expected));
}

void Fields::number(std::string_view name, double& value, double low, double high) {
  const Json* found = find(name);
  if (found == nullptr) return;
  if (!found->is_number()) {
    fail_kind(name, *found, fmt::format("a number from {} to {}", low, high));
    return;
  }
  const double number = found->as_double();
  if (!(number >= low && number <= high)) {
    fail(name, fmt::format("{} is {}, expected a number from {} to {}", path_of(name), number, low,
                           high));
    return;
  }
  value = number;
}

void Fields::integer(std::string_view name, int64_t& value, int64_t low, int64_t high) {
  const Json* found = find(name);
  if (found == nullptr) return;
  const std::string expected = fmt::format("an integer from {} to {}", low, high);
  if (!found->is_number()) return fail_kind(name, *found, expected);
  // 40.0 is what clients of untyped languages send for 40.
  const double as_double = found->as_double();
  const bool whole = found->is_int() || (std::floor(as_double) == as_double &&
                                         std::abs(as_double) < 9007199254740992.0);
  const int64_t integer =
      found->is_int() ? found->as_int() : (whole ? static_cast<int64_t>(as_double) : 0);
  if (!whole || integer < low || integer > high) {
    return fail(name, fmt::format("{} is {}, expected {}", path_of(name), found->dump(), expected));
  }
  value = integer;
}

void Fields::operator()(const char* name, int& value, int low, int high, const char*) {
  int64_t wide = value;
  integer(name, wide, low, high);
  value = static_cast<int>(wide);
}

void Fields::boolean(std::string_view name, bool& value) {
  const Json* found = find(name);
  if (found == nullptr) return;
  if (!found->is_bool()) return fail_kind(name, *found, "a boolean");
  value = found->as_bool();
}

void Fields::text(std::string_view name, std::string& value) {
  const Json* found = find(name);
  if (found == nullptr) return;
  if (!found->is_string()) return fail_kind(name, *found, "a string");
  value = found->as_string();
}

ApiError field_error(std::string path, std::string message) {
  ApiError error = status_error(400, message);
  error.param = std::move(path);
  return error;
}

ApiResult<Json> parse_body(std::string_view body) {
  if (const char* defect = shape_defect(body); defect != nullptr) {
    return tl::unexpected(status_error(400, fmt::format("the request's body {}", defect)));
  }
  Result<Json> parsed =
      parse_json(body, JsonLimits{.bytes_max = body.size(), .depth_max = kDepthMax});
  if (!parsed) {
    return tl::unexpected(status_error(
        400, fmt::format("the request's body cannot be read: {}", parsed.error().message)));
  }
  if (!parsed->is_object()) {
    return tl::unexpected(
        status_error(400, fmt::format("the request's body is {}{}, expected an object",
                                      article(parsed->kind()), parsed->kind())));
  }
  return std::move(*parsed);
}

}  // namespace minke
