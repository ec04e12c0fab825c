#pragma once
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <charconv>
#include <string>
#include <utility>

namespace minke {

/// A raw TCP client on loopback that reads HTTP answers with its own few lines, so that the server
/// is not tested by its own parser.
class SocketClient {
 public:
  struct Answer {
    int status = 0;
    std::string head;
    std::string body;
    bool whole = false;
  };

  explicit SocketClient(uint16_t port, int receive_buffer = 0) {
    fd_ = ::socket(AF_INET, SOCK_STREAM, 0);
    if (receive_buffer > 0) {
      ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    }
    const timeval patience{20, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  ~SocketClient() { close(); }
  SocketClient(SocketClient&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)),
        connected_(other.connected_),
        in_(std::move(other.in_)) {}

  bool connected() const { return connected_; }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  void shutdown_send() { ::shutdown(fd_, SHUT_WR); }
  /// False when the server has closed.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }
  /// Reads until `text` has come; everything up to and including it, or what came before the end.
  std::string read_until(std::string_view text) {
    size_t at;
    while ((at = in_.find(text)) == std::string::npos) {
      if (!receive()) return std::exchange(in_, {});
    }
    return take(at + text.size());
  }
  std::string read_to_end() {
    while (receive()) {
    }
    return std::exchange(in_, {});
  }
  Answer read_answer(bool has_body = true) {
    Answer answer;
    answer.head = read_until("\r\n\r\n");
    if (!answer.head.ends_with("\r\n\r\n")) return answer;
    answer.status = std::atoi(answer.head.substr(9, 3).c_str());
    const std::string length = header(answer.head, "Content-Length");
    if (header(answer.head, "Transfer-Encoding") == "chunked") {
      answer.whole = read_chunks(answer.body);
    } else if (has_body && !length.empty()) {
      const auto size = static_cast<size_t>(std::stoul(length));
      while (in_.size() < size && receive()) {
      }
      answer.whole = in_.size() >= size;
      answer.body = take(std::min(size, in_.size()));
    } else {
      answer.whole = true;
    }
    return answer;
  }
  Answer get(const std::string& path, const std::string& more = "") {
    send("GET " + path + " HTTP/1.1\r\nHost: localhost\r\n" + more + "\r\n");
    return read_answer();
  }
  void send_post(const std::string& path, const std::string& body, const std::string& more = "") {
    send("POST " + path + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" +
         more + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
  }
  Answer post(const std::string& path, const std::string& body, const std::string& more = "") {
    send_post(path, body, more);
    return read_answer();
  }

  static std::string header(const std::string& head, const std::string& name) {
    const size_t at = head.find("\r\n" + name + ": ");
    if (at == std::string::npos) return "";
    const size_t begin = at + name.size() + 4;
    return head.substr(begin, head.find("\r\n", begin) - begin);
  }

 private:
  bool receive() {
    char bytes[16384];
    const ssize_t count = ::recv(fd_, bytes, sizeof bytes, 0);
    if (count > 0) in_.append(bytes, static_cast<size_t>(count));
    return count > 0;
  }
  std::string take(size_t count) {
    std::string out = in_.substr(0, count);
    in_.erase(0, count);
    return out;
  }
  bool read_chunks(std::string& body) {
    for (;;) {
      const std::string line = read_until("\r\n");
      size_t size = 0;
      const auto [at, error] = std::from_chars(line.data(), line.data() + line.size(), size, 16);
      if (error != std::errc() || at == line.data()) return false;
      while (in_.size() < size + 2 && receive()) {
      }
      if (in_.size() < size + 2) return false;
      body += take(size);
      if (take(2) != "\r\n") return false;
      if (size == 0) return true;
    }
  }

  int fd_ = -1;
  bool connected_ = false;
  std::string in_;
};

}  // namespace minke
