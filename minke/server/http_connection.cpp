#include "minke/server/http_connection.h"

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <ctime>

namespace minke {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr size_t kPipelineBytesMax = 64
                                     << 10;  // read ahead while an answer is made; then TCP waits
constexpr int64_t kLingerBytesMax = 32 << 20;
constexpr double kLingerSeconds = 2;

std::string date_now() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  std::array<char, 64> text{};
  std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &utc);
  return text.data();
}

bool is_header_safe(std::string_view value) {
  return std::none_of(value.begin(), value.end(),
                      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
}

}  // namespace

HttpTime after(double seconds) {
  return HttpClock::now() +
         std::chrono::duration_cast<HttpClock::duration>(std::chrono::duration<double>(seconds));
}

std::string http_head(int status, std::string_view content_type, bool keep_alive,
                      const std::vector<HttpHeader>& headers) {
  std::string head = fmt::format("HTTP/1.1 {} {}\r\nServer: minke\r\nDate: {}\r\n", status,
                                 http_status_phrase(status), date_now());
  if (!content_type.empty()) head += fmt::format("Content-Type: {}\r\n", content_type);
  head += "X-Content-Type-Options: nosniff\r\n";
  head += keep_alive ? "Connection: keep-alive\r\n" : "Connection: close\r\n";
  for (const HttpHeader& header : headers) {
    if (!is_header_safe(header.name) || !is_header_safe(header.value)) continue;
    head += fmt::format("{}: {}\r\n", header.name, header.value);
  }
  return head;
}

// --- reading ---

asio::awaitable<void> Connection::wait() {
  error_code ignored;
  signal_.expires_at(kNever);
  co_await signal_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
}

// One read at a time, also while an answer is made: that is how a leaving client is noticed. It
// outlives the coroutine's wait, so nothing ever has to be cancelled.
void Connection::start_read() {
  if (reading_ || peer_closed_ || closing) return;
  reading_ = true;
  socket.async_read_some(asio::buffer(chunk_), [this](const error_code& error, size_t bytes) {
    reading_ = false;
    in.append(chunk_.data(), bytes);
    if (error) peer_closed_ = true;
    wake();
  });
}

// Waits for more bytes; false when none will come.
asio::awaitable<bool> Connection::read_more() {
  const size_t before = in.size();
  while (in.size() == before && !peer_closed_ && !timed_out && !closing) {
    start_read();
    co_await wait();
  }
  co_return in.size() > before;
}

asio::awaitable<HttpParse> Connection::receive(HttpRequestParser& parser) {
  bool in_body = false;
  idle = true;
  deadline = after(limits.idle_seconds);
  for (;;) {
    const HttpParse parsed = in.empty() ? HttpParse::kNeedMore : parser.feed(in);
    if (parsed != HttpParse::kNeedMore) co_return parsed;
    if (parser.header_done() && !in_body) {
      in_body = true;
      idle = false;
      if (parser.wants_continue() && in.empty()) {
        exchange.out = "HTTP/1.1 100 Continue\r\n\r\n";
        co_await write_out();
      }
      deadline = after(limits.body_seconds);
    } else if (idle && !in.empty()) {
      idle = false;
      deadline = after(limits.header_seconds);
    }
    const bool more = co_await read_more();
    if (!more) co_return HttpParse::kNeedMore;
  }
}

asio::awaitable<void> Connection::finish_reading() {
  while (reading_) co_await wait();
}

// --- writing ---

// Writes what is queued. The deadline is for each piece that the client takes, not for the whole.
asio::awaitable<void> Connection::write_out() {
  const std::string bytes = std::exchange(exchange.out, {});
  size_t done = 0;
  while (done < bytes.size() && !closing) {
    error_code error;
    exchange.writing_bytes = bytes.size() - done;
    deadline = after(limits.write_seconds);
    done += co_await socket.async_write_some(asio::buffer(bytes.data() + done, bytes.size() - done),
                                             asio::redirect_error(asio::use_awaitable, error));
    deadline = kNever;
    if (error) peer_closed_ = true;
    if (error || timed_out) break;
  }
  exchange.writing_bytes = 0;
}

asio::awaitable<bool> Connection::answer() {
  for (;;) {
    // A client that has sent its FIN counts as gone, as it does for nginx.
    if (peer_closed_ || timed_out || closing || exchange.aborted) co_return false;
    if (!exchange.out.empty()) {
      co_await write_out();
      continue;
    }
    if (exchange.ended) co_return true;
    if (in.size() < kPipelineBytesMax) start_read();
    co_await wait();
  }
}

asio::awaitable<void> Connection::linger() {
  error_code ignored;
  socket.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  deadline = after(kLingerSeconds);
  int64_t dropped = 0;
  while (dropped < kLingerBytesMax) {
    dropped += static_cast<int64_t>(in.size());
    in.clear();
    const bool more = co_await read_more();
    if (!more) break;
  }
}

void Connection::queue_response(const HttpResponse& response, bool draining) {
  Exchange& x = exchange;
  x.keep_alive = x.keep_alive && !response.close && !draining;
  x.out += http_head(response.status, response.content_type, x.keep_alive, response.headers);
  const bool has_body = response.status != 204;
  if (has_body) x.out += fmt::format("Content-Length: {}\r\n", response.body.size());
  x.out += "\r\n";
  if (has_body && !x.head_only) x.out += response.body;
  x.ended = true;
  wake();
}

void Connection::queue_stream_head(const HttpStreamHead& head, bool draining) {
  Exchange& x = exchange;
  x.streaming = true;
  x.chunked = x.http11;  // HTTP/1.0 clients read up to the connection's end
  x.keep_alive = x.keep_alive && x.chunked && !draining;
  x.comment = head.comment;
  x.silent_since = HttpClock::now();
  x.out += http_head(200, head.content_type, x.keep_alive, head.headers);
  x.out += "Cache-Control: no-cache\r\n";
  x.out += x.chunked ? "Transfer-Encoding: chunked\r\n\r\n" : "\r\n";
  wake();
}

void Connection::queue_chunk(std::string_view bytes) {
  Exchange& x = exchange;
  if (x.ended || x.aborted) return;
  x.silent_since = HttpClock::now();
  if (x.chunked) x.out += fmt::format("{:x}\r\n", bytes.size());
  x.out += bytes;
  if (x.chunked) x.out += "\r\n";
  // A client that does not read must cost neither memory nor compute: its generation is cancelled.
  if (static_cast<int64_t>(x.out.size() + x.writing_bytes) > limits.stream_buffer_bytes) {
    x.aborted = true;
    close();
  }
  wake();
}

void Connection::queue_end() {
  if (exchange.chunked) exchange.out += "0\r\n\r\n";
  exchange.ended = true;
  wake();
}

void Connection::give_up() {
  if (auto callback = std::exchange(exchange.on_disconnect, nullptr)) callback();
}

void Connection::close() {
  error_code ignored;
  closing = true;
  socket.close(ignored);
  wake();
}

}  // namespace minke
