#pragma once
#include <cstdint>
#include <memory>

#include "minke/base/result.h"
#include "minke/server/server_config.h"

namespace minke {

/// The API over HTTP: an HttpServer with an Api behind it.
///
///     EngineGenerator generator(&engine);
///     auto server = Server::create(config, {.name = ..., .generator = &generator, ...});
///     (*server)->run();  // until stop()
class Server {
 public:
  /// Binds and listens, so that a used port is found at once. kNetwork: port in use; kUsage: no
  /// such host, or an address beyond loopback without an API key (config.allow_no_key allows it).
  static Result<std::unique_ptr<Server>> create(ServerConfig config, ServedModel model);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  uint16_t port() const;
  /// Blocks until stop() has been called and running answers are done, at most
  /// config.limits.drain_seconds later; what still runs then gets an error event.
  void run();
  /// Starts the drain; a second call ends at once. May be called from a signal handler.
  void stop();

 private:
  struct Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace minke
