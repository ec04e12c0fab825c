#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace minke {

/// A header field of a request or an answer.
struct HeaderField {
  std::string name;
  std::string value;
};

/// Status and header fields of one answer. They come from outside: any bytes, any number of fields
/// up to the client's limit.
struct HttpHead {
  int status = 0;
  std::vector<HeaderField> fields;

  /// The value of the last field of that name in any case, or nullptr.
  const std::string* find(std::string_view name) const;
  /// The value, or an empty text where there is no such field.
  std::string_view get(std::string_view name) const;
};

/// Takes one line as it came ("Name: value\r\n") into `head`. A status line ("HTTP/1.1 206 ...")
/// drops the fields that came before it, as those of a 100 Continue. What is neither is left out.
void read_header_line(std::string_view line, HttpHead& head);

/// The bytes [begin, end) that a 206 answer holds.
struct ContentRange {
  uint64_t begin = 0;
  uint64_t end = 0;
  std::optional<uint64_t> total;  ///< absent when the server wrote "*"
};

/// Parses "bytes 0-99/1234" (RFC 9110, 14.4); nothing when it is not of that form or contradicts
/// itself (an end before its begin or beyond the total).
std::optional<ContentRange> parse_content_range(std::string_view value);

/// The URL of rel="next" in a Link field (RFC 8288), as written, or an empty text.
std::string next_link(std::string_view value);

/// Seconds that a Retry-After field asks to wait: a number, or a date (`now` in Unix seconds);
/// nothing when it is neither. Never negative.
std::optional<double> parse_retry_after(std::string_view value, int64_t now);

/// An entity tag without W/ and quotes, as hubs use it for a hash: `W/"abc"` gives `abc`.
std::string bare_etag(std::string_view value);

/// A whole decimal number without sign or spaces, or nothing.
std::optional<uint64_t> parse_decimal(std::string_view text);

/// True for exactly `digits` hexadecimal digits in lower case.
bool is_hex(std::string_view text, size_t digits);

}  // namespace minke
