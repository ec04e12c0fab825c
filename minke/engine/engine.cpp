#include "minke/engine/engine.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <unordered_set>

#include "minke/base/check.h"
#include "minke/engine/block_pool.h"
#include "minke/engine/model_runner.h"
#include "minke/engine/mtp_drafter.h"
#include "minke/engine/prefix_cache.h"
#include "minke/engine/sampler.h"
#include "minke/engine/scheduler.h"
#include "minke/engine/sequence.h"

namespace minke {

struct Engine::Impl {
  Impl(const Device& device, const Model& model, const EngineConfig& limits)
      : config(limits),
        parameters(model.parameters()),
        vocab_size(config.num_tokens > 0 ? config.num_tokens : model.config().vocab_size),
        pool(pages_for(limits.cache_tokens())),
        cache(pool),
        pages_differ_by_role(model.config().kv_pages(limits.kv_dtype).latent),
        mtp(model.config(), pool.num_pages(), vocab_size),
        runner(device, model, limits.kv_dtype, pool.num_pages()) {}

  void loop();
  bool take_commands();
  void end_cancelled(std::deque<EngineSequence>& sequences,
                     const std::unordered_set<RequestId>& ids);
  void step();
  std::vector<int> schedule();
  SchedulePlan plan() const;
  void admit();
  std::span<const int32_t> shareable(const EngineSequence& sequence) const;
  void remember(EngineSequence& sequence, int64_t begin);
  int32_t take_page();
  void guess(const std::vector<int>& num_rows);
  bool wants_mtp() const;
  ModelRunner::Rows rows_of(EngineSequence& sequence, int num_rows) const;
  void advance_all(EngineSequence& sequence, const Tensor& logits, int64_t logit_row);
  void learn(EngineSequence& sequence, int num_guessed, int num_right);
  void advance(EngineSequence& sequence, std::span<float> logits);
  void end(EngineSequence& sequence, FinishReason reason);
  void drop_ended();
  void publish();
  void settle();

  const EngineConfig config;
  const ParameterStore& parameters;
  const int64_t vocab_size;

  // The engine thread's own.
  BlockPool pool;
  PrefixCache cache;
  const bool pages_differ_by_role;
  uint64_t cached_version = 0;  // of the parameters that the cache was computed with
  MtpDrafter mtp;
  ModelRunner runner;
  Sampler sampler;
  std::deque<EngineSequence> running;  // in order of admission
  std::deque<EngineSequence> waiting;
  EngineStats counts;
  std::vector<std::pair<TokenSink, TokenEvent>> last_events;  // of sequences that ended this step

  // Shared, under `mutex`.
  std::mutex mutex;
  std::condition_variable wake;
  std::vector<EngineSequence> submitted;
  std::unordered_set<RequestId> cancelled;
  EngineStats published;
  RequestId next_id = 1;
  bool stopping = false;

  std::thread thread;  // last: runs loop()
};

// ---- the engine's thread ----

void Engine::Impl::loop() {
  flush_denormals();
  while (take_commands()) {
    if (running.empty() && waiting.empty()) continue;
    step();
    settle();
  }
  for (EngineSequence& sequence : running) end(sequence, FinishReason::kCancelled);
  for (EngineSequence& sequence : waiting) end(sequence, FinishReason::kCancelled);
  settle();
}

// Waits for work, moves what came in to `waiting` and ends what was cancelled. False: stop.
bool Engine::Impl::take_commands() {
  std::unordered_set<RequestId> ids;
  {
    std::unique_lock lock(mutex);
    wake.wait(lock, [&] {
      return stopping || !submitted.empty() || !cancelled.empty() || !running.empty() ||
             !waiting.empty();
    });
    for (EngineSequence& sequence : submitted) waiting.push_back(std::move(sequence));
    submitted.clear();
    std::swap(ids, cancelled);
    if (stopping) return false;
  }
  if (!ids.empty()) {
    end_cancelled(running, ids);
    end_cancelled(waiting, ids);
    settle();
  }
  return true;
}

void Engine::Impl::end_cancelled(std::deque<EngineSequence>& sequences,
                                 const std::unordered_set<RequestId>& ids) {
  for (EngineSequence& sequence : sequences) {
    if (ids.contains(sequence.id)) end(sequence, FinishReason::kCancelled);
  }
}

void Engine::Impl::step() {
  const std::vector<int> num_rows = schedule();
  guess(num_rows);
  std::vector<ModelRunner::Rows> rows;
  std::vector<size_t> taken;  // whose rows they are
  for (size_t i = 0; i < running.size(); ++i) {
    if (num_rows[i] == 0) continue;
    rows.push_back(rows_of(running[i], num_rows[i]));
    taken.push_back(i);
  }
  Tensor hidden;
  const Tensor logits = runner.run(rows, wants_mtp() ? &hidden : nullptr);
  std::vector<MtpDrafter::Rows> mtp_rows;
  int64_t row = 0, logit_row = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    EngineSequence& sequence = running[taken[i]];
    const auto num_all = static_cast<int64_t>(rows[i].tokens.size());
    const int64_t begin = rows[i].position;
    sequence.num_computed += num_rows[taken[i]];
    if (rows[i].num_logits > 0) advance_all(sequence, logits, logit_row);
    if (!sequence.ended) {
      mtp_rows.push_back({&sequence.mtp, sequence.tokens, &sequence.page_table, begin,
                          sequence.num_computed, row, rows[i].num_prompt});
    }
    row += num_all;
    logit_row += rows[i].num_logits;
  }
  if (hidden.defined()) mtp.guess(runner, hidden, mtp_rows);
  for (size_t i = 0; i < rows.size(); ++i) remember(running[taken[i]], rows[i].position);
  ++counts.steps;
}

// What the scheduler says. The pages of a waiting sequence's match count as not held: those that
// are idle are among the free ones, and those in use elsewhere make the plan only more careful.
SchedulePlan Engine::Impl::plan() const {
  std::vector<SequenceState> running_states, waiting_states;
  for (const EngineSequence& sequence : running) running_states.push_back(sequence.state());
  for (const EngineSequence& sequence : waiting) {
    if (static_cast<int>(waiting_states.size()) >= config.sequences_max) break;
    SequenceState state = sequence.state();
    state.num_computed = cache.match(shareable(sequence));
    waiting_states.push_back(state);
  }
  return plan_step(running_states, waiting_states, pool.num_free() + pool.num_idle(),
                   {config.sequences_max, config.chunk_tokens});
}

// The front of `waiting` runs from now on; what the cache has of it is its own.
void Engine::Impl::admit() {
  EngineSequence& sequence = running.emplace_back(std::move(waiting.front()));
  waiting.pop_front();
  sequence.num_computed = cache.attach(shareable(sequence), sequence.page_table);
  sequence.version = cached_version;
  sequence.mtp = {};
  if (sequence.num_cached >= 0) return;  // it was preempted, and is back
  sequence.num_cached = sequence.num_computed;
  counts.cached_tokens += sequence.num_cached;
}

int32_t Engine::Impl::take_page() {
  if (pool.num_free() == 0) cache.evict();
  const int32_t page = pool.take();
  mtp.forget(page);
  return page;
}

// The tokens whose pages a sequence may have from others, or give while it runs. Pages of latents
// differ in their last bits between rows that were read and rows that were generated: what a
// running sequence generated must not be exchanged for what another one has read.
std::span<const int32_t> Engine::Impl::shareable(const EngineSequence& sequence) const {
  const std::span<const int32_t> tokens(sequence.tokens);
  if (!pages_differ_by_role) return tokens;
  return tokens.first(std::min(tokens.size(), sequence.request.prompt.size()));
}

// Offers the cache the pages that the sequence's tokens from `begin` on have filled; at its end
// all.
void Engine::Impl::remember(EngineSequence& sequence, int64_t begin) {
  if (!config.prefix_cache || sequence.version != cached_version) return;
  int64_t num_tokens = sequence.num_computed;
  if (!sequence.ended) {
    num_tokens = std::min(num_tokens, static_cast<int64_t>(shareable(sequence).size()));
  }
  const bool late = sequence.ended && pages_differ_by_role;
  const bool fills = num_tokens / kernels::kPageTokens > begin / kernels::kPageTokens;
  if (fills || late) cache.insert(sequence.tokens, num_tokens, sequence.page_table);
}

// Asks the scheduler, moves sequences between `waiting` and `running`, and takes the pages.
std::vector<int> Engine::Impl::schedule() {
  if (cached_version != parameters.version()) {
    cache.clear();
    cached_version = parameters.version();
  }
  SchedulePlan next = plan();
  for (int i = 0; i < next.num_preempted; ++i) {
    pool.release(running.back().page_table);
    running.back().num_computed = 0;
    waiting.push_front(std::move(running.back()));
    running.pop_back();
  }
  for (int i = 0; i < next.num_admitted; ++i) admit();
  for (size_t i = 0; i < running.size(); ++i) {
    const int64_t wanted = pages_for(running[i].num_computed + next.num_rows[i]);
    while (static_cast<int64_t>(running[i].page_table.size()) < wanted) {
      running[i].page_table.push_back(take_page());
    }
  }
  return std::move(next.num_rows);
}

// Gives the sequences guesses of their next tokens while the step stays small: from five rows on a
// step takes about as much longer as it has rows more (docs/log.md).
void Engine::Impl::guess(const std::vector<int>& num_rows) {
  int spare = std::min(config.draft_tokens_max + 1, config.chunk_tokens);
  for (const int rows : num_rows) spare -= rows;
  for (EngineSequence& sequence : running) {
    if (spare <= 0) return;
    const SequenceState state = sequence.state();
    if (state.num_computed + 1 != state.num_tokens) continue;  // it reads its prompt
    // Only where it needs no further page and no token beyond its last.
    const int64_t room = std::min(state.num_pages * kernels::kPageTokens - state.num_tokens,
                                  sequence.request.max_tokens - sequence.num_generated() - 1);
    const auto count = static_cast<int>(std::min<int64_t>(spare, room));
    sequence.draft = sequence.lookup.guess(sequence.tokens, count);
    const std::optional<int32_t> next = sequence.mtp.guess_after(state.num_tokens);
    sequence.draft_is_mtps = sequence.draft.empty() && count > 0 && next;
    if (sequence.draft_is_mtps) sequence.draft = {*next};
    spare -= static_cast<int>(sequence.draft.size());
  }
}

// Whether the MTP module may guess for the step after this one, which has a row for each sequence.
bool Engine::Impl::wants_mtp() const {
  return mtp.pays() && static_cast<int>(running.size()) <= config.draft_tokens_max;
}

// The next `num_rows` tokens and, until advance_all(), the guessed ones after them.
ModelRunner::Rows Engine::Impl::rows_of(EngineSequence& sequence, int num_rows) const {
  const bool last = sequence.num_computed + num_rows == sequence.state().num_tokens;
  auto& tokens = sequence.tokens;
  tokens.insert(tokens.end(), sequence.draft.begin(), sequence.draft.end());
  const size_t num_drafted = sequence.draft.size();
  return {std::span<const int32_t>(tokens).subspan(static_cast<size_t>(sequence.num_computed),
                                                   static_cast<size_t>(num_rows) + num_drafted),
          sequence.num_computed, &sequence.page_table,
          last ? static_cast<int64_t>(num_drafted) + 1 : 0,
          static_cast<int64_t>(sequence.request.prompt.size())};
}

// Draws the next token of a sequence whose tokens have all been computed, and while that is what
// was guessed, the one after it. Keys and values of wrong guesses lie beyond num_computed, where
// the next tokens' will be written.
void Engine::Impl::advance_all(EngineSequence& sequence, const Tensor& logits, int64_t logit_row) {
  const auto row = [&](size_t i) {
    return std::span<float>(logits.view().row<float>(logit_row + static_cast<int64_t>(i)),
                            static_cast<size_t>(vocab_size));
  };
  const std::vector<int32_t> draft = std::move(sequence.draft);
  sequence.draft.clear();
  sequence.tokens.resize(sequence.tokens.size() - draft.size());
  advance(sequence, row(0));
  size_t right = 0;
  while (right < draft.size() && !sequence.ended && sequence.tokens.back() == draft[right]) {
    ++right;
    ++sequence.num_computed;
    advance(sequence, row(right));
  }
  learn(sequence, static_cast<int>(draft.size()), static_cast<int>(right));
}

// Tells who guesses how it went: what one of them guessed, the other did not.
void Engine::Impl::learn(EngineSequence& sequence, int num_guessed, int num_right) {
  counts.drafted_tokens += num_guessed;
  counts.accepted_tokens += num_right;
  const bool is_mtps = sequence.draft_is_mtps;
  sequence.lookup.learn(is_mtps ? 0 : num_guessed, is_mtps ? 0 : num_right);
  mtp.learn(is_mtps ? num_guessed : 0, is_mtps ? num_right : 0);
  if (!is_mtps) return;
  counts.mtp_drafted_tokens += num_guessed;
  counts.mtp_accepted_tokens += num_right;
}

// Draws the next token of a sequence whose tokens have all been computed, and hands it out.
void Engine::Impl::advance(EngineSequence& sequence, std::span<float> logits) {
  const Request& request = sequence.request;
  if (sequence.num_generated() == 0) {
    counts.prompt_tokens += static_cast<int64_t>(request.prompt.size());
  }
  TokenEvent event;
  std::vector<float> raw;  // log-probabilities are the model's own, before biases and penalties
  if (request.num_top_logprobs >= 0) raw.assign(logits.begin(), logits.end());
  const int32_t token =
      sampler.draw(logits, request.sampling, {sequence.tokens, request.prompt.size()});
  const auto& stops = request.stop_tokens;
  if (std::find(stops.begin(), stops.end(), token) != stops.end()) {
    end(sequence, FinishReason::kStop);
    return;
  }
  event.token = token;
  event.num_cached = sequence.num_cached;
  if (request.num_top_logprobs >= 0) {
    TokenLogprobs logprobs = token_logprobs(raw, token, request.num_top_logprobs);
    event.logprob = logprobs.logprob;
    event.top_logprobs = std::move(logprobs.top);
  }
  sequence.tokens.push_back(token);
  ++counts.generated_tokens;
  if (sequence.num_generated() >= request.max_tokens) {
    event.finish = FinishReason::kLength;
    sequence.ended = true;
    last_events.emplace_back(std::move(sequence.sink), std::move(event));
    return;
  }
  sequence.sink(event);
}

void Engine::Impl::end(EngineSequence& sequence, FinishReason reason) {
  if (sequence.ended) return;
  sequence.ended = true;
  TokenEvent event;
  event.finish = reason;
  event.num_cached = std::max<int64_t>(sequence.num_cached, 0);
  last_events.emplace_back(std::move(sequence.sink), std::move(event));
}

void Engine::Impl::drop_ended() {
  for (EngineSequence& sequence : running) {
    if (sequence.ended) pool.release(sequence.page_table);
  }
  const auto has_ended = [](const EngineSequence& sequence) { return sequence.ended; };
  std::erase_if(running, has_ended);
  std::erase_if(waiting, has_ended);
}

// Frees what ended sequences held, and only then tells their sinks: who hears of an end finds the
// counters and the pages as they are after it.
void Engine::Impl::settle() {
  drop_ended();
  publish();
  for (auto& [sink, event] : last_events) sink(event);
  last_events.clear();
}

void Engine::Impl::publish() {
  counts.running = static_cast<int>(running.size());
  counts.waiting = static_cast<int>(waiting.size());
  counts.kv_tokens_total = pool.num_pages() * kernels::kPageTokens;
  counts.kv_tokens_used =
      (pool.num_pages() - pool.num_free() - pool.num_idle()) * kernels::kPageTokens;
  const std::lock_guard lock(mutex);
  published = counts;
}

// ---- called from any thread ----

Engine::Engine(std::unique_ptr<Impl> impl, const EngineConfig& config)
    : impl_(std::move(impl)), config_(config) {
  impl_->publish();
  impl_->thread = std::thread([state = impl_.get()] { state->loop(); });
}

Engine::~Engine() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
  }
  impl_->wake.notify_one();
  impl_->thread.join();
}

Result<std::unique_ptr<Engine>> Engine::create(const Device& device, const Model& model,
                                               const EngineConfig& config) {
  MK_TRY(config.check(model.config()));
  auto impl = std::make_unique<Impl>(device, model, config);
  return std::unique_ptr<Engine>(new Engine(std::move(impl), config));
}

Result<Engine::RequestId> Engine::submit(Request request, TokenSink sink) {
  const auto num_prompt = static_cast<int64_t>(request.prompt.size());
  if (num_prompt == 0) return fail(ErrorCode::kUsage, "the prompt is empty");
  for (const int32_t token : request.prompt) {
    if (token < 0 || token >= impl_->vocab_size) {
      return fail(ErrorCode::kUsage, "token id {} is not in the vocabulary of {}", token,
                  impl_->vocab_size);
    }
  }
  const int64_t room = config_.context_tokens - num_prompt;
  if (room < 1 || request.max_tokens > room) {
    return fail(ErrorCode::kWillNotFit,
                "the context holds {} tokens, but {} were requested ({} in the prompt, {} to "
                "generate); shorten the prompt or raise --ctx",
                config_.context_tokens, num_prompt + std::max(request.max_tokens, 1), num_prompt,
                std::max(request.max_tokens, 1));
  }
  if (request.max_tokens <= 0) request.max_tokens = static_cast<int>(room);
  EngineSequence sequence;
  sequence.tokens = request.prompt;
  sequence.request = std::move(request);
  sequence.sink = std::move(sink);
  const std::lock_guard lock(impl_->mutex);
  const int num_waiting = impl_->published.waiting + static_cast<int>(impl_->submitted.size());
  if (num_waiting >= config_.waiting_max) {
    return fail(ErrorCode::kFailed, "{} requests wait already, which is the limit; try again later",
                num_waiting);
  }
  sequence.id = impl_->next_id++;
  const RequestId id = sequence.id;
  impl_->submitted.push_back(std::move(sequence));
  impl_->wake.notify_one();
  return id;
}

void Engine::cancel(RequestId id) {
  const std::lock_guard lock(impl_->mutex);
  impl_->cancelled.insert(id);
  impl_->wake.notify_one();
}

EngineStats Engine::stats() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->published;
}

Result<Engine::Generated> Engine::generate(Request request) {
  std::mutex mutex;
  std::condition_variable done;
  bool finished = false;
  Generated generated;
  const bool wants_logprobs = request.num_top_logprobs >= 0;
  MK_TRY(submit(std::move(request), [&](const TokenEvent& event) {
    const std::lock_guard lock(mutex);
    if (event.token) {
      generated.tokens.push_back(*event.token);
      if (wants_logprobs) generated.logprobs.push_back(event.logprob);
    }
    if (event.finish) {
      generated.finish = *event.finish;
      generated.num_cached = event.num_cached;
      generated.error = event.error;
      finished = true;
      done.notify_one();
    }
  }));
  std::unique_lock lock(mutex);
  done.wait(lock, [&] { return finished; });
  return generated;
}

}  // namespace minke
