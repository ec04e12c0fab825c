#include "minke/server/api.h"

#include <algorithm>

#include "minke/base/check.h"
#include "minke/base/clock.h"
#include "minke/server/endpoints.h"

namespace minke {
namespace {

bool contains(const std::vector<std::string>& list, std::string_view item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

// Takes the same time wherever the first difference is.
bool equal_in_constant_time(std::string_view found, std::string_view key) {
  unsigned difference = found.size() == key.size() ? 0 : 1;
  for (size_t i = 0; i < found.size() && !key.empty(); ++i) {
    difference |=
        static_cast<unsigned char>(found[i]) ^ static_cast<unsigned char>(key[i % key.size()]);
  }
  return difference == 0;
}

// "[::1]:80" and "name:80" without the port, in lower case.
std::string host_name(std::string_view host) {
  const size_t bracket = host.find(']');
  const size_t colon = host.find(':', bracket == std::string_view::npos ? 0 : bracket);
  std::string name(host.substr(0, colon));
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return name;
}

bool matches(const Route& route, std::string_view path) {
  const std::string_view pattern = route.path;
  if (pattern.size() > 1 && pattern.ends_with('/')) {
    return path.size() > pattern.size() && path.starts_with(pattern);
  }
  return path == pattern;
}

}  // namespace

bool is_loopback(std::string_view host) {
  return host == "localhost" || host == "::1" || host == "[::1]" || host.starts_with("127.");
}

Api::Api(ServerConfig config, ServedModel model, Work work)
    : config_(std::move(config)), model_(std::move(model)), started_(seconds_now()) {
  MK_CHECK(model_.generator != nullptr && model_.tokenizer != nullptr,
           "server: the model '{}' has no generator or no tokenizer", model_.name);
  runs_ = std::make_unique<Runs>(model_.generator, model_.tokenizer);
  if (work == Work::kInline) return;
  queue_ = std::make_unique<RequestQueue>([this](QueuedRequest queued) {
    const Route& route = routes()[static_cast<size_t>(queued.route_index)];
    route.handle(*this, queued.request, std::move(queued.responder));
  });
}

Api::~Api() = default;

// A web page elsewhere can let its own name point to 127.0.0.1 (DNS rebinding) and would then be of
// the same origin as this server; the Host header still carries the page's name.
bool Api::is_host_allowed(const HttpRequest& request) const {
  if (!is_loopback(config_.host) && config_.allowed_hosts.empty()) return true;
  const std::string* host = request.header("Host");
  if (host == nullptr) return true;  // HTTP/1.0: not a browser
  const std::string name = host_name(*host);
  const bool own = name == "localhost" || name == "127.0.0.1" || name == "[::1]" ||
                   name == host_name(config_.host);
  return own || contains(config_.allowed_hosts, name);
}

// A browser sends Origin with every request that another site's page causes.
bool Api::is_origin_allowed(const HttpRequest& request, Responder& responder) const {
  const std::string* origin = request.header("Origin");
  if (origin == nullptr) return true;
  const std::string* host = request.header("Host");
  if (host != nullptr && (*origin == "http://" + *host || *origin == "https://" + *host)) {
    return true;
  }
  const bool all = contains(config_.cors_origins, "*");
  if (!all && !contains(config_.cors_origins, *origin)) return false;
  responder.add_header("Access-Control-Allow-Origin", all ? "*" : *origin);
  responder.add_header("Vary", "Origin");
  return true;
}

bool Api::is_key_valid(const HttpRequest& request, ApiError& error) const {
  if (config_.api_keys.empty()) return true;
  const std::string* header = request.header("Authorization");
  constexpr std::string_view kBearer = "Bearer ";
  const bool has_key = header != nullptr && header->starts_with(kBearer);
  if (!has_key) {
    error = status_error(
        401, header == nullptr ? "Authentication Fails (no API key: send the header "
                                 "Authorization: Bearer KEY)"
                               : "Authentication Fails (auth header format should be Bearer KEY)");
    return false;
  }
  const std::string_view found = std::string_view(*header).substr(kBearer.size());
  bool valid = false;
  for (const std::string& key : config_.api_keys) valid |= equal_in_constant_time(found, key);
  if (valid) return true;
  const std::string_view end = found.size() < 8 ? "" : found.substr(found.size() - 4);
  error =
      status_error(401, fmt::format("Authentication Fails, Your api key: ****{} is invalid", end));
  return false;
}

void Api::handle(HttpRequest request, Responder responder) {
  if (!is_host_allowed(request)) {
    ApiError error = status_error(
        403,
        "the Host header names another machine; to serve under that name, allow it with "
        "--allowed-host NAME");
    return responder.send(error_response(error));
  }
  if (!is_origin_allowed(request, responder)) {
    return responder.send(error_response(status_error(
        403, "calls from this web origin are not allowed; allow it with --cors-origin ORIGIN")));
  }
  dispatch(std::move(request), std::move(responder));
}

void Api::dispatch(HttpRequest request, Responder responder) {
  std::string allow;
  const std::string_view method =
      request.method == "HEAD" ? "GET" : std::string_view(request.method);
  for (size_t i = 0; i < routes().size(); ++i) {
    const Route& route = routes()[i];
    if (!matches(route, request.path)) continue;
    allow += fmt::format("{}{}", allow.empty() ? "" : ", ",
                         std::string_view(route.method) == "GET" ? "GET, HEAD" : route.method);
    if (method != route.method) continue;
    if (ApiError error; route.role == Route::Role::kUser && !is_key_valid(request, error)) {
      return responder.send(error_response(error));
    }
    if (route.thread == Route::Thread::kServer || queue_ == nullptr) {
      return route.handle(*this, request, std::move(responder));
    }
    QueuedRequest queued{static_cast<int>(i), std::move(request), std::move(responder)};
    if (!queue_->push(queued)) {
      queued.responder.send(
          error_response(status_error(503, "too many requests wait to be read, try again later")));
    }
    return;
  }
  if (method == "OPTIONS" && (!allow.empty() || request.path == "*")) {
    return preflight(request, std::move(responder), allow.empty() ? "GET, HEAD, POST" : allow);
  }
  if (allow.empty()) {
    return responder.send(error_response(status_error(
        404, fmt::format("no such path: {}; the API is under /v1", request.path.substr(0, 200)))));
  }
  HttpResponse response = error_response(status_error(
      405, fmt::format("{} is not allowed for {}, expected {}", request.method.substr(0, 20),
                       request.path.substr(0, 200), allow)));
  response.headers.push_back({"Allow", allow});
  responder.send(std::move(response));
}

void Api::preflight(const HttpRequest& request, Responder responder,
                    const std::string& allow) const {
  HttpResponse response;
  response.status = 204;
  response.content_type.clear();
  response.headers.push_back({"Allow", allow + ", OPTIONS"});
  if (request.header("Origin") != nullptr && !config_.cors_origins.empty()) {
    response.headers.push_back({"Access-Control-Allow-Methods", allow});
    response.headers.push_back({"Access-Control-Allow-Headers", "Authorization, Content-Type"});
    response.headers.push_back({"Access-Control-Max-Age", "600"});
  }
  responder.send(std::move(response));
}

double Api::tokens_per_second() const {
  const Runs::Counts counts = runs_->counts();
  if (counts.busy_seconds <= 0) return 0;
  return static_cast<double>(counts.generated_tokens) / counts.busy_seconds;
}

bool Api::is_model(std::string_view name) const {
  return name == model_.name || contains(model_.aliases, name);
}

double Api::uptime_seconds() const { return seconds_now() - started_; }

}  // namespace minke
