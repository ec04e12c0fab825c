#include "minke/hub/http_headers.h"

#include <time.h>

#include <algorithm>
#include <charconv>

namespace minke {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool same_name(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

// One parameter of a link, such as `rel="next"`; several words may stand between the quotes.
bool is_rel_next(std::string_view parameter) {
  const size_t equals = parameter.find('=');
  if (equals == std::string_view::npos) return false;
  if (!same_name(trimmed(parameter.substr(0, equals)), "rel")) return false;
  std::string_view value = trimmed(parameter.substr(equals + 1));
  if (value.size() >= 2 && value.front() == '"' && value.back() == '"') {
    value = value.substr(1, value.size() - 2);
  }
  while (!value.empty()) {
    const size_t space = std::min(value.find(' '), value.size());
    if (same_name(value.substr(0, space), "next")) return true;
    value.remove_prefix(std::min(space + 1, value.size()));
  }
  return false;
}

}  // namespace

const std::string* HttpHead::find(std::string_view name) const {
  for (auto field = fields.rbegin(); field != fields.rend(); ++field) {
    if (same_name(field->name, name)) return &field->value;
  }
  return nullptr;
}

std::string_view HttpHead::get(std::string_view name) const {
  const std::string* value = find(name);
  return value == nullptr ? std::string_view() : std::string_view(*value);
}

void read_header_line(std::string_view line, HttpHead& head) {
  if (line.starts_with("HTTP/")) {
    const size_t space = line.find(' ');
    const std::string_view rest = space == std::string_view::npos ? "" : line.substr(space + 1);
    head.fields.clear();
    head.status = static_cast<int>(parse_decimal(rest.substr(0, 3)).value_or(0));
    return;
  }
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos || colon == 0) return;
  head.fields.push_back(
      {std::string(trimmed(line.substr(0, colon))), std::string(trimmed(line.substr(colon + 1)))});
}

std::optional<uint64_t> parse_decimal(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

std::optional<ContentRange> parse_content_range(std::string_view value) {
  value = trimmed(value);
  constexpr std::string_view kUnit = "bytes ";
  if (value.size() < kUnit.size() || !same_name(value.substr(0, kUnit.size()), kUnit)) {
    return std::nullopt;
  }
  value.remove_prefix(kUnit.size());
  const size_t dash = value.find('-');
  const size_t slash = value.find('/');
  if (dash == std::string_view::npos || slash == std::string_view::npos || dash > slash) {
    return std::nullopt;
  }
  const auto begin = parse_decimal(value.substr(0, dash));
  const auto last = parse_decimal(value.substr(dash + 1, slash - dash - 1));
  if (!begin || !last || *last < *begin || *last == UINT64_MAX) return std::nullopt;
  ContentRange range{*begin, *last + 1, std::nullopt};
  if (value.substr(slash + 1) == "*") return range;
  range.total = parse_decimal(value.substr(slash + 1));
  if (!range.total || range.end > *range.total) return std::nullopt;
  return range;
}

std::string next_link(std::string_view value) {
  while (true) {
    const size_t open = value.find('<');
    if (open == std::string_view::npos) return {};
    const size_t close = value.find('>', open);
    if (close == std::string_view::npos) return {};
    const std::string_view url = value.substr(open + 1, close - open - 1);
    value.remove_prefix(close + 1);
    // The parameters reach to the comma before the next link.
    std::string_view parameters = value.substr(0, std::min(value.find('<'), value.size()));
    while (!parameters.empty()) {
      const size_t end = std::min(parameters.find_first_of(";,"), parameters.size());
      if (is_rel_next(parameters.substr(0, end))) return std::string(url);
      parameters.remove_prefix(std::min(end + 1, parameters.size()));
    }
  }
}

std::optional<double> parse_retry_after(std::string_view value, int64_t now) {
  value = trimmed(value);
  if (const auto seconds = parse_decimal(value)) return static_cast<double>(*seconds);
  struct tm date {};
  const std::string text(value);
  const char* end = ::strptime(text.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &date);
  if (end == nullptr || *end != '\0') return std::nullopt;
  return std::max(0.0, static_cast<double>(::timegm(&date) - now));
}

std::string bare_etag(std::string_view value) {
  value = trimmed(value);
  if (value.starts_with("W/")) value.remove_prefix(2);
  if (value.size() >= 2 && value.front() == '"' && value.back() == '"') {
    value = value.substr(1, value.size() - 2);
  }
  return std::string(value);
}

bool is_hex(std::string_view text, size_t digits) {
  return text.size() == digits &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace minke
