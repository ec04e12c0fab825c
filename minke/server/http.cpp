#include "minke/server/http.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <unordered_map>

#include "minke/base/check.h"
#include "minke/base/log.h"
#include "minke/server/http_connection.h"

namespace minke {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr auto kTick = std::chrono::milliseconds(100);  // granularity of all time limits

Result<tcp::endpoint> resolve(asio::io_context& io, const std::string& host, int port) {
  error_code error;
  const auto number = static_cast<uint16_t>(port);
  if (const auto address = asio::ip::make_address(host, error); !error) {
    return tcp::endpoint(address, number);
  }
  tcp::resolver resolver(io);
  const auto found = resolver.resolve(host, std::to_string(port), error);
  if (error || found.empty()) {
    return fail(ErrorCode::kUsage,
                "no such host '{}': expected an address of this machine, e.g. "
                "127.0.0.1 or 0.0.0.0",
                host);
  }
  // IPv4 first: "localhost" then means what most clients try first.
  for (const auto& entry : found) {
    if (entry.endpoint().address().is_v4()) return entry.endpoint();
  }
  return found.begin()->endpoint();
}

Result<void> listen_on(tcp::acceptor& acceptor, const tcp::endpoint& at, const std::string& host) {
  error_code error;
  acceptor.open(at.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(at, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (!error) return {};
  if (error == asio::error::address_in_use) {
    const int other = at.port() < 65535 ? at.port() + 1 : 6465;
    return fail(ErrorCode::kNetwork,
                "port {} on {} is in use by another program; stop it, or "
                "choose another port, e.g. --port {}",
                at.port(), host, other);
  }
  if (error == asio::error::access_denied) {
    return fail(ErrorCode::kNetwork,
                "port {} needs more rights than this user has; choose one "
                "above 1023, e.g. --port 6465",
                at.port());
  }
  return fail(ErrorCode::kNetwork, "cannot listen on {} port {}: {}", host, at.port(),
              error.message());
}

}  // namespace

struct HttpServer::Impl final : public ResponseChannel {
  Impl(HttpOptions http_options, HttpHandler http_handler)
      : options(std::move(http_options)),
        handler(std::move(http_handler)),
        acceptor(io),
        ticker(io),
        stop_event(io) {}

  // --- ResponseChannel: from any thread, carried out on the server's ---

  template <class F>
  void with_exchange(uint64_t id, F action) {
    asio::post(io, [this, id, action = std::move(action)]() mutable {
      const auto found = exchanges.find(id);
      if (found != exchanges.end()) action(*found->second);
    });
  }

  void send(uint64_t id, HttpResponse response) override {
    with_exchange(id, [this, response = std::move(response)](Connection& c) {
      c.queue_response(response, draining);
    });
  }

  void begin_stream(uint64_t id, HttpStreamHead head) override {
    with_exchange(
        id, [this, head = std::move(head)](Connection& c) { c.queue_stream_head(head, draining); });
  }

  void write(uint64_t id, std::string bytes) override {
    with_exchange(id, [bytes = std::move(bytes)](Connection& c) { c.queue_chunk(bytes); });
  }

  void end(uint64_t id) override {
    with_exchange(id, [](Connection& c) { c.queue_end(); });
  }

  void abort(uint64_t id) override {
    with_exchange(id, [](Connection& c) {
      c.exchange.aborted = true;
      c.wake();
    });
  }

  void on_disconnect(uint64_t id, std::function<void()> callback) override {
    asio::post(io, [this, id, callback = std::move(callback)]() mutable {
      const auto found = exchanges.find(id);
      if (found == exchanges.end()) {
        callback();
      } else {
        found->second->exchange.on_disconnect = std::move(callback);
      }
    });
  }

  // --- a connection's life ---

  HttpResponse error_response(int status, std::string_view message) const {
    HttpResponse response = options.make_error(status, message);
    response.close = true;
    return response;
  }

  void start_exchange(Connection& c) {
    c.idle = false;
    c.deadline = kNever;
    c.exchange = Exchange{};
    c.exchange.id = ++last_id;
    exchanges[c.exchange.id] = &c;
  }

  // Reads a request and answers it. True if another may follow.
  asio::awaitable<bool> serve_one(Connection& c) {
    HttpRequestParser parser(options.limits);
    const HttpParse parsed = co_await c.receive(parser);
    const bool silent = c.idle;
    if (parsed == HttpParse::kNeedMore && (silent || !c.timed_out)) co_return false;
    start_exchange(c);
    Exchange& x = c.exchange;
    if (parsed == HttpParse::kDone) {
      HttpRequest request = parser.take();
      x.head_only = request.method == "HEAD";
      x.http11 = request.http11;
      x.keep_alive = request.keep_alive && !draining;
      handler(std::move(request), Responder(this, x.id));
    } else {
      const bool failed = parsed == HttpParse::kFailed;
      c.timed_out = false;
      HttpResponse response = failed ? error_response(parser.error_status(), parser.error_message())
                                     : error_response(408, "the request did not come in time");
      c.queue_response(response, draining);
    }
    const bool whole = co_await c.answer();
    exchanges.erase(x.id);
    if (!whole) c.give_up();
    x.on_disconnect = nullptr;
    if (!whole) co_return false;
    if (x.keep_alive) co_return true;
    co_await c.linger();
    co_return false;
  }

  asio::awaitable<void> serve(Connection& c) {
    try {
      bool again = true;
      while (again && !c.closing && !(draining && c.in.empty())) again = co_await serve_one(c);
    } catch (const std::exception& error) {  // out of memory, most likely: this connection's end
      log_error("http: connection dropped: {}", error.what());
    }
    exchanges.erase(c.exchange.id);
    c.give_up();
    c.close();
    co_await c.finish_reading();
  }

  // --- accepting ---

  bool close_longest_idle() {
    Connection* oldest = nullptr;
    for (auto& [id, c] : connections) {
      if (!c->idle || c->closing || !c->in.empty()) continue;
      if (oldest == nullptr || c->deadline < oldest->deadline) oldest = c.get();
    }
    if (oldest != nullptr) oldest->close();
    return oldest != nullptr;
  }

  void refuse(tcp::socket& socket) const {
    const HttpResponse response = error_response(503, "too many connections, try again later");
    std::string bytes = http_head(503, response.content_type, false, {{"Retry-After", "1"}});
    bytes += fmt::format("Content-Length: {}\r\n\r\n{}", response.body.size(), response.body);
    error_code ignored;
    socket.non_blocking(true, ignored);
    socket.write_some(asio::buffer(bytes), ignored);
  }

  void add(tcp::socket socket) {
    error_code ignored;
    socket.set_option(tcp::no_delay(true), ignored);
    const uint64_t id = ++last_id;
    Connection& c =
        *(connections[id] = std::make_unique<Connection>(std::move(socket), id, options.limits));
    asio::co_spawn(io, serve(c), [this, id](const std::exception_ptr&) {
      connections.erase(id);
      if (draining) ticker.cancel();
    });
    if (connections.size() == 1) ticker.cancel();  // it sleeps while there is nothing to watch
  }

  asio::awaitable<void> accept_loop() {
    while (acceptor.is_open()) {
      error_code error;
      tcp::socket socket(io);
      co_await acceptor.async_accept(socket, asio::redirect_error(asio::use_awaitable, error));
      if (!acceptor.is_open()) co_return;
      if (error) {  // most likely out of file descriptors
        log_warn("http: cannot accept a connection: {}", error.message());
        asio::steady_timer pause(io, std::chrono::milliseconds(100));
        co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
        continue;
      }
      const bool full = connections.size() >= static_cast<size_t>(options.limits.connections_max);
      if (full && !close_longest_idle()) {
        refuse(socket);
      } else {
        add(std::move(socket));
      }
    }
  }

  // --- time ---

  void tick() {
    const HttpTime now = HttpClock::now();
    const auto comment_after = std::chrono::duration<double>(options.limits.comment_seconds);
    for (auto& [id, c] : connections) {
      Exchange& x = c->exchange;
      if (now >= c->deadline) {
        c->deadline = kNever;
        c->timed_out = true;
        if (x.writing_bytes > 0) c->close();
        c->wake();
      } else if (x.streaming && !x.ended && !x.comment.empty() &&
                 now - x.silent_since >= comment_after) {
        c->queue_chunk(x.comment);
      }
    }
    if (draining && now >= drain_deadline) end_drain(now);
  }

  // First lets the handler finish its streams with an error event, a second later closes all.
  void end_drain(HttpTime now) {
    if (!drain_deadline_told) {
      drain_deadline_told = true;
      drain_deadline = now + std::chrono::seconds(1);
      if (options.on_drain_deadline) options.on_drain_deadline();
      return;
    }
    drain_deadline = kNever;
    for (auto& [id, c] : connections) c->close();
  }

  asio::awaitable<void> tick_loop() {
    while (!draining || !connections.empty()) {
      error_code ignored;
      ticker.expires_at(connections.empty() && !draining ? kNever : HttpClock::now() + kTick);
      co_await ticker.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
      tick();
    }
    stop_event.close();
  }

  // --- stopping ---

  asio::awaitable<void> stop_loop() {
    uint64_t stops = 0;
    while (stop_event.is_open()) {
      uint64_t count = 0;
      error_code error;
      co_await asio::async_read(stop_event, asio::buffer(&count, sizeof count),
                                asio::redirect_error(asio::use_awaitable, error));
      if (error) co_return;
      stops += count;
      begin_drain();
      if (stops > 1) {
        drain_deadline_told = true;
        drain_deadline = HttpClock::now();
        if (options.on_drain_deadline) options.on_drain_deadline();
      }
    }
  }

  void begin_drain() {
    if (draining) return;
    draining = true;
    drain_deadline = after(options.limits.drain_seconds);
    error_code ignored;
    acceptor.close(ignored);
    for (auto& [id, c] : connections) {
      if (c->idle) c->close();
    }
    ticker.cancel();
  }

  const HttpOptions options;
  const HttpHandler handler;
  asio::io_context io{1};
  tcp::acceptor acceptor;
  asio::steady_timer ticker;
  asio::posix::stream_descriptor stop_event;
  int stop_fd = -1;  // the same, for stop()
  std::unordered_map<uint64_t, std::unique_ptr<Connection>> connections;
  std::unordered_map<uint64_t, Connection*> exchanges;
  uint64_t last_id = 0;
  bool draining = false;
  bool drain_deadline_told = false;
  HttpTime drain_deadline = kNever;
};

Result<std::unique_ptr<HttpServer>> HttpServer::create(HttpOptions options, HttpHandler handler) {
  MK_CHECK(options.make_error != nullptr, "http: make_error is not set");
  if (options.port < 0 || options.port > 65535) {
    return fail(ErrorCode::kUsage, "port is {}, expected 0 to 65535", options.port);
  }
  auto impl = std::make_unique<Impl>(std::move(options), std::move(handler));
  MK_ASSIGN(const tcp::endpoint at, resolve(impl->io, impl->options.host, impl->options.port));
  MK_TRY(listen_on(impl->acceptor, at, impl->options.host));
  const int event = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  // stop() writes to a descriptor of its own: Asio closes the other one when the drain is over.
  const int event_for_stop = event < 0 ? -1 : ::dup(event);
  if (event_for_stop < 0) {
    if (event >= 0) ::close(event);
    return fail(ErrorCode::kFailed, "cannot make an event descriptor: too many open files?");
  }
  impl->stop_event.assign(event);
  impl->stop_fd = event_for_stop;
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

HttpServer::~HttpServer() { ::close(impl_->stop_fd); }

uint16_t HttpServer::port() const {
  error_code ignored;
  return impl_->acceptor.local_endpoint(ignored).port();
}

void HttpServer::run() {
  Impl& impl = *impl_;
  asio::co_spawn(impl.io, impl.accept_loop(), [](const std::exception_ptr&) {});
  asio::co_spawn(impl.io, impl.tick_loop(), [](const std::exception_ptr&) {});
  asio::co_spawn(impl.io, impl.stop_loop(), [](const std::exception_ptr&) {});
  impl.io.run();
}

void HttpServer::stop() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(impl_->stop_fd, &one, sizeof one);
}

}  // namespace minke
