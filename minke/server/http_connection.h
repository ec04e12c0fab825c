#pragma once
#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "minke/server/http_parser.h"

// Private to http.cpp and http_connection.cpp: it shows Asio. All of it belongs to the server's
// thread.
namespace minke {

using HttpClock = std::chrono::steady_clock;
using HttpTime = HttpClock::time_point;
inline constexpr HttpTime kNever = HttpTime::max();

/// The moment `seconds` from now.
HttpTime after(double seconds);

/// Status line and headers up to, but without, length and blank line. Headers of ours that hold
/// control characters (a header injection) are left out.
std::string http_head(int status, std::string_view content_type, bool keep_alive,
                      const std::vector<HttpHeader>& headers);

/// One request and its answer.
struct Exchange {
  uint64_t id = 0;
  bool head_only = false;  ///< HEAD: the answer's head only
  bool http11 = true;
  bool keep_alive = true;
  bool streaming = false;
  bool chunked = false;
  bool ended = false;
  bool aborted = false;      ///< the answer cannot be finished
  std::string out;           ///< not yet written
  size_t writing_bytes = 0;  ///< being written
  std::string comment;
  HttpTime silent_since = kNever;
  std::function<void()> on_disconnect;
};

/// A client's socket and what is known of it. One coroutine drives it and sleeps on `signal_`;
/// whoever changes a field calls wake().
class Connection {
 public:
  Connection(boost::asio::ip::tcp::socket accepted, uint64_t number, const HttpLimits& http_limits)
      : id(number),
        limits(http_limits),
        socket(std::move(accepted)),
        signal_(socket.get_executor()) {}

  /// Reads until the parser has a request, is refused one, or (kNeedMore) no more will come.
  boost::asio::awaitable<HttpParse> receive(HttpRequestParser& parser);
  /// Writes the answer while it is made. True if it was written whole.
  boost::asio::awaitable<bool> answer();
  /// Says that nothing follows and drops what still comes for a while: closing at once would make
  /// TCP throw away the answer's last bytes.
  boost::asio::awaitable<void> linger();
  /// Waits for the read that is under way, after close().
  boost::asio::awaitable<void> finish_reading();

  /// Parts of an answer, not yet written. `draining`: say that the connection ends after it.
  void queue_response(const HttpResponse& response, bool draining);
  void queue_stream_head(const HttpStreamHead& head, bool draining);
  void queue_chunk(std::string_view bytes);
  void queue_end();
  /// Tells the handler that nobody waits for the answer.
  void give_up();

  void wake() { signal_.cancel(); }
  void close();

  const uint64_t id;
  const HttpLimits& limits;
  boost::asio::ip::tcp::socket socket;
  bool timed_out = false;
  bool closing = false;  ///< the server wants it gone
  bool idle = true;      ///< between two requests
  HttpTime deadline = kNever;
  std::string in;  ///< read, not parsed
  Exchange exchange;

 private:
  boost::asio::awaitable<void> wait();
  void start_read();
  boost::asio::awaitable<bool> read_more();
  boost::asio::awaitable<void> write_out();

  boost::asio::steady_timer signal_;  // cancelled to wake the coroutine
  std::array<char, 16 << 10> chunk_;
  bool reading_ = false;
  bool peer_closed_ = false;
};

}  // namespace minke
