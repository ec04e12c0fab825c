#pragma once
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "minke/server/generator.h"

namespace minke {

/// What a scripted generator does with every request.
struct Script {
  std::vector<int32_t> tokens;
  FinishReason finish = FinishReason::kStop;  ///< after the tokens
  bool endless = false;                       ///< repeats the tokens until cancelled or max_tokens
  std::chrono::microseconds per_token{0};
  int refuse_from = 1 << 30;  ///< submit() number (from 0) that is refused, and all after it
  ErrorCode refusal = ErrorCode::kFailed;

  static std::vector<int32_t> bytes(const std::string& text) {
    std::vector<int32_t> ids;
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
    return ids;
  }
};

/// A Generator without a model: plays a script to every request, in its own thread like an Engine
/// or, `inline_events`, inside submit() (which the contract of Generator allows).
class ScriptedGenerator final : public Generator {
 public:
  explicit ScriptedGenerator(Script script, bool inline_events = false)
      : script_(std::move(script)), inline_events_(inline_events) {
    if (!inline_events) thread_ = std::thread([this] { loop(); });
  }
  ~ScriptedGenerator() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    if (thread_.joinable()) thread_.join();
  }

  Result<uint64_t> submit(Request request, TokenSink sink) override {
    uint64_t id = 0;
    {
      const std::lock_guard lock(mutex_);
      if (num_submitted_ >= script_.refuse_from) {
        return fail(script_.refusal, "the script refuses request {}", num_submitted_);
      }
      ++num_submitted_;
      id = ++last_id_;
      requests_.push_back(request);
      live_[id] = Live{std::move(request), std::move(sink), 0, false};
    }
    changed_.notify_all();
    if (inline_events_) {
      while (step_one(id)) {
      }
    }
    return id;
  }

  void cancel(uint64_t id) override {
    const std::lock_guard lock(mutex_);
    if (const auto found = live_.find(id); found != live_.end()) {
      found->second.cancelled = true;
      ++num_cancelled_;
    }
  }

  EngineStats stats() const override {
    const std::lock_guard lock(mutex_);
    EngineStats stats;
    stats.running = static_cast<int>(live_.size());
    stats.generated_tokens = num_tokens_;
    return stats;
  }

  int num_cancelled() const {
    const std::lock_guard lock(mutex_);
    return num_cancelled_;
  }
  std::vector<Request> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }
  void forget_requests() {
    const std::lock_guard lock(mutex_);
    requests_.clear();
  }
  /// Waits until nothing generates any more; false if that does not happen.
  bool wait_idle(double seconds = 5) const {
    for (int i = 0; i < seconds * 200; ++i) {
      if (stats().running == 0) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return false;
  }

 private:
  struct Live {
    Request request;
    TokenSink sink;
    size_t num_sent = 0;
    bool cancelled = false;
  };

  TokenEvent next_event(Live& live) {
    TokenEvent event;
    const size_t max_tokens = static_cast<size_t>(live.request.max_tokens);
    const bool ran_out = !script_.endless && live.num_sent >= script_.tokens.size();
    if (live.cancelled || ran_out || script_.tokens.empty()) {
      event.finish = live.cancelled ? FinishReason::kCancelled : script_.finish;
      if (*event.finish == FinishReason::kFailed) event.error = "out of KV pages";
      return event;
    }
    event.token = script_.tokens[live.num_sent++ % script_.tokens.size()];
    ++num_tokens_;
    if (live.request.num_top_logprobs >= 0) event.logprob = -0.25f;
    for (int i = 0; i < live.request.num_top_logprobs; ++i) {
      event.top_logprobs.emplace_back(65 + i, -0.25f - static_cast<float>(i));
    }
    if (live.num_sent >= max_tokens) event.finish = FinishReason::kLength;
    return event;
  }

  // Sends one event of that request; false if that was the last one.
  bool step_one(uint64_t id) {
    TokenEvent event;
    TokenSink sink;
    {
      const std::lock_guard lock(mutex_);
      const auto found = live_.find(id);
      if (found == live_.end()) return false;
      event = next_event(found->second);
      sink = found->second.sink;
    }
    if (!event.finish) {
      sink(event);
      return true;
    }
    {
      const std::lock_guard lock(mutex_);
      live_.erase(id);
    }
    sink(event);
    return false;
  }

  void loop() {
    for (;;) {
      std::vector<uint64_t> ids;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return stopping_ || !live_.empty(); });
        if (stopping_ && live_.empty()) return;
        for (auto& [id, live] : live_) {
          if (stopping_) live.cancelled = true;
          ids.push_back(id);
        }
      }
      for (const uint64_t id : ids) step_one(id);
      if (script_.per_token.count() > 0) std::this_thread::sleep_for(script_.per_token);
    }
  }

  const Script script_;
  const bool inline_events_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<uint64_t, Live> live_;
  std::vector<Request> requests_;
  uint64_t last_id_ = 0;
  int num_submitted_ = 0;
  int num_cancelled_ = 0;
  int64_t num_tokens_ = 0;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace minke
