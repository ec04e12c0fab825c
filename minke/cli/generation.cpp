#include "minke/cli/generation.h"

#include <condition_variable>
#include <deque>
#include <mutex>

#include "minke/base/clock.h"
#include "minke/text/stream_decoder.h"

namespace minke {
namespace {

constexpr std::chrono::milliseconds kPollInterval(50);

// Carries events from the engine's thread to ours. Every field but the lock is guarded by it.
class EventQueue {
 public:
  void push(const TokenEvent& event) {
    const std::lock_guard lock(mutex_);
    events_.push_back(event);
    ready_.notify_one();
  }
  // The next event, or nothing when none came for a while.
  std::optional<TokenEvent> pop() {
    std::unique_lock lock(mutex_);
    ready_.wait_for(lock, kPollInterval, [&] { return !events_.empty(); });
    if (events_.empty()) return std::nullopt;
    TokenEvent event = std::move(events_.front());
    events_.pop_front();
    return event;
  }

 private:
  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<TokenEvent> events_;
};

}  // namespace

double TextResult::prefill_tokens_per_second() const {
  return first_token_seconds > 0
             ? static_cast<double>(prompt_tokens - cached_tokens) / first_token_seconds
             : 0;
}

double TextResult::decode_tokens_per_second() const {
  const double decode_seconds = seconds - first_token_seconds;
  if (token_ids.size() < 2 || decode_seconds <= 0) return 0;
  return static_cast<double>(token_ids.size() - 1) / decode_seconds;
}

std::string speed_text(const TextResult& result) {
  std::string cached;
  if (result.cached_tokens > 0) cached = fmt::format("{} of them cached, ", result.cached_tokens);
  std::string out =
      fmt::format("{} prompt tokens ({}{:.0f}/s), first token after {:.2f} s, {} tokens",
                  result.prompt_tokens, cached, result.prefill_tokens_per_second(),
                  result.first_token_seconds, result.token_ids.size());
  if (result.decode_tokens_per_second() > 0) {
    out += fmt::format(" at {:.1f} tokens/s", result.decode_tokens_per_second());
  }
  return out;
}

Result<TextResult> generate_text(Engine& engine, const Tokenizer& tokenizer, TextRequest request,
                                 const std::function<void(std::string_view)>& on_text) {
  TextResult result;
  result.prompt_tokens = static_cast<int64_t>(request.prompt.size());
  StreamDecoder decoder(tokenizer, StreamDecoderOptions{.stops = request.stops});
  Request engine_request;
  engine_request.prompt = std::move(request.prompt);
  engine_request.max_tokens = request.max_tokens;
  engine_request.stop_tokens = tokenizer.end_of_generation_ids();
  engine_request.sampling = request.sampling;

  const auto emit = [&](const StreamPiece& piece) {
    result.text += piece.text;
    if (!piece.text.empty() && on_text) on_text(piece.text);
    return piece.stopped();
  };
  EventQueue queue;  // outlives the request: the loop below ends with the request's last event
  const double start = seconds_now();
  MK_ASSIGN(const Engine::RequestId id,
            engine.submit(std::move(engine_request),
                          [&queue](const TokenEvent& event) { queue.push(event); }));
  bool found_stop = false;
  bool cancelled = false;
  std::optional<TokenEvent> event;
  while (!event || !event->finish) {
    if (!cancelled && request.should_stop && request.should_stop()) {
      cancelled = true;
      engine.cancel(id);
    }
    event = queue.pop();
    if (!event || !event->token || found_stop) continue;
    result.seconds = seconds_now() - start;
    result.cached_tokens = event->num_cached;
    if (result.token_ids.empty()) result.first_token_seconds = result.seconds;
    result.token_ids.push_back(*event->token);
    if (emit(decoder.feed(*event->token))) {
      found_stop = true;
      engine.cancel(id);
    }
  }
  emit(decoder.flush());
  result.finish = found_stop ? FinishReason::kStop : *event->finish;
  if (result.token_ids.empty()) {
    result.first_token_seconds = result.seconds = seconds_now() - start;
  }
  if (result.finish == FinishReason::kFailed) return fail(ErrorCode::kFailed, "{}", event->error);
  return result;
}

}  // namespace minke
