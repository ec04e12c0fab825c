#include <utility>

#include "minke/base/check.h"
#include "minke/server/http.h"

namespace minke {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}

void append(std::vector<HttpHeader>& headers, std::vector<HttpHeader>& more) {
  for (HttpHeader& header : more) headers.push_back(std::move(header));
  more.clear();
}

}  // namespace

const std::string* HttpRequest::header(std::string_view name) const {
  for (const HttpHeader& header : headers) {
    if (equal_ignoring_case(header.name, name)) return &header.value;
  }
  return nullptr;
}

Responder::Responder(Responder&& other) noexcept
    : channel_(std::exchange(other.channel_, nullptr)),
      exchange_(other.exchange_),
      state_(other.state_),
      headers_(std::move(other.headers_)) {}

Responder& Responder::operator=(Responder&& other) noexcept {
  std::swap(channel_, other.channel_);
  std::swap(exchange_, other.exchange_);
  std::swap(state_, other.state_);
  std::swap(headers_, other.headers_);
  return *this;
}

Responder::~Responder() {
  if (channel_ == nullptr || state_ == State::kDone) return;
  if (state_ == State::kStreaming) {
    channel_->abort(exchange_);
    return;
  }
  HttpResponse response;
  response.status = 500;
  response.body = R"({"error":{"message":"the server dropped the request","type":"server_error",)"
                  R"("param":null,"code":"internal_error"}})";
  send(std::move(response));
}

void Responder::add_header(std::string name, std::string value) {
  headers_.push_back({std::move(name), std::move(value)});
}

void Responder::send(HttpResponse response) {
  MK_CHECK(channel_ != nullptr && state_ == State::kWaiting, "responder: answered twice");
  state_ = State::kDone;
  append(response.headers, headers_);
  channel_->send(exchange_, std::move(response));
}

void Responder::begin_stream(HttpStreamHead head) {
  MK_CHECK(channel_ != nullptr && state_ == State::kWaiting, "responder: answered twice");
  state_ = State::kStreaming;
  append(head.headers, headers_);
  channel_->begin_stream(exchange_, std::move(head));
}

void Responder::write(std::string bytes) {
  MK_CHECK(state_ == State::kStreaming, "responder: write() outside a stream");
  if (!bytes.empty()) channel_->write(exchange_, std::move(bytes));
}

void Responder::end() {
  MK_CHECK(state_ == State::kStreaming, "responder: end() outside a stream");
  state_ = State::kDone;
  channel_->end(exchange_);
}

void Responder::on_disconnect(std::function<void()> callback) {
  MK_CHECK(channel_ != nullptr, "responder: on_disconnect() of an empty responder");
  channel_->on_disconnect(exchange_, std::move(callback));
}

std::string_view http_status_phrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 204:
      return "No Content";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 402:
      return "Payment Required";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 413:
      return "Payload Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 422:
      return "Unprocessable Entity";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Unknown";
  }
}

}  // namespace minke
