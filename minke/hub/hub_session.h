#pragma once
#include <string>

#include "minke/hub/http_client.h"
#include "minke/hub/hub_settings.h"

namespace minke {

/// One whole answer.
struct HubReply {
  HttpHead head;
  std::string body;
  std::string url;  ///< where it came from, after redirects
};

/// Talks with one hub: knows the token and to whom it may be shown, follows redirects, waits and
/// tries again where that may help.
class HubSession {
 public:
  HubSession(Hub hub, HubSettings settings, HubPatience patience);

  Hub hub() const { return hub_; }
  const HubSettings& settings() const { return settings_; }
  const HubPatience& patience() const { return patience_; }
  HttpClient& client() { return client_; }
  const std::string& endpoint() const { return settings_.endpoint(hub_); }

  /// A request for `url`. The token is added only where the URL has the endpoint's scheme, host and
  /// port: a redirect to a storage host must not carry it.
  FetchRequest request(const std::string& url) const;

  /// GETs a text of at most `bytes_max`. Redirects are followed (10 at most); 408, 425, 429, 5xx
  /// and broken connections are tried again as patience says. Any other status comes back in the
  /// reply. kNetwork, kInterrupted.
  Result<HubReply> get(const std::string& url, size_t bytes_max);
  /// GETs the header fields for the first byte of a file; the body is not read.
  Result<HubReply> get_head(const std::string& url);

  /// Sleeps, unless should_stop() ends it with kInterrupted.
  Result<void> pause(double seconds) const;
  /// kInterrupted once should_stop() said so.
  Result<void> check_stop() const;

 private:
  Result<HubReply> get_once(const std::string& url, size_t bytes_max, bool head_only);
  Result<HubReply> get_patiently(const std::string& url, size_t bytes_max, bool head_only);

  Hub hub_;
  HubSettings settings_;
  HubPatience patience_;
  HttpClient client_;
};

/// True for a status that says "not now": 408, 425, 429 and 5xx.
bool is_passing_status(int status);
/// True for a status with a Location to go to.
bool is_redirect_status(int status);

/// The error for a final status other than success, about `what` ("hf.co/owner/repo"): kAuth for
/// 401 and 403 with what to do, kNotFound for 404 and 410, kNetwork otherwise.
Error status_error(const HubSession& session, const HttpHead& head, std::string_view what);

/// How many redirects one request may take.
inline constexpr int kRedirectsMax = 10;

}  // namespace minke
