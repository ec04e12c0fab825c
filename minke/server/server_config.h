#pragma once
#include <functional>
#include <string>
#include <vector>

#include "minke/engine/request.h"
#include "minke/models/expert_loads.h"
#include "minke/server/http.h"

namespace minke {

class ChatTemplate;
class Generator;
class Tokenizer;

/// Settings of a server.
struct ServerConfig {
  std::string host = "127.0.0.1";
  int port = 6465;                         ///< 0: any free port
  std::vector<std::string> api_keys;       ///< empty: no key is asked for
  std::vector<std::string> allowed_hosts;  ///< further names in Host, beside the loopback ones
  std::vector<std::string> cors_origins;   ///< web pages that may call; "*" is all
  bool allow_no_key = false;               ///< listen beyond loopback without an API key
  HttpLimits limits;

  /// Names each setting once: v(name, field, low, high, help) for numbers, v(name, field, help) for
  /// text, lists and switches.
  template <class Visitor>
  void visit(Visitor& v) {
    v("host", host, "address to listen on");
    v("port", port, 0, 65535, "port to listen on; 0 is any free one");
    v("api_key", api_keys, "key that clients must send as Authorization: Bearer KEY");
    v("allowed_host", allowed_hosts, "further host name that clients may use in their address");
    v("cors_origin", cors_origins, "web origin that may call from a browser, or *");
    v("allow_no_key", allow_no_key, "serve other machines without an API key");
    v("body_bytes_max", limits.body_bytes, int64_t{1} << 10, int64_t{1} << 30,
      "largest request body");
    v("connections_max", limits.connections_max, 1, 1 << 20, "most connections at once");
    v("header_seconds", limits.header_seconds, 0.1, 3600.0, "time for a request's header");
    v("body_seconds", limits.body_seconds, 0.1, 3600.0, "time for a request's body");
    v("idle_seconds", limits.idle_seconds, 0.1, 3600.0, "time between requests of a connection");
    v("write_seconds", limits.write_seconds, 0.1, 3600.0, "time without a byte read by the client");
    v("comment_seconds", limits.comment_seconds, 0.1, 3600.0,
      "silence before a keep-alive comment");
    v("drain_seconds", limits.drain_seconds, 0.0, 86400.0, "time for running answers after stop");
  }
};

/// The model that a server offers. What it points to must outlive the server.
struct ServedModel {
  std::string name;
  std::vector<std::string> aliases;  ///< further names that requests may use
  Generator* generator = nullptr;    ///< EngineGenerator of an Engine, or a test's own
  const Tokenizer* tokenizer = nullptr;
  const ChatTemplate* chat_template = nullptr;  ///< null: no chat, completions only
  int context_tokens = 0;
  SamplingParams sampling;  ///< where a request says nothing
  std::string precision;    ///< "int8", "f32", ...: for the page
  std::string description;  ///< one line for the page
  int64_t created = 0;      ///< unix seconds
  /// How the model's experts were used; empty, or giving nothing, for a model without.
  std::function<std::vector<LayerLoads>()> expert_loads = {};
};

}  // namespace minke
