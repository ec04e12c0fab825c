#include "minke/base/json.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "minke/base/check.h"
#include "minke/base/utf8.h"

namespace minke {
namespace {

// Of members with the same key the last value counts, in the place of the first. Sorting keeps this
// from being quadratic in an object with many keys.
void drop_duplicates(Json::Object& members) {
  std::vector<size_t> order(members.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return members[a].first < members[b].first; });
  std::vector<bool> dropped(members.size(), false);
  bool any = false;
  for (size_t i = 0; i < order.size();) {
    size_t last = i;
    while (last + 1 < order.size() && members[order[last + 1]].first == members[order[i]].first) {
      dropped[order[++last]] = any = true;
    }
    if (last > i) members[order[i]].second = std::move(members[order[last]].second);
    i = last + 1;
  }
  if (!any) return;
  size_t kept = 0;
  for (size_t i = 0; i < members.size(); ++i) {
    if (dropped[i]) continue;
    if (kept != i) members[kept] = std::move(members[i]);
    ++kept;
  }
  members.erase(members.begin() + static_cast<int64_t>(kept), members.end());
}

// Builds Json values from nlohmann's SAX events, with a bound on the depth.
class Builder : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit Builder(const JsonLimits& limits) : limits_(limits) {}

  bool null() override { return add(Json()); }
  bool boolean(bool value) override { return add(Json(value)); }
  bool number_integer(number_integer_t value) override { return add(Json(int64_t{value})); }
  bool number_unsigned(number_unsigned_t value) override {
    if (value > static_cast<uint64_t>(INT64_MAX)) return add(Json(static_cast<double>(value)));
    return add(Json(static_cast<int64_t>(value)));
  }
  bool number_float(number_float_t value, const string_t&) override { return add(Json(value)); }
  bool string(string_t& value) override { return add(Json(std::move(value))); }
  bool binary(binary_t&) override { return false; }
  bool start_object(size_t) override { return open(Json(Json::Object{})); }
  bool start_array(size_t) override { return open(Json(Json::Array{})); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& value) override {
    keys_.push_back(std::move(value));
    return true;
  }
  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception& e) override {
    // It ends with all that was read of a string, which may be the whole text.
    constexpr size_t kReasonMax = 256;
    std::string reason = e.what();
    if (reason.size() > kReasonMax) reason = reason.substr(0, kReasonMax) + "...";
    error = Error{ErrorCode::kUsage, fmt::format("invalid JSON at byte {}: {}", position, reason)};
    return false;
  }

  Json root;
  Error error;

 private:
  bool add(Json value) {
    if (++num_values_ > limits_.values_max) {
      error = Error{ErrorCode::kUsage,
                    fmt::format("JSON has more than the limit of {} values", limits_.values_max)};
      return false;
    }
    if (open_.empty()) {
      root = std::move(value);
    } else if (open_.back().is_array()) {
      open_.back().as_array().push_back(std::move(value));
    } else {
      open_.back().as_object().emplace_back(std::move(keys_.back()), std::move(value));
      keys_.pop_back();
    }
    return true;
  }
  bool open(Json container) {
    if (static_cast<int>(open_.size()) >= limits_.depth_max) {
      error = Error{
          ErrorCode::kUsage,
          fmt::format("JSON is nested deeper than the limit of {} levels", limits_.depth_max)};
      return false;
    }
    open_.push_back(std::move(container));
    return true;
  }
  bool close() {
    Json done = std::move(open_.back());
    open_.pop_back();
    if (done.is_object()) drop_duplicates(done.as_object());
    return add(std::move(done));
  }

  const JsonLimits& limits_;
  size_t num_values_ = 0;
  std::vector<Json> open_;
  std::vector<std::string> keys_;
};

void append_double(std::string& out, double value) {
  if (!std::isfinite(value)) {
    out += "null";
    return;
  }
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  out += text;
}

void append_line_break(std::string& out, int indent, int depth) {
  if (indent <= 0) return;
  out += '\n';
  out.append(static_cast<size_t>(indent) * depth, ' ');
}

void append_value(std::string& out, const Json& value, int indent, int depth) {
  if (value.is_null()) {
    out += "null";
  } else if (value.is_bool()) {
    out += value.as_bool() ? "true" : "false";
  } else if (value.is_int()) {
    out += fmt::format("{}", value.as_int());
  } else if (value.is_double()) {
    append_double(out, value.as_double());
  } else if (value.is_string()) {
    append_json_string(out, value.as_string());
  } else if (value.is_array()) {
    const Json::Array& items = value.as_array();
    out += '[';
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out += ',';
      append_line_break(out, indent, depth + 1);
      append_value(out, items[i], indent, depth + 1);
    }
    if (!items.empty()) append_line_break(out, indent, depth);
    out += ']';
  } else {
    const Json::Object& members = value.as_object();
    out += '{';
    for (size_t i = 0; i < members.size(); ++i) {
      if (i > 0) out += ',';
      append_line_break(out, indent, depth + 1);
      append_json_string(out, members[i].first);
      out += indent > 0 ? ": " : ":";
      append_value(out, members[i].second, indent, depth + 1);
    }
    if (!members.empty()) append_line_break(out, indent, depth);
    out += '}';
  }
}

}  // namespace

const char* Json::kind() const {
  static constexpr const char* kNames[] = {"null",   "boolean", "integer", "number",
                                           "string", "array",   "object"};
  return kNames[value_.index()];
}

bool Json::as_bool() const {
  MK_CHECK(is_bool(), "json: {} is not a boolean", kind());
  return std::get<bool>(value_);
}
int64_t Json::as_int() const {
  MK_CHECK(is_int(), "json: {} is not an integer", kind());
  return std::get<int64_t>(value_);
}
double Json::as_double() const {
  if (is_int()) return static_cast<double>(std::get<int64_t>(value_));
  MK_CHECK(is_double(), "json: {} is not a number", kind());
  return std::get<double>(value_);
}
const std::string& Json::as_string() const {
  MK_CHECK(is_string(), "json: {} is not a string", kind());
  return std::get<std::string>(value_);
}
const Json::Array& Json::as_array() const {
  MK_CHECK(is_array(), "json: {} is not an array", kind());
  return std::get<Array>(value_);
}
Json::Array& Json::as_array() {
  MK_CHECK(is_array(), "json: {} is not an array", kind());
  return std::get<Array>(value_);
}
const Json::Object& Json::as_object() const {
  MK_CHECK(is_object(), "json: {} is not an object", kind());
  return std::get<Object>(value_);
}
Json::Object& Json::as_object() {
  MK_CHECK(is_object(), "json: {} is not an object", kind());
  return std::get<Object>(value_);
}

const Json* Json::find(std::string_view key) const {
  if (!is_object()) return nullptr;
  for (const Member& member : as_object()) {
    if (member.first == key) return &member.second;
  }
  return nullptr;
}

void Json::set(std::string_view key, Json value) {
  if (is_null()) value_ = Object{};
  for (Member& member : as_object()) {
    if (member.first == key) {
      member.second = std::move(value);
      return;
    }
  }
  as_object().emplace_back(std::string(key), std::move(value));
}

void Json::push(Json value) {
  if (is_null()) value_ = Array{};
  as_array().push_back(std::move(value));
}

std::string Json::dump(int indent) const {
  std::string out;
  append_value(out, *this, indent, 0);
  return out;
}

Result<Json> parse_json(std::string_view text, const JsonLimits& limits) {
  if (text.size() > limits.bytes_max) {
    return fail(ErrorCode::kUsage, "JSON of {} bytes is over the limit of {} bytes", text.size(),
                limits.bytes_max);
  }
  Builder builder(limits);
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &builder)) {
    if (builder.error.message.empty()) builder.error.message = "invalid JSON";
    builder.error.code = ErrorCode::kUsage;
    return tl::unexpected<Error>(builder.error);
  }
  return std::move(builder.root);
}

void append_json_string(std::string& out, std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  out += '"';
  for (size_t i = 0; i < text.size();) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte >= 0x80) {
      const Utf8Char c = utf8_next(text.substr(i));
      out += c.valid ? std::string(text.substr(i, c.bytes)) : std::string("\xEF\xBF\xBD");
      i += c.bytes;
      continue;
    }
    ++i;
    switch (byte) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (byte < 0x20 || byte == 0x7F) {
          out += "\\u00";
          out += kHex[byte >> 4];
          out += kHex[byte & 15];
        } else {
          out += static_cast<char>(byte);
        }
    }
  }
  out += '"';
}

}  // namespace minke
