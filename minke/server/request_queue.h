#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "minke/server/http.h"

namespace minke {

/// A request on its way to its endpoint.
struct QueuedRequest {
  int route_index = 0;
  HttpRequest request;
  Responder responder;
};

/// Hands requests from the server's thread to one worker, in order. Parsing, rendering and
/// tokenising 8 MiB takes about a second, during which nobody's stream may stand still; for a usual
/// request the hop costs some 10 us. One worker is enough: the engine behind it is the narrow
/// place.
class RequestQueue {
 public:
  static constexpr size_t kRequestsMax = 256;
  static constexpr size_t kBytesMax = size_t{64} << 20;  ///< of bodies that wait

  explicit RequestQueue(std::function<void(QueuedRequest)> work);
  /// Finishes what it works on and drops (500) what waits.
  ~RequestQueue();
  RequestQueue(const RequestQueue&) = delete;
  RequestQueue& operator=(const RequestQueue&) = delete;

  /// Takes the request, unless the queue is full: then it is left as it was and false returned.
  bool push(QueuedRequest& request);

 private:
  void run();

  const std::function<void(QueuedRequest)> work_;
  std::mutex mutex_;  // guards the next three
  std::deque<QueuedRequest> waiting_;
  size_t bytes_ = 0;
  bool stopping_ = false;
  std::condition_variable changed_;
  std::thread worker_;
};

}  // namespace minke
