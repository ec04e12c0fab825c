#pragma once
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "minke/server/answer_format.h"
#include "minke/server/generator.h"
#include "minke/server/histogram.h"
#include "minke/server/http.h"

namespace minke {

/// What to generate for one request and how to print it.
struct RunPlan {
  std::vector<Request> requests;  ///< one per answer
  std::unique_ptr<AnswerFormat> format;
  std::vector<std::string> stops;
  bool stream = false;
  bool include_usage = false;
  bool logprobs = false;             ///< keep the tokens' log-probabilities for the format
  bool split_reasoning = false;      ///< the model's thought goes to reasoning_content
  bool starts_in_reasoning = false;  ///< the prompt ends with the opening tag
  int64_t prompt_tokens = 0;         ///< each prompt counted once
};

/// All requests that generate now: takes tokens from the Generator, turns them into text, chunks
/// and answers.
///
/// Life of a run: 1. start() submits its requests and opens the stream; events that come meanwhile
/// wait; 2. each token goes through decoder, stop strings and reasoning parser into a chunk; 3. an
/// answer is finished by its last event or by a stop string (which cancels its request); with the
/// last answer the response is complete; 4. when every request has ended at the Generator, too, the
/// run is gone. A client that leaves, or cancel_all(), cancels what still generates.
///
/// Work per token is a few microseconds and is done in the sink, under one lock: an engine has one
/// thread, so there is nobody to contend with.
class Runs {
 public:
  /// Both must outlive this.
  Runs(Generator* generator, const Tokenizer* tokenizer);
  /// Cancels all and waits until the Generator has let go of them.
  ~Runs();
  Runs(const Runs&) = delete;
  Runs& operator=(const Runs&) = delete;

  /// Answers with an error if the Generator refuses a request. From any thread.
  void start(RunPlan plan, Responder responder);
  /// Ends all runs: streams get an error event with this message, others a 503.
  void cancel_all(const std::string& message);

  struct Counts {
    int64_t running = 0;    ///< requests now
    int64_t completed = 0;  ///< requests answered
    int64_t cancelled = 0;  ///< clients that left, and cancel_all()
    int64_t generated_tokens = 0;
    double busy_seconds = 0;  ///< with at least one request running
    // Of the requests that ended, answered or not, what their `usage` says or would have said.
    int64_t prompt_tokens = 0;
    int64_t cached_tokens = 0;
    std::map<std::string, int64_t> finish_reasons;  ///< answers by theirs
    Histogram first_token;                          ///< seconds from request to first token
    Histogram next_token;                           ///< seconds from token to token of an answer
  };
  Counts counts() const;

 private:
  struct Answer;
  struct Run;

  void on_event(uint64_t id, size_t index, const TokenEvent& event);
  void process(Run& run, size_t index, const TokenEvent& event);
  void take_token(Run& run, Answer& answer, size_t index, const TokenEvent& event);
  void deliver(Run& run, Answer& answer, size_t index, AnswerPart part);
  void time_token(const Run& run, Answer& answer);
  void finish_answer(Run& run, size_t index, std::string finish_reason);
  void close(Run& run);
  void finish_run(Run& run);
  void fail_run(Run& run, const std::string& message);
  void client_left(uint64_t id);
  void cancel_rest(Run& run);
  bool submit_all(uint64_t id, std::vector<Request> requests);
  void refuse(Run& run, size_t index, const Error& error);
  void open(uint64_t id);
  void let_events_in(Run& run);
  static void write_chunk(Run& run, Json chunk);
  void erase_if_ended(Run& run);
  std::vector<uint64_t> take_cancels();
  static void carry_out(Generator* generator, const std::vector<uint64_t>& cancels);

  Generator* const generator_;
  const Tokenizer* const tokenizer_;
  mutable std::mutex mutex_;  // guards all below
  std::condition_variable ended_;
  std::unordered_map<uint64_t, std::unique_ptr<Run>> runs_;
  std::vector<uint64_t> cancels_;  // to be carried out without the lock
  uint64_t last_id_ = 0;
  Counts counts_;
  double busy_since_ = 0;
};

/// A server-sent event: "data: {...}\n\n".
std::string sse_event(const Json& data);

}  // namespace minke
