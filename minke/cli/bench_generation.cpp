#include "minke/cli/bench_generation.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>

#include "minke/base/clock.h"
#include "minke/base/random.h"

namespace minke {
namespace {

// What the sinks of one repetition tell. Everything is guarded by `mutex`.
struct Progress {
  std::mutex mutex;
  std::condition_variable changed;
  int started = 0;  // sequences with a first token
  int finished = 0;
  int64_t tokens = 0;
  double all_started_at = 0;
  int64_t tokens_at_start = 0;
  double finished_at = 0;
  std::string error;

  void take(const TokenEvent& event, bool& has_token, int sequences) {
    const double now = seconds_now();
    const std::lock_guard lock(mutex);
    if (event.token) {
      ++tokens;
      if (!has_token && ++started == sequences) {
        all_started_at = now;
        tokens_at_start = tokens;
      }
      has_token = true;
    }
    if (!event.finish) return;
    if (*event.finish == FinishReason::kFailed) error = event.error;
    finished_at = now;
    ++finished;
    changed.notify_one();
  }
};

std::vector<int32_t> random_ids(Random& random, int count, int64_t vocab_size) {
  std::vector<int32_t> ids(static_cast<size_t>(count));
  for (int32_t& id : ids) {
    id = static_cast<int32_t>(random.below(static_cast<uint64_t>(vocab_size)));
  }
  return ids;
}

// Submits one request a sequence and waits for all of them.
Result<void> run_requests(Engine& engine, const std::vector<Request>& requests,
                          const BenchWork& work, Progress& progress) {
  const int sequences = static_cast<int>(requests.size());
  std::vector<Engine::RequestId> ids;
  std::vector<std::unique_ptr<bool>> flags;
  Result<void> result;
  for (const Request& request : requests) {
    flags.push_back(std::make_unique<bool>(false));
    bool& flag = *flags.back();
    const Result<Engine::RequestId> id =
        engine.submit(request, [&progress, &flag, sequences](const TokenEvent& event) {
          progress.take(event, flag, sequences);
        });
    if (!id) {
      result = pass_on(id);
      break;
    }
    ids.push_back(*id);
  }
  bool cancelled = false;
  std::unique_lock lock(progress.mutex);
  while (progress.finished < static_cast<int>(ids.size())) {
    progress.changed.wait_for(lock, std::chrono::milliseconds(50));
    const bool stop = !result || (work.should_stop && work.should_stop());
    if (!stop || cancelled) continue;
    cancelled = true;
    lock.unlock();
    for (const Engine::RequestId id : ids) engine.cancel(id);
    lock.lock();
  }
  if (!result) return result;
  if (cancelled) return fail(ErrorCode::kInterrupted, "interrupted");
  if (!progress.error.empty()) return fail(ErrorCode::kFailed, "{}", progress.error);
  return {};
}

Result<std::unique_ptr<Engine>> bench_engine(const LoadedModel& model, int context, int sequences) {
  EngineConfig config = model.engine_config;
  if (context > config.context_tokens) {
    return fail(ErrorCode::kWillNotFit,
                "depth and tokens need {} tokens, the context has {}; give fewer or a larger --ctx",
                context, config.context_tokens);
  }
  config.context_tokens = context;
  config.sequences_max = sequences;
  config.prefix_cache = false;  // every repetition computes its whole prompt
  config.kv_tokens = static_cast<int64_t>((context + 63) / 64 * 64) * sequences;
  return model.make_engine(config);
}

Request greedy_request(std::vector<int32_t> prompt, int max_tokens) {
  Request request;
  request.prompt = std::move(prompt);
  request.max_tokens = max_tokens;
  request.sampling.temperature = 0;  // and no stop tokens: all of them are generated
  return request;
}

}  // namespace

Result<std::vector<BenchRun>> bench_decode(const LoadedModel& model, const BenchWork& work) {
  const int prompt_tokens = std::max(1, work.depth);
  MK_ASSIGN(const std::unique_ptr<Engine> engine,
            bench_engine(model, prompt_tokens + work.tokens + 1, work.sequences));
  const int64_t vocab_size = model.model->config().vocab_size;
  Random random(work.seed);
  std::vector<BenchRun> runs;
  for (int repeat = 0; repeat <= work.repeats; ++repeat) {
    std::vector<Request> requests;
    for (int i = 0; i < work.sequences; ++i) {
      requests.push_back(
          greedy_request(random_ids(random, prompt_tokens, vocab_size), work.tokens + 1));
    }
    Progress progress;
    MK_TRY(run_requests(*engine, requests, work, progress));
    if (repeat == 0) continue;
    const auto tokens = static_cast<double>(progress.tokens - progress.tokens_at_start);
    BenchRun run;
    run.seconds = progress.finished_at - progress.all_started_at;
    run.tokens_per_second = tokens / run.seconds;
    run.steps = work.tokens;
    runs.push_back(run);
  }
  return runs;
}

Result<std::vector<BenchRun>> bench_prefill(const LoadedModel& model, const BenchWork& work) {
  const int context = work.depth + work.tokens + 1;
  MK_ASSIGN(const std::unique_ptr<Engine> engine, bench_engine(model, context, 1));
  const int64_t vocab_size = model.model->config().vocab_size;
  Random random(work.seed);
  std::vector<BenchRun> runs;
  for (int repeat = 0; repeat <= work.repeats; ++repeat) {
    // The time of the tokens beyond `depth` is the difference of two prompts with one beginning.
    const std::vector<int32_t> prompt = random_ids(random, work.depth + work.tokens, vocab_size);
    double seconds_before = 0;
    double seconds = 0;
    for (const bool is_whole : {false, true}) {
      const int length = is_whole ? work.depth + work.tokens : work.depth;
      if (length == 0) continue;
      Progress progress;
      const double start = seconds_now();
      MK_TRY(run_requests(*engine, {greedy_request({prompt.begin(), prompt.begin() + length}, 1)},
                          work, progress));
      (is_whole ? seconds : seconds_before) = progress.all_started_at - start;
    }
    if (repeat == 0) continue;
    BenchRun run;
    run.seconds = std::max(seconds - seconds_before, 1e-9);
    run.tokens_per_second = work.tokens / run.seconds;
    run.steps = 1;
    runs.push_back(run);
  }
  return runs;
}

}  // namespace minke
