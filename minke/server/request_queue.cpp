#include "minke/server/request_queue.h"

#include <utility>

namespace minke {

RequestQueue::RequestQueue(std::function<void(QueuedRequest)> work)
    : work_(std::move(work)), worker_([this] { run(); }) {}

RequestQueue::~RequestQueue() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  worker_.join();
}

bool RequestQueue::push(QueuedRequest& request) {
  {
    const std::lock_guard lock(mutex_);
    const size_t bytes = request.request.body.size();
    // A body larger than the whole limit is still taken when nothing else waits.
    if (waiting_.size() >= kRequestsMax || (bytes_ > 0 && bytes_ + bytes > kBytesMax)) return false;
    bytes_ += bytes;
    waiting_.push_back(std::move(request));
  }
  changed_.notify_one();
  return true;
}

void RequestQueue::run() {
  for (;;) {
    QueuedRequest request;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
      if (stopping_) return;
      request = std::move(waiting_.front());
      waiting_.pop_front();
      bytes_ -= request.request.body.size();
    }
    work_(std::move(request));
  }
}

}  // namespace minke
