#pragma once
#include <memory>
#include <string>

#include "minke/server/http.h"

namespace minke {

/// Where parsing stands: more bytes are needed, the request is whole, or it is refused.
enum class HttpParse { kNeedMore, kDone, kFailed };

/// Reads one HTTP/1.x request from bytes as they come. Strict on purpose: whatever proxies and
/// servers might read differently (two lengths, a length with chunks, folded lines, bare LF, two
/// Hosts) is refused with 400.
class HttpRequestParser {
 public:
  explicit HttpRequestParser(const HttpLimits& limits);
  ~HttpRequestParser();

  /// Consumes what it can from the front of `bytes`; call again with more appended.
  HttpParse feed(std::string& bytes);
  bool header_done() const;
  /// The client waits for "100 Continue" before it sends the body (asked after header_done()).
  bool wants_continue() const;
  /// After kFailed: the status to answer with, and why.
  int error_status() const;
  const std::string& error_message() const;
  /// After kDone: the request, moved out.
  HttpRequest take();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace minke
