#include "minke/server/runs.h"

#include <optional>
#include <utility>

#include "minke/base/clock.h"
#include "minke/base/log.h"
#include "minke/server/api_error.h"
#include "minke/text/reasoning_parser.h"
#include "minke/text/stream_decoder.h"

namespace minke {
namespace {

const char* api_finish_name(FinishReason finish) {
  const bool whole = finish == FinishReason::kStop || finish == FinishReason::kLength;
  // DeepSeek's word for a run cut short
  return whole ? finish_name(finish) : "insufficient_system_resource";
}

void append(std::vector<TokenLogprob>& to, std::vector<TokenLogprob>& from) {
  for (TokenLogprob& token : from) to.push_back(std::move(token));
  from.clear();
}

}  // namespace

struct Runs::Answer {
  Answer(const Tokenizer& tokenizer, const RunPlan& plan)
      : decoder(tokenizer, {.stops = plan.stops}), reasoning(plan.starts_in_reasoning) {}

  StreamDecoder decoder;
  ReasoningParser reasoning;
  std::vector<TokenLogprob> pending;  // of tokens whose text is still held back
  FinishedAnswer done;                // collected unless the run streams
  std::optional<uint64_t> request;    // the Generator's id, once submit() has returned
  std::optional<double> token_time;   // when its last token came
  bool finished = false;              // the client has or will get its finish_reason
  bool ended = false;                 // the Generator's last event has come, or it never began
};

struct Runs::Run {
  uint64_t id = 0;
  RunPlan plan;
  Responder responder;
  std::vector<Answer> answers;
  std::vector<std::pair<size_t, TokenEvent>> early;  // events that came before the stream was open
  Usage usage;
  double started = 0;
  size_t num_finished = 0;
  size_t num_ended = 0;
  bool open = false;
  bool closed = false;  // nothing more is sent
};

std::string sse_event(const Json& data) { return "data: " + data.dump() + "\n\n"; }

Runs::Runs(Generator* generator, const Tokenizer* tokenizer)
    : generator_(generator), tokenizer_(tokenizer) {}

Runs::~Runs() {
  cancel_all("the server is shutting down");
  std::unique_lock lock(mutex_);
  while (!ended_.wait_for(lock, std::chrono::seconds(5), [this] { return runs_.empty(); })) {
    log_warn("server: waiting for {} requests to end", runs_.size());
  }
}

// --- starting ---

void Runs::start(RunPlan plan, Responder responder) {
  uint64_t id = 0;
  std::vector<Request> requests = std::move(plan.requests);
  {
    const std::lock_guard lock(mutex_);
    id = ++last_id_;
    auto run = std::make_unique<Run>();
    run->id = id;
    run->usage.prompt = plan.prompt_tokens;
    run->started = seconds_now();
    for (size_t i = 0; i < requests.size(); ++i) run->answers.emplace_back(*tokenizer_, plan);
    run->plan = std::move(plan);
    run->responder = std::move(responder);
    if (counts_.running++ == 0) busy_since_ = seconds_now();
    runs_.emplace(id, std::move(run));
  }
  if (submit_all(id, std::move(requests))) open(id);
  carry_out(generator_, take_cancels());
}

// Submits without the lock: the Generator may call the sink before it returns.
bool Runs::submit_all(uint64_t id, std::vector<Request> requests) {
  for (size_t i = 0; i < requests.size(); ++i) {
    Result<uint64_t> submitted = generator_->submit(
        std::move(requests[i]), [this, id, i](const TokenEvent& event) { on_event(id, i, event); });
    const std::lock_guard lock(mutex_);
    const auto found = runs_.find(id);
    if (found == runs_.end())
      return false;  // cancel_all() ended it, and all its requests have ended
    if (!submitted) {
      refuse(*found->second, i, submitted.error());
      return false;
    }
    found->second->answers[i].request = *submitted;
  }
  return true;
}

// The Generator did not take the request of answer `index`: the whole run is refused.
void Runs::refuse(Run& run, size_t index, const Error& error) {
  for (size_t i = index; i < run.answers.size(); ++i) run.answers[i].ended = true;
  run.num_ended += run.answers.size() - index;
  if (!run.closed) run.responder.send(error_response(from_error(error)));
  run.closed = true;
  cancel_rest(run);
  let_events_in(run);
}

// Opens the stream and lets the events in.
void Runs::open(uint64_t id) {
  const std::lock_guard lock(mutex_);
  const auto found = runs_.find(id);
  if (found == runs_.end()) return;
  Run& run = *found->second;
  if (run.closed) {  // by cancel_all(), before all of its requests were known
    cancel_rest(run);
    let_events_in(run);
    return;
  }
  run.open = true;
  run.responder.on_disconnect([this, id] { client_left(id); });
  if (run.plan.stream) {
    run.responder.begin_stream(
        {.headers = {{"X-Accel-Buffering", "no"}}, .comment = ": keep-alive\n\n"});
    for (size_t i = 0; i < run.answers.size(); ++i) {
      write_chunk(run, run.plan.format->first_chunk(static_cast<int>(i)));
    }
  }
  let_events_in(run);
}

void Runs::let_events_in(Run& run) {
  for (const auto& [index, event] : std::exchange(run.early, {})) process(run, index, event);
  erase_if_ended(run);
}

void Runs::write_chunk(Run& run, Json chunk) {
  if (chunk.is_null()) return;
  if (run.plan.include_usage) chunk.set("usage", nullptr);
  run.responder.write(sse_event(chunk));
}

// --- tokens ---

void Runs::on_event(uint64_t id, size_t index, const TokenEvent& event) {
  std::vector<uint64_t> cancels;
  Generator* const generator = generator_;
  {
    const std::lock_guard lock(mutex_);
    Run& run = *runs_.at(id);  // a run outlives the last event of each of its requests
    if (!run.open && !run.closed) {
      run.early.emplace_back(index, event);
      return;
    }
    process(run, index, event);
    erase_if_ended(run);
    cancels = std::exchange(cancels_, {});
  }
  // From here on `this` may be gone: its destructor waits only for the last run.
  carry_out(generator, cancels);
}

void Runs::process(Run& run, size_t index, const TokenEvent& event) {
  Answer& answer = run.answers[index];
  if (index == 0) run.usage.cached = event.num_cached;  // the prompt is counted once, too
  if (event.token && !answer.finished) take_token(run, answer, index, event);
  if (!event.finish) return;
  if (!answer.finished) {
    const bool broken = *event.finish == FinishReason::kCancelled;
    if (broken) {
      fail_run(run, "the generation was interrupted");
    } else {
      if (*event.finish == FinishReason::kFailed) log_warn("server: {}", event.error);
      finish_answer(run, index, api_finish_name(*event.finish));
    }
  }
  if (!std::exchange(answer.ended, true)) ++run.num_ended;
}

void Runs::take_token(Run& run, Answer& answer, size_t index, const TokenEvent& event) {
  const int32_t token = *event.token;
  ++counts_.generated_tokens;
  ++run.usage.completion;
  time_token(run, answer);
  if (run.plan.logprobs) answer.pending.push_back({token, event.logprob, event.top_logprobs});
  // The tags may be control tokens, whose text the decoder would leave out.
  const std::string_view bytes = tokenizer_->token_bytes(token);
  const bool is_tag = run.plan.split_reasoning && tokenizer_->is_control(token) &&
                      (bytes == ReasoningParser::kOpen || bytes == ReasoningParser::kClose);
  StreamPiece piece = is_tag ? answer.decoder.feed_bytes(bytes) : answer.decoder.feed(token);
  AnswerPart part;
  if (run.plan.split_reasoning) {
    const bool before = answer.reasoning.in_reasoning();
    ReasoningPiece split = answer.reasoning.feed(piece.text);
    if (before || answer.reasoning.in_reasoning()) ++run.usage.reasoning;
    part.reasoning = std::move(split.reasoning);
    part.text = std::move(split.content);
  } else {
    part.text = std::move(piece.text);
  }
  deliver(run, answer, index, std::move(part));
  if (!piece.stopped()) return;
  finish_answer(run, index, "stop");
  if (!event.finish && answer.request) cancels_.push_back(*answer.request);
}

void Runs::time_token(const Run& run, Answer& answer) {
  const double now = seconds_now();
  if (answer.token_time) {
    counts_.next_token.add(now - *answer.token_time);
  } else {
    counts_.first_token.add(now - run.started);
  }
  answer.token_time = now;
}

void Runs::deliver(Run& run, Answer& answer, size_t index, AnswerPart part) {
  if (part.empty()) return;
  append(part.text.empty() ? part.reasoning_logprobs : part.text_logprobs, answer.pending);
  if (run.closed) return;
  if (run.plan.stream) {
    write_chunk(run, run.plan.format->chunk(static_cast<int>(index), part));
    return;
  }
  AnswerPart& all = answer.done.part;
  all.reasoning += part.reasoning;
  all.text += part.text;
  append(all.reasoning_logprobs, part.reasoning_logprobs);
  append(all.text_logprobs, part.text_logprobs);
}

// --- ending ---

void Runs::finish_answer(Run& run, size_t index, std::string finish_reason) {
  Answer& answer = run.answers[index];
  AnswerPart rest;
  rest.text = answer.decoder.ended() ? std::string() : answer.decoder.flush().text;
  if (run.plan.split_reasoning) {
    ReasoningPiece split = answer.reasoning.feed(rest.text);
    const ReasoningPiece last = answer.reasoning.flush();
    rest.reasoning = split.reasoning + last.reasoning;
    rest.text = split.content + last.content;
  }
  deliver(run, answer, index, std::move(rest));
  answer.finished = true;
  ++counts_.finish_reasons[finish_reason];
  answer.done.finish_reason = std::move(finish_reason);
  ++run.num_finished;
  if (run.closed) return;
  if (run.plan.stream) {
    const std::string& reason = answer.done.finish_reason;
    write_chunk(run, run.plan.format->last_chunk(static_cast<int>(index), reason));
  }
  if (run.num_finished == run.answers.size()) finish_run(run);
}

// Before the client hears of the end, so that who has an answer finds it in the counters.
void Runs::close(Run& run) {
  run.closed = true;
  counts_.prompt_tokens += run.usage.prompt;
  counts_.cached_tokens += run.usage.cached;
}

void Runs::finish_run(Run& run) {
  close(run);
  ++counts_.completed;
  if (run.plan.stream) {
    if (run.plan.include_usage) {
      run.responder.write(sse_event(run.plan.format->usage_chunk(run.usage)));
    }
    run.responder.write("data: [DONE]\n\n");
    run.responder.end();
    return;
  }
  std::vector<FinishedAnswer> answers;
  for (Answer& answer : run.answers) answers.push_back(std::move(answer.done));
  run.responder.send(json_response(run.plan.format->whole(answers, run.usage)));
}

// Ends a run that cannot be completed: a stream gets an error event and no [DONE].
void Runs::fail_run(Run& run, const std::string& message) {
  if (run.closed) return;
  close(run);
  ++counts_.cancelled;
  const ApiError error = status_error(503, message);
  if (run.plan.stream && run.open) {
    run.responder.write(sse_event(error_json(error)));
    run.responder.end();
  } else {
    run.responder.send(error_response(error));
  }
  cancel_rest(run);
}

void Runs::client_left(uint64_t id) {
  {
    const std::lock_guard lock(mutex_);
    const auto found = runs_.find(id);
    if (found == runs_.end() || found->second->closed) return;
    Run& run = *found->second;
    close(run);
    ++counts_.cancelled;
    cancel_rest(run);
  }
  carry_out(generator_, take_cancels());
}

void Runs::cancel_rest(Run& run) {
  for (Answer& answer : run.answers) {
    answer.finished = true;
    if (!answer.ended && answer.request) cancels_.push_back(*answer.request);
  }
}

void Runs::cancel_all(const std::string& message) {
  {
    const std::lock_guard lock(mutex_);
    for (auto& [id, run] : runs_) fail_run(*run, message);
  }
  carry_out(generator_, take_cancels());
}

// `run` is gone when this returns, if it has ended.
void Runs::erase_if_ended(Run& run) {
  if (run.num_ended < run.answers.size()) return;
  runs_.erase(run.id);
  if (--counts_.running == 0) counts_.busy_seconds += seconds_now() - busy_since_;
  if (runs_.empty()) ended_.notify_all();
}

std::vector<uint64_t> Runs::take_cancels() {
  const std::lock_guard lock(mutex_);
  return std::exchange(cancels_, {});
}

void Runs::carry_out(Generator* generator, const std::vector<uint64_t>& cancels) {
  for (const uint64_t request : cancels) generator->cancel(request);
}

Runs::Counts Runs::counts() const {
  const std::lock_guard lock(mutex_);
  Counts counts = counts_;
  if (counts.running > 0) counts.busy_seconds += seconds_now() - busy_since_;
  return counts;
}

}  // namespace minke
