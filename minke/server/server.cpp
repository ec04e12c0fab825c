#include "minke/server/server.h"

#include "minke/server/api.h"

namespace minke {

struct Server::Impl {
  std::unique_ptr<HttpServer> http;  // outlives the api, whose Responders point to it
  std::unique_ptr<Api> api;
};

Result<std::unique_ptr<Server>> Server::create(ServerConfig config, ServedModel model) {
  if (!is_loopback(config.host) && config.api_keys.empty() && !config.allow_no_key) {
    return fail(ErrorCode::kUsage,
                "{} can be reached from other machines and no API key is set; set one with "
                "--api-key KEY, listen on 127.0.0.1, or allow it with --allow-no-key",
                config.host);
  }
  for (const std::string& key : config.api_keys) {
    if (key.empty()) return fail(ErrorCode::kUsage, "an API key is empty, expected some text");
  }
  auto impl = std::make_unique<Impl>();
  HttpOptions options;
  options.host = config.host;
  options.port = config.port;
  options.limits = config.limits;
  options.make_error = [](int status, std::string_view message) {
    return error_response(status_error(status, message));
  };
  Impl* const self = impl.get();
  options.on_drain_deadline = [self] {
    self->api->runs().cancel_all("the server is shutting down");
  };
  MK_ASSIGN(impl->http, HttpServer::create(
                            std::move(options), [self](HttpRequest request, Responder responder) {
                              self->api->handle(std::move(request), std::move(responder));
                            }));
  impl->api = std::make_unique<Api>(std::move(config), std::move(model));
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Server::~Server() = default;
uint16_t Server::port() const { return impl_->http->port(); }
void Server::run() { impl_->http->run(); }
void Server::stop() { impl_->http->stop(); }

}  // namespace minke
