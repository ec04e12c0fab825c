#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "minke/server/api_error.h"
#include "minke/server/request_queue.h"
#include "minke/server/runs.h"
#include "minke/server/server_config.h"

namespace minke {

class Api;

/// One endpoint. A request reaches a handler only through this table, so every path has a role.
struct Route {
  enum class Role { kPublic, kUser };      ///< kUser: needs an API key where keys are set
  enum class Thread { kServer, kWorker };  ///< kWorker: reads a body, tokenises
  const char* method;                      ///< GET serves HEAD, too
  const char* path;
  Role role;
  Thread thread;
  void (*handle)(Api& api, const HttpRequest& request, Responder responder);
};

/// The API apart from sockets: takes a request, checks Host, Origin, route and key, and answers.
/// Schemas are in *_schema, printing in *_format, each endpoint in a file of its own; routes.cpp is
/// the table.
class Api {
 public:
  enum class Work { kInWorker, kInline };  ///< kInline: no thread, for fuzzing
  Api(ServerConfig config, ServedModel model, Work work = Work::kInWorker);
  ~Api();

  /// On the server's thread; does not block.
  void handle(HttpRequest request, Responder responder);

  const ServerConfig& config() const { return config_; }
  const ServedModel& model() const { return model_; }
  Runs& runs() { return *runs_; }
  /// Tokens generated for clients per second of generating; 0 before the first.
  double tokens_per_second() const;
  bool is_model(std::string_view name) const;
  double uptime_seconds() const;

 private:
  bool is_host_allowed(const HttpRequest& request) const;
  bool is_origin_allowed(const HttpRequest& request, Responder& responder) const;
  bool is_key_valid(const HttpRequest& request, ApiError& error) const;
  void dispatch(HttpRequest request, Responder responder);
  void preflight(const HttpRequest& request, Responder responder, const std::string& allow) const;

  const ServerConfig config_;
  const ServedModel model_;
  const double started_;
  std::unique_ptr<Runs> runs_;
  std::unique_ptr<RequestQueue> queue_;  // ends before runs_, which its work uses
};

/// Whether this host is the machine itself: 127.0.0.0/8, ::1, localhost.
bool is_loopback(std::string_view host);

}  // namespace minke
