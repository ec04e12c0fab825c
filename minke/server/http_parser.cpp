#include "minke/server/http_parser.h"

#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/rfc7230.hpp>
#include <boost/beast/http/string_body.hpp>
#include <optional>

namespace minke {
namespace {

namespace http = boost::beast::http;

constexpr size_t kTargetBytesMax = 8 << 10;

std::string_view as_view(boost::beast::string_view text) { return {text.data(), text.size()}; }

// The raw head up to its blank line: refuses what parsers disagree about.
const char* head_defect(std::string_view head) {
  for (size_t i = 0; i < head.size(); ++i) {
    if (head[i] == '\0') return "a NUL byte in the header";
    if (head[i] != '\n') continue;
    if (i == 0 || head[i - 1] != '\r') return "a line of the header ends with LF, expected CR LF";
    if (i + 1 < head.size() && (head[i + 1] == ' ' || head[i + 1] == '\t')) {
      return "a folded header line, which HTTP/1.1 no longer allows";
    }
  }
  return nullptr;
}

}  // namespace

struct HttpRequestParser::Impl {
  explicit Impl(const HttpLimits& http_limits) : limits(http_limits) {
    parser.header_limit(static_cast<std::uint32_t>(limits.header_bytes) + 4);
    parser.body_limit(static_cast<std::uint64_t>(limits.body_bytes));
    parser.eager(true);
  }

  HttpParse fail_with(int code, std::string text) {
    status = code;
    message = std::move(text);
    return HttpParse::kFailed;
  }

  // Finds the end of the head in `bytes` and reads it. Beast is only called once it is whole.
  HttpParse find_head(std::string& bytes) {
    while (scanned == 0 && bytes.starts_with("\r\n")) bytes.erase(0, 2);
    const size_t end = bytes.find("\r\n\r\n", scanned);
    const size_t head_bytes = end == std::string::npos ? bytes.size() : end + 4;
    if (head_bytes > static_cast<size_t>(limits.header_bytes)) {
      return fail_with(
          431, fmt::format("the request's header is larger than {} bytes", limits.header_bytes));
    }
    if (end == std::string::npos) {
      scanned = bytes.size() < 3 ? 0 : bytes.size() - 3;
      return HttpParse::kNeedMore;
    }
    const char* defect = head_defect(std::string_view(bytes).substr(0, end));
    if (defect != nullptr) return fail_with(400, fmt::format("malformed request: {}", defect));
    head_found = true;
    return put(bytes, head_bytes);
  }

  // Gives the parser the first `count` bytes. The head goes alone, so that it is copied before
  // trailers of a chunked body can add to it.
  HttpParse put(std::string& bytes, size_t count) {
    boost::beast::error_code error;
    size_t used = 0;
    while (used < count && !parser.is_done()) {
      const size_t step =
          parser.put(boost::asio::const_buffer(bytes.data() + used, count - used), error);
      used += step;
      if (error || step == 0) break;
    }
    bytes.erase(0, used);
    if (error == http::error::need_more) error = {};
    if (error == http::error::body_limit) {
      return fail_with(
          413, fmt::format("the request's body is larger than {} bytes", limits.body_bytes));
    }
    if (error == http::error::header_limit) return fail_with(431, "the header is too large");
    if (error == http::error::bad_version) {
      return fail_with(505, "expected HTTP/1.0 or HTTP/1.1");
    }
    if (error) return fail_with(400, fmt::format("malformed request: {}", error.message()));
    // Beast has been given the whole head: if it wants more of it, a line of it is too short.
    if (!parser.is_header_done()) return fail_with(400, "malformed request: bad request line");
    if (!head_read) {
      if (const HttpParse read = read_head(); read == HttpParse::kFailed) return read;
    }
    return parser.is_done() ? HttpParse::kDone : HttpParse::kNeedMore;
  }

  HttpParse read_head() {
    head_read = true;
    const auto& message_head = parser.get();
    request.method = std::string(as_view(message_head.method_string()));
    request.http11 = message_head.version() >= 11;
    request.keep_alive = message_head.keep_alive();
    int hosts = 0;
    for (const auto& field : message_head) {
      if (field.name() == http::field::host) ++hosts;
      request.headers.push_back(
          {std::string(as_view(field.name_string())), std::string(as_view(field.value()))});
    }
    if (request.headers.size() > static_cast<size_t>(limits.headers_max)) {
      return fail_with(431, fmt::format("{} headers, at most {} are allowed",
                                        request.headers.size(), limits.headers_max));
    }
    if (hosts > 1 || (request.http11 && hosts == 0)) {
      return fail_with(400, fmt::format("{} Host headers, expected one", hosts));
    }
    // The body is read by its length or its chunks; other transfer codings are not undone here.
    if (message_head.count(http::field::transfer_encoding) > 0 && !parser.chunked()) {
      return fail_with(501, "the transfer coding is not supported, expected chunked");
    }
    return read_target(as_view(message_head.target()));
  }

  HttpParse read_target(std::string_view target) {
    if (target.size() > kTargetBytesMax) {
      return fail_with(
          414, fmt::format("the request's target is larger than {} bytes", kTargetBytesMax));
    }
    if (target.starts_with("http://") || target.starts_with("https://")) {
      const size_t path = target.find('/', target.find("//") + 2);
      target = path == std::string_view::npos ? "/" : target.substr(path);
    }
    if (target != "*" && !target.starts_with('/')) {
      return fail_with(400, "malformed request: the target does not start with '/'");
    }
    const size_t query = target.find('?');
    request.path = std::string(target.substr(0, query));
    if (query != std::string_view::npos) request.query = std::string(target.substr(query + 1));
    return HttpParse::kNeedMore;
  }

  const HttpLimits limits;
  http::request_parser<http::string_body> parser;
  size_t scanned = 0;  // bytes of the head that hold no blank line
  bool head_found = false;
  bool head_read = false;
  HttpRequest request;
  int status = 0;
  std::string message;
};

HttpRequestParser::HttpRequestParser(const HttpLimits& limits)
    : impl_(std::make_unique<Impl>(limits)) {}
HttpRequestParser::~HttpRequestParser() = default;

HttpParse HttpRequestParser::feed(std::string& bytes) {
  if (impl_->status != 0) return HttpParse::kFailed;
  if (!impl_->head_found) {
    if (const HttpParse head = impl_->find_head(bytes);
        !impl_->head_found || head != HttpParse::kNeedMore) {
      return head;
    }
  }
  return impl_->put(bytes, bytes.size());
}

bool HttpRequestParser::header_done() const { return impl_->head_read; }

bool HttpRequestParser::wants_continue() const {
  const std::string* expect = impl_->request.header("Expect");
  return expect != nullptr && impl_->request.http11 &&
         boost::beast::iequals(*expect, "100-continue");
}

int HttpRequestParser::error_status() const { return impl_->status; }
const std::string& HttpRequestParser::error_message() const { return impl_->message; }

HttpRequest HttpRequestParser::take() {
  impl_->request.body = std::move(impl_->parser.get().body());
  return std::move(impl_->request);
}

}  // namespace minke
