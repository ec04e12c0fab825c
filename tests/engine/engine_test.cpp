// Goal: what a request gets does not depend on what runs beside it. Method: one request's tokens
// and log-probability bits alone, against the same request in batches, chunked, preempted, after
// others.
#include "minke/engine/engine.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <thread>

#include "tests/engine/requests.h"
#include "tests/models/tiny_llama.h"

namespace minke {
namespace {

EngineConfig small_config() {
  EngineConfig config;
  config.context_tokens = 256;
  config.sequences_max = 6;
  config.chunk_tokens = 64;
  config.kv_dtype = DType::kF32;
  return config;
}

bool same(const Engine::Generated& a, const Engine::Generated& b) {
  return a.tokens == b.tokens && a.logprobs.size() == b.logprobs.size() &&
         std::memcmp(a.logprobs.data(), b.logprobs.data(), a.logprobs.size() * sizeof(float)) == 0;
}

std::vector<Request> mixed_requests() {
  std::vector<Request> requests;
  for (const int64_t length : {1, 200, 63, 64, 65, 17, 130, 5, 90}) {
    requests.push_back(make_request(length, 100 + requests.size()));
  }
  return requests;
}

class EngineInvariance : public testing::TestWithParam<Precision> {
 protected:
  static TinyLlama make_model(int threads) {
    TinyLlamaShape shape;
    shape.matrices = GetParam() == Precision::kInt8 ? DType::kQ4_1 : DType::kF32;
    return TinyLlama::make(shape, GetParam(), threads, supported_levels().front());
  }
  static EngineConfig config() {
    EngineConfig out = small_config();
    if (GetParam() == Precision::kInt8) out.kv_dtype = DType::kF16;
    return out;
  }
  /// The requests run one after the other without guesses; then together in five pages, for which
  /// they grow too long, so that they are stopped and computed anew.
  static void expect_same_when_preempted(const std::vector<Request>& requests,
                                         const std::function<void(const EngineStats&)>& check) {
    const TinyLlama tiny = make_model(2);
    EngineConfig plain = config();
    plain.draft_tokens_max = 0;
    std::vector<Engine::Generated> alone;
    {
      const auto engine = Engine::create(*tiny.device, *tiny.model, plain);
      for (const Request& request : requests) alone.push_back(*(*engine)->generate(request));
    }
    EngineConfig tight = config();
    tight.kv_tokens = 320;
    const auto engine = Engine::create(*tiny.device, *tiny.model, tight);
    const std::vector<Engine::Generated> batch = together(**engine, requests);
    for (size_t i = 0; i < requests.size(); ++i) EXPECT_TRUE(same(alone[i], batch[i])) << i;
    check((*engine)->stats());
  }
};

TEST_P(EngineInvariance, gives_each_request_the_same_bits_whatever_runs_beside_it) {
  const std::vector<Request> requests = mixed_requests();
  std::vector<Engine::Generated> alone;
  {
    const TinyLlama tiny = make_model(1);
    EngineConfig limits = config();
    limits.prefix_cache = false;
    const auto engine = Engine::create(*tiny.device, *tiny.model, limits);
    ASSERT_TRUE(engine) << engine.error().message;
    for (const Request& request : requests) alone.push_back(*(*engine)->generate(request));
    EXPECT_TRUE(same(alone[1], *(*engine)->generate(requests[1]))) << "after other requests";
  }
  for (const int threads : {1, 2, 3}) {
    for (const int chunk : {6, 7, 64, 512}) {
      const TinyLlama tiny = make_model(threads);
      EngineConfig limits = config();
      limits.chunk_tokens = chunk;
      const auto engine = Engine::create(*tiny.device, *tiny.model, limits);
      const std::vector<Engine::Generated> batch = together(**engine, requests);
      for (size_t i = 0; i < requests.size(); ++i) {
        EXPECT_TRUE(same(alone[i], batch[i]))
            << "request " << i << ", threads " << threads << ", chunk " << chunk;
      }
      const std::vector<Engine::Generated> cached = together(**engine, requests);
      for (size_t i = 0; i < requests.size(); ++i) {
        EXPECT_TRUE(same(alone[i], cached[i]))
            << "cached request " << i << ", threads " << threads << ", chunk " << chunk;
        const auto num_prompt = static_cast<int64_t>(requests[i].prompt.size());
        EXPECT_EQ(cached[i].num_cached, (num_prompt - 1) / 64 * 64) << i;
      }
    }
  }
}

TEST_P(EngineInvariance, recomputes_preempted_requests_to_the_same_bits) {
  std::vector<Request> requests;
  for (uint64_t i = 0; i < 6; ++i) requests.push_back(make_request(50, 40 + i, 180));
  expect_same_when_preempted(requests, [](const EngineStats& stats) {
    EXPECT_EQ(stats.prompt_tokens, 6 * 50) << "counted once, however often computed";
  });
}

// Turns of a conversation: each prompt is the one before, its answer, and some more.
TEST_P(EngineInvariance, answers_from_the_prefix_cache_with_the_bits_of_a_cold_start) {
  const TinyLlama tiny = make_model(2);
  EngineConfig cold = config();
  cold.prefix_cache = false;
  const auto without = Engine::create(*tiny.device, *tiny.model, cold);
  const auto with = Engine::create(*tiny.device, *tiny.model, config());
  Request request = make_request(70, 8, 20);
  int64_t num_cached = 0;
  for (uint64_t turn = 0; turn < 4; ++turn) {
    const Engine::Generated expected = *(*without)->generate(request);
    const Engine::Generated got = *(*with)->generate(request);
    EXPECT_TRUE(same(expected, got)) << turn;
    EXPECT_EQ(expected.num_cached, 0);
    // All full pages of the turn before, whose last token was drawn but never computed.
    EXPECT_EQ(got.num_cached, turn == 0 ? 0 : (num_cached - 1) / 64 * 64) << turn;
    request.prompt.insert(request.prompt.end(), got.tokens.begin(), got.tokens.end());
    num_cached = static_cast<int64_t>(request.prompt.size());
    const std::vector<int32_t> more = random_prompt(25, turn);
    request.prompt.insert(request.prompt.end(), more.begin(), more.end());
  }
  EXPECT_GT((*with)->stats().cached_tokens, 0);
}

// Texts that repeat themselves, so that guesses are made: right ones where a bias lets the model
// say one thing only, wrong ones elsewhere.
TEST_P(EngineInvariance, answers_with_guessed_tokens_as_without) {
  const TinyLlama tiny = make_model(2);
  std::vector<Request> requests;
  for (uint64_t i = 0; i < 4; ++i) {
    Request request = make_request(7 + i, 60 + i, 180);
    const std::vector<int32_t> once = request.prompt;
    for (int n = 0; n < 4; ++n) {
      request.prompt.insert(request.prompt.end(), once.begin(), once.end());
    }
    if (i == 3) request.sampling.logit_bias = {{7, 100.0f}};
    requests.push_back(request);
  }
  EngineConfig plain = config();
  plain.draft_tokens_max = 0;
  const auto without = Engine::create(*tiny.device, *tiny.model, plain);
  std::vector<Engine::Generated> expected;
  for (const Request& request : requests) expected.push_back(*(*without)->generate(request));
  EXPECT_EQ((*without)->stats().drafted_tokens, 0);
  for (const int draft_max : {1, 3, 9}) {
    EngineConfig guessing = config();
    guessing.draft_tokens_max = draft_max;
    const auto engine = Engine::create(*tiny.device, *tiny.model, guessing);
    for (size_t i = 0; i < requests.size(); ++i) {
      EXPECT_TRUE(same(expected[i], *(*engine)->generate(requests[i])))
          << "request " << i << ", at most " << draft_max << " guessed";
    }
    const EngineStats stats = (*engine)->stats();
    EXPECT_GT(stats.accepted_tokens, 50);
    EXPECT_GT(stats.drafted_tokens, stats.accepted_tokens);
    EXPECT_EQ(stats.generated_tokens, 4 * 180);
    EXPECT_LE(stats.steps, 4 * 181 - stats.accepted_tokens);
    const std::vector<Engine::Generated> batch = together(**engine, requests);
    for (size_t i = 0; i < requests.size(); ++i) EXPECT_TRUE(same(expected[i], batch[i])) << i;
  }
}

// A model that says one token until the penalty on it lets another one win, which ends the answer:
// at that moment more of the first one is guessed, and nothing may come of it.
TEST_P(EngineInvariance, ends_at_a_stop_token_among_the_guesses) {
  const TinyLlama tiny = make_model(1);
  int64_t num_wrong = 0;
  for (const double penalty : {1.0, 0.7, 0.5, 0.4}) {
    Request request = make_request(9, 2, 60);
    request.sampling.logit_bias = {{7, 100.0f}, {8, 85.0f}};
    request.sampling.frequency_penalty = penalty;
    request.stop_tokens = {8};
    EngineConfig plain = config();
    plain.draft_tokens_max = 0;
    const auto without = Engine::create(*tiny.device, *tiny.model, plain);
    const auto engine = Engine::create(*tiny.device, *tiny.model, config());
    const Engine::Generated expected = *(*without)->generate(request);
    EXPECT_EQ(expected.finish, FinishReason::kStop);
    EXPECT_GT(expected.tokens.size(), 10u);
    const Engine::Generated stopped = *(*engine)->generate(request);
    EXPECT_EQ(stopped.finish, FinishReason::kStop);
    EXPECT_TRUE(same(expected, stopped)) << penalty;
    EXPECT_GT((*engine)->stats().accepted_tokens, 5);
    num_wrong += (*engine)->stats().drafted_tokens - (*engine)->stats().accepted_tokens;
  }
  EXPECT_GT(num_wrong, 0) << "at no end was anything guessed beyond the stop token";
}

TEST_P(EngineInvariance, recomputes_preempted_requests_that_guess_to_the_same_bits) {
  std::vector<Request> requests;
  for (uint64_t i = 0; i < 3; ++i) {
    Request request = make_request(50, 40 + i, 180);
    if (i != 1) request.sampling.logit_bias = {{7, 4.0f}, {9, 4.0f}};
    requests.push_back(request);
  }
  expect_same_when_preempted(requests,
                             [](const EngineStats& stats) { EXPECT_GT(stats.drafted_tokens, 0); });
}

TEST_P(EngineInvariance, forgets_the_prefix_cache_when_the_weights_change) {
  const TinyLlama tiny = make_model(1);
  const auto engine = Engine::create(*tiny.device, *tiny.model, config());
  const Request request = make_request(130, 2);
  const Engine::Generated first = *(*engine)->generate(request);
  EXPECT_EQ((*engine)->generate(request)->num_cached, 128);
  tiny.model->parameters().changed();
  const Engine::Generated after = *(*engine)->generate(request);
  EXPECT_EQ(after.num_cached, 0);
  EXPECT_TRUE(same(first, after));
}

INSTANTIATE_TEST_SUITE_P(Precisions, EngineInvariance,
                         testing::Values(Precision::kF32, Precision::kBf16, Precision::kInt8),
                         [](const auto& tested) {
                           return std::string(precision_name(tested.param));
                         });

class EngineTest : public testing::Test {
 protected:
  TinyLlama tiny_ = TinyLlama::make({}, Precision::kF32, 1, supported_levels().front());
  std::unique_ptr<Engine> engine_ =
      std::move(*Engine::create(*tiny_.device, *tiny_.model, small_config()));
};

TEST_F(EngineTest, int8_pages_give_the_same_bits_in_any_batch) {
  EngineConfig config = small_config();
  config.kv_dtype = DType::kI8;
  const std::vector<Request> requests = mixed_requests();
  engine_ = std::move(*Engine::create(*tiny_.device, *tiny_.model, config));
  std::vector<Engine::Generated> alone;
  for (const Request& request : requests) alone.push_back(*engine_->generate(request));
  config.chunk_tokens = 7;
  engine_ = std::move(*Engine::create(*tiny_.device, *tiny_.model, config));
  for (int round = 0; round < 2; ++round) {  // the second one finds its prompts in the prefix cache
    const std::vector<Engine::Generated> batch = together(*engine_, requests);
    for (size_t i = 0; i < requests.size(); ++i) EXPECT_TRUE(same(alone[i], batch[i])) << i;
  }
}

TEST_F(EngineTest, ends_at_a_stop_token_without_delivering_it) {
  Request request = make_request(10, 2);
  const Engine::Generated free = *engine_->generate(request);
  ASSERT_EQ(free.finish, FinishReason::kLength);
  ASSERT_EQ(free.tokens.size(), 24u);
  request.stop_tokens = {free.tokens[5]};
  const Engine::Generated stopped = *engine_->generate(request);
  EXPECT_EQ(stopped.finish, FinishReason::kStop);
  const auto first = std::find(free.tokens.begin(), free.tokens.end(), free.tokens[5]);
  EXPECT_EQ(stopped.tokens, std::vector<int32_t>(free.tokens.begin(), first));
}

TEST_F(EngineTest, fills_the_context_when_no_limit_is_given) {
  const Engine::Generated all = *engine_->generate(make_request(200, 2, 0));
  EXPECT_EQ(all.tokens.size(), 56u);
  EXPECT_EQ(all.finish, FinishReason::kLength);
}

TEST_F(EngineTest, refuses_what_cannot_work_before_it_runs) {
  const auto error_of = [&](const Request& request) {
    const auto result = engine_->generate(request);
    EXPECT_FALSE(result);
    return result ? Error{} : result.error();
  };
  EXPECT_EQ(error_of(make_request(0, 2)).code, ErrorCode::kUsage);
  const Error long_prompt = error_of(make_request(256, 2));
  EXPECT_EQ(long_prompt.code, ErrorCode::kWillNotFit);
  EXPECT_NE(long_prompt.message.find("256"), std::string::npos);
  EXPECT_EQ(error_of(make_request(240, 2, 17)).code, ErrorCode::kWillNotFit);
  Request foreign = make_request(3, 2);
  foreign.prompt[1] = 117;
  EXPECT_EQ(error_of(foreign).code, ErrorCode::kUsage);
  foreign.prompt[1] = -1;
  EXPECT_EQ(error_of(foreign).code, ErrorCode::kUsage);
}

TEST_F(EngineTest, refuses_configs_that_cannot_work) {
  const auto code_of = [&](const EngineConfig& config) {
    const auto engine = Engine::create(*tiny_.device, *tiny_.model, config);
    return engine ? ErrorCode::kFailed : engine.error().code;
  };
  EngineConfig config = small_config();
  config.context_tokens = 513;
  EXPECT_EQ(code_of(config), ErrorCode::kWillNotFit);
  config = small_config();
  config.kv_tokens = 100;
  EXPECT_EQ(code_of(config), ErrorCode::kWillNotFit);
  config = small_config();
  config.chunk_tokens = 2;
  EXPECT_EQ(code_of(config), ErrorCode::kUsage);
  config = small_config();
  config.kv_dtype = DType::kQ8_0;
  EXPECT_EQ(code_of(config), ErrorCode::kUsage);
  config = small_config();
  config.draft_tokens_max = -1;
  EXPECT_EQ(code_of(config), ErrorCode::kUsage);
  config = small_config();
  config.num_tokens = tiny_.model->config().vocab_size + 1;
  EXPECT_EQ(code_of(config), ErrorCode::kUsage);
}

TEST_F(EngineTest, rows_that_no_token_uses_are_neither_read_nor_drawn) {
  EngineConfig config = small_config();
  config.num_tokens = 20;
  const auto engine = Engine::create(*tiny_.device, *tiny_.model, config);
  ASSERT_TRUE(engine) << engine.error().message;
  Request request = make_request(4, 3, 60);
  for (int32_t& id : request.prompt) id %= 20;
  request.sampling.logit_bias = {{19, 2.0f}};
  const auto generated = (*engine)->generate(request);
  ASSERT_TRUE(generated) << generated.error().message;
  EXPECT_EQ(generated->tokens.size(), 60u);
  for (const int32_t id : generated->tokens) EXPECT_LT(id, 20);
  request.prompt[2] = 20;
  EXPECT_EQ((*engine)->generate(request).error().code, ErrorCode::kUsage);
}

TEST_F(EngineTest, cancels_from_a_sink_and_tells_each_sink_once_that_it_ended) {
  std::promise<void> done;
  std::atomic<int> num_tokens{0}, num_ends{0};
  std::atomic<uint64_t> id{0};
  const auto submitted = engine_->submit(make_request(5, 2, 200), [&](const TokenEvent& event) {
    if (event.token && ++num_tokens == 3) {
      while (id == 0) std::this_thread::yield();
      engine_->cancel(id);
      engine_->cancel(id);
    }
    if (event.finish) {
      EXPECT_EQ(*event.finish, FinishReason::kCancelled);
      if (++num_ends == 1) done.set_value();
    }
  });
  ASSERT_TRUE(submitted);
  id = *submitted;
  done.get_future().wait();
  EXPECT_EQ(num_tokens, 3);
  engine_->cancel(id);
  engine_->cancel(123456);
  EXPECT_EQ(engine_->generate(make_request(5, 2, 2))->tokens.size(), 2u);
  EXPECT_EQ(num_ends, 1);
  EXPECT_EQ(engine_->stats().running, 0);
}

TEST_F(EngineTest, cancels_what_still_runs_when_destroyed) {
  std::atomic<int> num_ends{0};
  for (uint64_t i = 0; i < 12; ++i) {
    ASSERT_TRUE(engine_->submit(make_request(100, i, 150), [&](const TokenEvent& event) {
      if (event.finish) ++num_ends;
    }));
  }
  engine_.reset();
  EXPECT_EQ(num_ends, 12);
}

TEST_F(EngineTest, refuses_more_than_the_queue_holds) {
  EngineConfig config = small_config();
  config.waiting_max = 3;
  config.sequences_max = 1;
  engine_ = std::move(*Engine::create(*tiny_.device, *tiny_.model, config));
  int refused = 0;
  for (uint64_t i = 0; i < 40; ++i) {
    refused += !engine_->submit(make_request(100, i, 150), [](const TokenEvent&) {});
  }
  EXPECT_GT(refused, 0);
}

TEST_F(EngineTest, gives_all_pages_back) {
  together(*engine_, mixed_requests());
  EXPECT_EQ(engine_->generate(make_request(1, 1, 1))->tokens.size(), 1u);
  EXPECT_EQ(engine_->stats().kv_tokens_used, 0);
}

}  // namespace
}  // namespace minke
