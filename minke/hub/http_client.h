#pragma once
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "minke/base/result.h"
#include "minke/hub/http_headers.h"

namespace minke {

/// Patience and identity of a client.
struct FetchOptions {
  double connect_seconds_max = 20;
  double stall_seconds_max = 30;  ///< a transfer below 1 kB/s for so long is ended
  std::string ca_file;            ///< certificates to trust instead of the system's; may be empty
};

/// A GET. Compressed answers are never asked for.
struct FetchRequest {
  std::string url;  ///< http or https
  std::vector<HeaderField> headers;
  bool fresh_connection = false;  ///< do not reuse one: after a cut, others may be near theirs
};

/// Receives one answer. The calls come from HttpClient::poll(), in this order.
class HttpReceiver {
 public:
  virtual ~HttpReceiver() = default;
  /// All header fields are there. False ends the transfer.
  virtual bool on_head(const HttpHead& head) = 0;
  /// The next bytes of the body, as sent. False ends the transfer.
  virtual bool on_body(std::string_view bytes) = 0;
  /// The transfer ended: well (also after on_head() or on_body() ended it), or with kNetwork where
  /// another attempt may help, or with kFailed where it cannot (certificate, malformed URL).
  /// `orderly`: nothing that the server sent is lost, be it less than it had announced.
  virtual void on_end(const Result<void>& result, bool orderly) = 0;
};

/// Several GETs at a time over kept-alive HTTP/1.1 connections: the one place that knows libcurl.
/// No redirect is followed here, so that whoever asks decides what a new host may be told. Proxies
/// come from the usual variables (https_proxy, no_proxy). One thread at a time.
class HttpClient {
 public:
  explicit HttpClient(const FetchOptions& options);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  /// Begins a transfer. `receiver` must live until its on_end() or until cancel().
  Result<void> start(const FetchRequest& request, HttpReceiver& receiver);
  /// Ends a receiver's transfer without a further call to it; nothing happens when it has none.
  void cancel(HttpReceiver& receiver);
  /// Moves all transfers on, waiting at most `timeout_ms` for something to happen.
  Result<void> poll(int timeout_ms);
  int num_active() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// A URL in parts, as far as rules about hosts and names need them.
struct UrlParts {
  std::string scheme;  ///< in lower case
  std::string host;    ///< in lower case
  std::string port;    ///< also where it is the scheme's own
  std::string path;    ///< percent-decoded, with its leading slash
  friend bool same_origin(const UrlParts& a, const UrlParts& b) {
    return a.scheme == b.scheme && a.host == b.host && a.port == b.port;
  }
};
/// kUsage for what is no absolute http or https URL.
Result<UrlParts> parse_url(const std::string& url);
/// The absolute URL that `location` means on a page at `base` (RFC 3986, 5.2); kNetwork when it is
/// none, or leads from https to http.
Result<std::string> redirect_target(const std::string& base, const std::string& location);
/// `text` with every byte outside A-Z a-z 0-9 - . _ ~ (and '/', when kept) percent-encoded.
std::string url_encoded(std::string_view text, bool keep_slashes);

}  // namespace minke
