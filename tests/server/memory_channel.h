#pragma once
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>

#include "minke/base/check.h"
#include "minke/server/api.h"
#include "minke/server/http_parser.h"

namespace minke {

/// Keeps answers in memory instead of sending them: the request path without sockets.
class MemoryChannel final : public ResponseChannel {
 public:
  struct Reply {
    int status = 0;
    std::string content_type;
    std::vector<HttpHeader> headers;
    std::string body;
    bool done = false;
    bool aborted = false;
    int num_answers = 0;
    std::function<void()> on_disconnect;
  };

  void send(uint64_t exchange, HttpResponse response) override {
    update(exchange, [&](Reply& reply) {
      reply.status = response.status;
      reply.content_type = response.content_type;
      reply.headers = response.headers;
      reply.body = response.body;
      reply.done = true;
      ++reply.num_answers;
    });
  }
  void begin_stream(uint64_t exchange, HttpStreamHead head) override {
    update(exchange, [&](Reply& reply) {
      reply.status = 200;
      reply.content_type = head.content_type;
      reply.headers = head.headers;
      ++reply.num_answers;
    });
  }
  void write(uint64_t exchange, std::string bytes) override {
    update(exchange, [&](Reply& reply) { reply.body += bytes; });
  }
  void end(uint64_t exchange) override {
    update(exchange, [&](Reply& reply) { reply.done = true; });
  }
  void abort(uint64_t exchange) override {
    update(exchange, [&](Reply& reply) { reply.done = reply.aborted = true; });
  }
  void on_disconnect(uint64_t exchange, std::function<void()> callback) override {
    update(exchange, [&](Reply& reply) { reply.on_disconnect = std::move(callback); });
  }

  /// Hands the request to the api and waits for the end of its answer.
  Reply call(Api& api, HttpRequest request) {
    const uint64_t exchange = start(api, std::move(request));
    return wait(exchange);
  }
  uint64_t start(Api& api, HttpRequest request) {
    const uint64_t exchange = ++last_;
    api.handle(std::move(request), Responder(this, exchange));
    return exchange;
  }
  Reply wait(uint64_t exchange) {
    std::unique_lock lock(mutex_);
    const bool in_time =
        changed_.wait_for(lock, std::chrono::seconds(20), [&] { return replies_[exchange].done; });
    MK_CHECK(in_time, "test: no answer to exchange {}", exchange);
    return replies_[exchange];
  }
  /// Waits until the exchange can be broken off; what does so.
  std::function<void()> wait_streaming(uint64_t exchange) {
    std::unique_lock lock(mutex_);
    const bool in_time = changed_.wait_for(lock, std::chrono::seconds(20), [&] {
      return replies_[exchange].on_disconnect != nullptr;
    });
    MK_CHECK(in_time, "test: exchange {} does not run", exchange);
    return replies_[exchange].on_disconnect;
  }

 private:
  template <class F>
  void update(uint64_t exchange, F change) {
    {
      const std::lock_guard lock(mutex_);
      change(replies_[exchange]);
    }
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<uint64_t, Reply> replies_;
  uint64_t last_ = 0;
};

/// A POST of JSON as a client sends it.
inline HttpRequest json_post(std::string path, std::string body) {
  HttpRequest request;
  request.method = "POST";
  request.path = std::move(path);
  request.headers = {{"Host", "localhost:6465"}, {"Content-Type", "application/json"}};
  request.body = std::move(body);
  return request;
}

}  // namespace minke
