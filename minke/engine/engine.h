#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "minke/base/result.h"
#include "minke/dtype/dtype.h"
#include "minke/engine/engine_config.h"
#include "minke/engine/request.h"

namespace minke {

class Device;
class Model;

/// What an engine did so far, for /health, metrics and tests. Counters only rise.
struct EngineStats {
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;  ///< of the prompts' tokens, those found in the prefix cache
  int64_t generated_tokens = 0;
  int64_t drafted_tokens = 0;       ///< guessed ahead
  int64_t accepted_tokens = 0;      ///< of these, those that were drawn afterwards
  int64_t mtp_drafted_tokens = 0;   ///< of drafted_tokens, those of the model's MTP module
  int64_t mtp_accepted_tokens = 0;  ///< of these, those that were drawn afterwards
  int64_t steps = 0;
  int running = 0;
  int waiting = 0;
  int64_t kv_tokens_used = 0;  ///< pages that sequences hold; idle cached ones are not among them
  int64_t kv_tokens_total = 0;
};

/// Generates for many requests at once: continuous batching over a paged KV cache on one thread
/// that owns model and cache. A step is: schedule, run, postprocess.
///
/// Life of a request: 1. submit() checks it and queues it; 2. the scheduler admits it when a slot
/// and pages are free; what it shares with earlier texts is in the cache (PrefixCache), the rest of
/// its prompt is read in chunks, beside the others' tokens; 3. each step draws
/// one token and hands it to the sink, and further ones where its guesses of them were right (what
/// is drawn does not depend on how the logits came about, so guessing changes no token); 4. a stop
/// token, the length, cancel() or the destructor ends it, the sink gets the event with `finish`,
/// its pages are free again.
///
/// submit(), cancel() and stats() may be called from any thread, also from a sink.
class Engine {
 public:
  /// `device` and `model` must outlive the engine. Fails with kWillNotFit or kUsage when the config
  /// cannot work with the model, e.g. a context longer than the model's.
  static Result<std::unique_ptr<Engine>> create(const Device& device, const Model& model,
                                                const EngineConfig& config);
  /// Cancels what still runs and joins the thread.
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  using RequestId = uint64_t;

  /// Queues a request. Errors, before anything runs: kUsage for an empty prompt or ids out of
  /// range; kWillNotFit when prompt + max_tokens exceed the context, with both numbers; kFailed
  /// when too many requests wait.
  Result<RequestId> submit(Request request, TokenSink sink);

  /// Ends a request at the next step (between two chunks of a long prompt, too). Its sink gets
  /// kCancelled unless it has ended already; an unknown id is ignored.
  void cancel(RequestId id);

  EngineStats stats() const;
  const EngineConfig& config() const { return config_; }

  /// The whole of a finished generation.
  struct Generated {
    std::vector<int32_t> tokens;
    std::vector<float> logprobs;  ///< one a token, if the request asked for them
    FinishReason finish = FinishReason::kStop;
    int64_t num_cached = 0;  ///< tokens of the prompt that were in the prefix cache
    std::string error;
  };
  /// submit() and wait for the end. Not to be called from a sink.
  Result<Generated> generate(Request request);

 private:
  struct Impl;
  explicit Engine(std::unique_ptr<Impl> impl, const EngineConfig& config);
  std::unique_ptr<Impl> impl_;
  EngineConfig config_;
};

}  // namespace minke
