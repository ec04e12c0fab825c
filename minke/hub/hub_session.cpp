#include "minke/hub/hub_session.h"

#include <algorithm>

#include "minke/base/clock.h"

namespace minke {
namespace {

constexpr int kPollMs = 100;

// Collects a body.
class TextReceiver final : public HttpReceiver {
 public:
  TextReceiver(size_t bytes_max, bool head_only) : bytes_max_(bytes_max), head_only_(head_only) {}

  bool on_head(const HttpHead& head) override {
    reply.head = head;
    return !head_only_;
  }
  bool on_body(std::string_view bytes) override {
    too_long = reply.body.size() + bytes.size() > bytes_max_;
    if (!too_long) reply.body += bytes;
    return !too_long;
  }
  void on_end(const Result<void>& outcome, bool /*orderly*/) override {
    result = outcome;
    ended = true;
  }

  HubReply reply;
  Result<void> result;
  bool too_long = false;
  bool ended = false;

 private:
  size_t bytes_max_;
  bool head_only_;
};

FetchOptions http_options(const HubSettings& settings, const HubPatience& patience) {
  return {patience.connect_seconds_max, patience.stall_seconds_max, settings.ca_file};
}

// What a server adds to its status, short and printable.
std::string remark(const HttpHead& head) {
  std::string text(head.get("X-Error-Message").substr(0, 200));
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return c < ' ' || c == 127; }, ' ');
  return text.empty() ? "" : ", \"" + text + "\"";
}

Error auth_error(const HubSession& session, int status, const std::string& says,
                 std::string_view what) {
  const bool is_ms = session.hub() == Hub::kModelScope;
  const char* variable = is_ms ? "MODELSCOPE_API_TOKEN" : "HF_TOKEN";
  if (session.hub() == Hub::kUrl) {
    return {ErrorCode::kAuth,
            fmt::format("{} is not for everybody (status {}{})", what, status, says)};
  }
  if (!session.settings().token(session.hub()).empty()) {
    return {ErrorCode::kAuth,
            fmt::format("the token in {} may not read {} (status {}{}); if the model is gated, "
                        "accept its terms on its page at {} first; if it does not exist, check "
                        "the name",
                        variable, what, status, says, session.endpoint())};
  }
  return {ErrorCode::kAuth,
          fmt::format("{} is gated, private or does not exist (status {}{}); accept its terms on "
                      "its page at {}, make a token there, and set {}",
                      what, status, says, session.endpoint(), variable)};
}

}  // namespace

bool is_passing_status(int status) {
  return status == 408 || status == 425 || status == 429 || status >= 500;
}

bool is_redirect_status(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

Error status_error(const HubSession& session, const HttpHead& head, std::string_view what) {
  const std::string says = remark(head);
  if (head.status == 401 || head.status == 403) {
    return auth_error(session, head.status, says, what);
  }
  if (head.status == 404 || head.status == 410) {
    const bool revision = head.get("X-Error-Code") == "RevisionNotFound";
    return {ErrorCode::kNotFound,
            fmt::format("{} has no {} (status {}{})", session.endpoint(),
                        revision ? fmt::format("such revision of {}", what) : std::string(what),
                        head.status, says)};
  }
  return {ErrorCode::kNetwork,
          fmt::format("{}: the server answered with status {}{}", what, head.status, says)};
}

HubSession::HubSession(Hub hub, HubSettings settings, HubPatience patience)
    : hub_(hub),
      settings_(std::move(settings)),
      patience_(std::move(patience)),
      client_(http_options(settings_, patience_)) {}

FetchRequest HubSession::request(const std::string& url) const {
  FetchRequest out{url, {}, false};
  const std::string& token = settings_.token(hub_);
  if (token.empty()) return out;
  const Result<UrlParts> here = parse_url(url);
  const Result<UrlParts> home = parse_url(endpoint());
  if (here && home && same_origin(*here, *home)) {
    out.headers.push_back({"Authorization", "Bearer " + token});
  }
  return out;
}

Result<void> HubSession::check_stop() const {
  if (patience_.should_stop && patience_.should_stop()) {
    return fail(ErrorCode::kInterrupted, "interrupted");
  }
  return {};
}

Result<void> HubSession::pause(double seconds) const {
  const double end = seconds_now() + seconds;
  while (seconds_now() < end) {
    MK_TRY(check_stop());
    struct timespec slice = {0, kPollMs * 1'000'000L};
    ::nanosleep(&slice, nullptr);
  }
  return {};
}

Result<HubReply> HubSession::get_once(const std::string& url, size_t bytes_max, bool head_only) {
  std::string at = url;
  for (int hop = 0; hop <= kRedirectsMax; ++hop) {
    FetchRequest asked = request(at);
    if (head_only) asked.headers.push_back({"Range", "bytes=0-0"});
    TextReceiver receiver(bytes_max, head_only);
    MK_TRY(client_.start(asked, receiver));
    while (!receiver.ended) {
      Result<void> moved = client_.poll(kPollMs);
      if (moved) moved = check_stop();
      if (moved) continue;
      client_.cancel(receiver);
      return pass_on(moved);
    }
    if (!receiver.result) {
      return fail(receiver.result.error().code, "{}: {}", at, receiver.result.error().message);
    }
    if (receiver.too_long) {
      return fail(ErrorCode::kFailed, "{} is longer than {} bytes", at, bytes_max);
    }
    receiver.reply.url = at;
    if (!is_redirect_status(receiver.reply.head.status)) return std::move(receiver.reply);
    MK_ASSIGN(at, redirect_target(at, std::string(receiver.reply.head.get("Location"))));
  }
  return fail(ErrorCode::kFailed, "{} redirects more than {} times", url, kRedirectsMax);
}

Result<HubReply> HubSession::get_patiently(const std::string& url, size_t bytes_max,
                                           bool head_only) {
  for (int failures = 1;; ++failures) {
    Result<HubReply> reply = get_once(url, bytes_max, head_only);
    double asked = 0;
    std::string why;
    if (reply) {
      const int status = reply->head.status;
      if (!is_passing_status(status)) return reply;
      why = fmt::format("{}: status {}", url, status);
      asked = parse_retry_after(reply->head.get("Retry-After"), unix_seconds()).value_or(0);
    } else {
      if (reply.error().code == ErrorCode::kFailed) {  // no attempt can mend it
        return fail(ErrorCode::kNetwork, "{}", reply.error().message);
      }
      if (reply.error().code != ErrorCode::kNetwork) return reply;
      why = reply.error().message;
    }
    if (patience_.attempts_max > 0 && failures >= patience_.attempts_max) {
      return fail(ErrorCode::kNetwork,
                  "{} ({} attempts); check the connection and the proxy settings", why, failures);
    }
    const double seconds = wait_seconds(patience_, failures, asked);
    if (patience_.say) patience_.say(fmt::format("{}; trying again in {:.1f} s", why, seconds));
    MK_TRY(pause(seconds));
  }
}

Result<HubReply> HubSession::get(const std::string& url, size_t bytes_max) {
  return get_patiently(url, bytes_max, false);
}

Result<HubReply> HubSession::get_head(const std::string& url) {
  return get_patiently(url, 0, true);
}

}  // namespace minke
