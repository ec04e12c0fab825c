#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "minke/base/result.h"

namespace minke {

/// A header line: "name: value".
struct HttpHeader {
  std::string name;
  std::string value;
};

/// A whole request, already checked: exactly one Host in HTTP/1.1, no folded lines, no bare LF, a
/// target that starts with '/' (or "*"), a body within the limit whatever its framing.
struct HttpRequest {
  std::string method;  ///< "GET", "POST", ...
  std::string path;    ///< without the query, not percent-decoded
  std::string query;   ///< after '?', may be empty
  bool http11 = true;
  bool keep_alive = true;
  std::vector<HttpHeader> headers;
  std::string body;

  /// The first header of that name (any case), or nullptr.
  const std::string* header(std::string_view name) const;
};

/// A whole answer; Content-Length, Date and Connection are added on the way out.
struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<HttpHeader> headers;
  bool close = false;  ///< end the connection after it
};

/// The head of a response whose body comes in pieces (server-sent events).
struct HttpStreamHead {
  std::string content_type = "text/event-stream; charset=utf-8";
  std::vector<HttpHeader> headers;
  /// Sent whenever the stream was silent for `HttpLimits::comment_seconds`, so that proxies and
  /// clients keep waiting. Empty: nothing.
  std::string comment;
};

/// Where answers go: the server's socket side, or a buffer in tests and fuzzing. `exchange` is one
/// request; calls for one that has ended are ignored. All may be called from any thread.
class ResponseChannel {
 public:
  virtual ~ResponseChannel() = default;
  virtual void send(uint64_t exchange, HttpResponse response) = 0;
  virtual void begin_stream(uint64_t exchange, HttpStreamHead head) = 0;
  virtual void write(uint64_t exchange, std::string bytes) = 0;
  virtual void end(uint64_t exchange) = 0;
  virtual void abort(uint64_t exchange) = 0;
  virtual void on_disconnect(uint64_t exchange, std::function<void()> callback) = 0;
};

/// The duty to answer one request, once: send(), or begin_stream(), write()*, end(). May be moved
/// to and used from another thread, one thread at a time. Dropped unanswered it sends a 500;
/// dropped in the middle of a stream it cuts the connection, so that the client sees a truncated
/// body. The channel must outlive it.
class Responder {
 public:
  Responder() = default;
  Responder(ResponseChannel* channel, uint64_t exchange) : channel_(channel), exchange_(exchange) {}
  Responder(Responder&& other) noexcept;
  Responder& operator=(Responder&& other) noexcept;
  ~Responder();

  /// A header for whatever answer comes (e.g. CORS).
  void add_header(std::string name, std::string value);
  void send(HttpResponse response);
  void begin_stream(HttpStreamHead head);
  void write(std::string bytes);
  void end();
  /// `callback` runs on the server's thread if the client goes away, reads too slowly or the server
  /// gives up before the answer's end; at most once, at once if that has happened already.
  void on_disconnect(std::function<void()> callback);

 private:
  enum class State { kWaiting, kStreaming, kDone };
  ResponseChannel* channel_ = nullptr;
  uint64_t exchange_ = 0;
  State state_ = State::kWaiting;
  std::vector<HttpHeader> headers_;
};

/// Limits of the HTTP layer; everything a peer can make large or slow has one.
struct HttpLimits {
  int header_bytes = 16 << 10;            ///< request line and headers; more: 431
  int headers_max = 100;                  ///< number of headers; more: 431
  int64_t body_bytes = int64_t{8} << 20;  ///< more: 413
  int64_t stream_buffer_bytes = 1 << 20;  ///< unread answer of one stream; more: disconnected
  int connections_max = 1024;
  double header_seconds = 10;   ///< from a request's first byte to its last header; longer: 408
  double body_seconds = 60;     ///< for the body; longer: 408
  double idle_seconds = 60;     ///< between requests of a connection
  double write_seconds = 30;    ///< without any byte taken by the client
  double comment_seconds = 10;  ///< of silence before a stream's keep-alive comment
  double drain_seconds = 30;    ///< that running answers get after stop()
};

/// What an HttpServer needs to know beside its handler.
struct HttpOptions {
  std::string host = "127.0.0.1";  ///< address or name to listen on
  int port = 0;                    ///< 0: any free port
  HttpLimits limits;
  /// Body of the errors that this layer finds by itself (400, 408, 413, 431, 500, 503).
  std::function<HttpResponse(int status, std::string_view message)> make_error;
  /// Called on the server's thread when the time after stop() is up: end what still streams now.
  std::function<void()> on_drain_deadline;
};

/// Receives a request on the server's thread; must not block, may keep the Responder.
using HttpHandler = std::function<void(HttpRequest request, Responder responder)>;

/// HTTP/1.1 on one thread (Boost.Asio coroutines, Boost.Beast's parser; neither shows here).
///
/// Life of a connection: 1. accepted, or refused with 503 when there are too many and none is idle;
/// 2. head and body are read under time and size limits; 3. the handler gets the request, and the
/// socket is watched: a client that goes away (or shuts down its side) ends the exchange; 4. the
/// answer is written with back-pressure; 5. next request, or close. A pipelined request waits its
/// turn. The first stop() drains: no new connections, idle ones closed, answers finished.
class HttpServer {
 public:
  /// Binds and listens. kNetwork: port in use, address not ours; kUsage: no such host.
  static Result<std::unique_ptr<HttpServer>> create(HttpOptions options, HttpHandler handler);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  uint16_t port() const;
  /// Serves until stop() and the drain. Call once.
  void run();
  /// Starts the drain; a second call ends at once. From any thread or signal handler.
  void stop();

 private:
  struct Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// The standard phrase of a status code: 404 is "Not Found".
std::string_view http_status_phrase(int status);

}  // namespace minke
