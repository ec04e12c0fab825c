// Goal: an MTP module's guesses change no token, are those of the module whatever the cache went
// through, and are made as far as they pay. Method: models whose module says what the model will
// say, its opposite, or something near it (tests/models/tiny_deepseek.h).
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>
#include <numeric>

#include "minke/engine/engine.h"
#include "minke/engine/mtp_drafter.h"
#include "minke/engine/sampler.h"
#include "tests/engine/requests.h"
#include "tests/models/tiny_deepseek.h"

namespace minke {
namespace {

// At a temperature at which a module is often wrong.
Request hot_request(int64_t prompt_tokens, uint64_t seed, int max_tokens) {
  return make_request(prompt_tokens, seed, max_tokens, 6.0);
}

// Eight layers, so that a module's guess that is right pays.
TinyDeepSeekShape shape_with(double noise, double mtp_embedding = 1.0) {
  TinyDeepSeekShape shape;
  shape.layers = 8;
  shape.noise = noise;
  shape.mtp_embedding = mtp_embedding;
  return shape;
}

EngineConfig config_with(int draft_tokens_max) {
  EngineConfig config;
  config.context_tokens = 320;
  config.sequences_max = 6;
  config.chunk_tokens = 64;
  config.kv_dtype = DType::kF32;
  config.draft_tokens_max = draft_tokens_max;
  return config;
}

std::unique_ptr<Engine> make_engine(const TinyDeepSeek& tiny, const EngineConfig& config) {
  auto engine = Engine::create(*tiny.device, *tiny.model, config);
  EXPECT_TRUE(engine) << engine.error().message;
  return std::move(*engine);
}

std::vector<Engine::Generated> one_by_one(Engine& engine, const std::vector<Request>& requests) {
  std::vector<Engine::Generated> out;
  for (const Request& request : requests) out.push_back(*engine.generate(request));
  return out;
}

void expect_same(const std::vector<Engine::Generated>& a, const std::vector<Engine::Generated>& b,
                 const std::string& what) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].tokens, b[i].tokens) << what << ", request " << i;
    ASSERT_EQ(a[i].logprobs.size(), b[i].logprobs.size());
    EXPECT_EQ(std::memcmp(a[i].logprobs.data(), b[i].logprobs.data(), a[i].logprobs.size() * 4), 0)
        << what << ", request " << i;
  }
}

class MtpEngine : public testing::TestWithParam<Precision> {
 protected:
  static TinyDeepSeek make_model(int threads = 2) {
    TinyDeepSeekShape shape = shape_with(0.12);
    shape.matrices = GetParam() == Precision::kInt8 ? DType::kQ8_0 : DType::kF32;
    return TinyDeepSeek::make(shape, {GetParam(), 0, {}, 1}, threads);
  }
  static std::vector<Request> requests() {
    std::vector<Request> made;
    for (const int64_t length : {1, 150, 63, 64, 65, 17}) {
      made.push_back(hot_request(length, 100 + made.size(), 90));
    }
    return made;
  }
};

TEST_P(MtpEngine, answers_greedy_and_sampled_as_without_the_module) {
  const auto expected = one_by_one(*make_engine(make_model(1), config_with(0)), requests());
  const TinyDeepSeek tiny = make_model();
  for (const int chunk : thinned({7, 64, 512}, {7})) {
    for (const int draft_max : thinned({1, 3}, {3})) {
      EngineConfig config = config_with(draft_max);
      config.chunk_tokens = chunk;
      const auto engine = make_engine(tiny, config);
      const std::string what = fmt::format("chunk {}, at most {} guessed", chunk, draft_max);
      expect_same(expected, one_by_one(*engine, requests()), what);
      const EngineStats stats = engine->stats();
      EXPECT_GT(stats.mtp_accepted_tokens, 50) << what;
      EXPECT_GT(stats.mtp_drafted_tokens, stats.mtp_accepted_tokens) << "some are to be wrong";
      expect_same(expected, one_by_one(*engine, requests()), what + ", from the prefix cache");
      expect_same(expected, together(*engine, requests()), what + ", together");
      EXPECT_GT(engine->stats().cached_tokens, 0);
    }
  }
}

// Pages of latents that were generated are not those of the same text read as a prompt.
TEST_P(MtpEngine, keeps_its_own_pages_where_another_request_has_read_the_same_text) {
  const TinyDeepSeek tiny = make_model();
  const Request first = hot_request(60, 41, 140);
  const auto expected = one_by_one(*make_engine(tiny, config_with(0)), {first});
  Request second = hot_request(1, 7, 4);
  second.prompt = first.prompt;
  second.prompt.insert(second.prompt.end(), expected[0].tokens.begin(), expected[0].tokens.end());
  const auto engine = make_engine(tiny, config_with(0));
  one_by_one(*engine, {second});
  expect_same(expected, one_by_one(*engine, {first}), "after the text was read");
  one_by_one(*engine, {second});
  EXPECT_GT(engine->stats().cached_tokens, 128) << "answers stay in the cache for what follows";
}

TEST_P(MtpEngine, recomputes_preempted_requests_to_the_same_bits) {
  std::vector<Request> requests;
  for (uint64_t i = 0; i < 3; ++i) requests.push_back(hot_request(50, 40 + i, 200));
  const TinyDeepSeek tiny = make_model();
  const auto expected = one_by_one(*make_engine(tiny, config_with(0)), requests);
  EngineConfig tight = config_with(3);
  tight.kv_tokens = 320;  // five pages, for which they grow too long
  const auto engine = make_engine(tiny, tight);
  for (int round = 0; round < (kCheckedBuild ? 1 : 3); ++round) {
    expect_same(expected, together(*engine, requests), "preempted");
  }
  EXPECT_GT(engine->stats().mtp_accepted_tokens, 0);
  EXPECT_EQ(engine->stats().kv_tokens_used, 0);
}

INSTANTIATE_TEST_SUITE_P(Precisions, MtpEngine, testing::Values(Precision::kF32, Precision::kInt8),
                         [](const auto& tested) {
                           return std::string(precision_name(tested.param));
                         });

// A module that says what the model says saves nearly every second step.
TEST(MtpAcceptance, is_complete_where_the_module_says_what_the_model_will_say) {
  const auto tiny = TinyDeepSeek::make(shape_with(0.0), {Precision::kF32, 0, {}, 1});
  const auto engine = make_engine(tiny, config_with(3));
  const auto plain = make_engine(tiny, config_with(0));
  const Request request = hot_request(20, 2, 100);
  expect_same({*plain->generate(request)}, {*engine->generate(request)}, "copying module");
  const EngineStats stats = engine->stats();
  EXPECT_EQ(stats.mtp_accepted_tokens, stats.mtp_drafted_tokens);
  EXPECT_GE(stats.mtp_accepted_tokens, 45);
  EXPECT_LE(stats.steps, 55);
  EXPECT_EQ(plain->stats().steps, 100);
}

TEST(MtpAcceptance, is_nothing_where_the_module_says_the_opposite_which_is_seldom_tried) {
  const auto tiny = TinyDeepSeek::make(shape_with(0.0, -1.0), {Precision::kF32, 0, {}, 1});
  const auto engine = make_engine(tiny, config_with(3));
  const auto plain = make_engine(tiny, config_with(0));
  constexpr int64_t kRequests = 12, kTokens = 100;
  for (uint64_t i = 0; i < kRequests; ++i) {
    const Request request = hot_request(20, 2 * i, kTokens);
    expect_same({*plain->generate(request)}, {*engine->generate(request)}, "opposite");
  }
  const EngineStats stats = engine->stats();
  EXPECT_EQ(stats.mtp_accepted_tokens, 0);
  EXPECT_GT(stats.mtp_drafted_tokens, 5) << "it goes on trying";
  EXPECT_LT(stats.mtp_drafted_tokens, kRequests * kTokens / 40);
}

TEST(MtpAcceptance, is_not_tried_without_a_loaded_module_or_with_no_guesses_allowed) {
  const auto without = TinyDeepSeek::make(shape_with(0.0), {Precision::kF32, 0, {}, 0});
  const auto with = TinyDeepSeek::make(shape_with(0.0), {Precision::kF32, 0, {}, 1});
  const auto engine = make_engine(without, config_with(3));
  const auto plain = make_engine(with, config_with(0));
  const Request request = hot_request(20, 2, 50);
  expect_same({*plain->generate(request)}, {*engine->generate(request)}, "no module");
  EXPECT_EQ(engine->stats().mtp_drafted_tokens, 0);
  EXPECT_EQ(plain->stats().drafted_tokens, 0);
}

// The sixth token, drawn by guess and check, is distributed as it is without: chi-squared of the
// most frequent ones in two samples of other seeds each.
TEST(MtpAcceptance, leaves_the_distribution_of_sampled_tokens_as_it_is) {
  const auto tiny = TinyDeepSeek::make(shape_with(0.12), {Precision::kF32, 0, {}, 1});
  constexpr int kSamples = kCheckedBuild ? 150 : 1500;
  const auto sample = [&](Engine& engine, uint64_t first_seed) {
    std::map<int32_t, int> counts;
    for (int i = 0; i < kSamples; ++i) {
      Request request = hot_request(4, 8, 6);
      request.sampling.temperature = 7.0;
      request.sampling.seed = first_seed + static_cast<uint64_t>(i);
      ++counts[engine.generate(request)->tokens.back()];
    }
    return counts;
  };
  const auto engine = make_engine(tiny, config_with(3));
  auto guessed = sample(*engine, 1), plain = sample(*make_engine(tiny, config_with(0)), 1 << 20);
  EXPECT_GT(engine->stats().mtp_accepted_tokens, kSamples / 4);
  EXPECT_LT(engine->stats().mtp_accepted_tokens, engine->stats().mtp_drafted_tokens);
  double chi_squared = 0.0;
  int num_bins = 0, left_guessed = kSamples, left_plain = kSamples;
  const auto add_bin = [&](int a, int b) {
    chi_squared += static_cast<double>((a - b) * (a - b)) / std::max(1, a + b);
    ++num_bins;
  };
  for (const auto& [token, count] : plain) {
    if (count < 10) continue;
    add_bin(guessed[token], count);
    left_guessed -= guessed[token];
    left_plain -= count;
  }
  add_bin(left_guessed, left_plain);
  EXPECT_GE(num_bins, kCheckedBuild ? 2 : 4);
  // The mean of the distribution and four of its standard deviations.
  EXPECT_LT(chi_squared, num_bins + 4.0 * std::sqrt(2.0 * num_bins));
}

// The drafter over a runner of its own: guesses against forward_mtp() on the text as a whole.
class MtpGuesses : public testing::Test {
 protected:
  static constexpr int64_t kPages = 12;

  // What the module says at the end of a text given at once.
  int32_t expected(const std::vector<int32_t>& tokens) const {
    kernels::KvPages kv = tiny_.model->config().kv_pages(DType::kF32);
    const auto count = static_cast<int64_t>(tokens.size()) - 1;
    const Tensor memory = Tensor::zeros(DType::kI8, {count / 64 + 1, kv.page_bytes()});
    kv.data = memory.view().data;
    std::vector<int32_t> pages(static_cast<size_t>(count / 64 + 1));
    std::iota(pages.begin(), pages.end(), 0);
    ForwardBatch batch;
    batch.tokens.assign(tokens.begin(), tokens.end() - 1);
    batch.positions.resize(static_cast<size_t>(count));
    std::iota(batch.positions.begin(), batch.positions.end(), 0);
    batch.kv = {kv, {{0, count, 0, pages.data()}}};
    Tensor hidden;
    tiny_.model->forward({*tiny_.device}, batch, &hidden);
    batch.tokens.assign(tokens.begin() + 1, tokens.end());
    const Tensor logits = tiny_.model->forward_mtp({*tiny_.device}, batch, 1, hidden);
    return argmax({logits.view().row<float>(count - 1), 117});
  }

  struct Text {
    std::vector<int32_t> tokens;
    std::vector<int32_t> pages;
    MtpDrafter::State state;
  };
  // Runs rows [begin, end) of a text; the module's too unless `main_only`.
  void run(Text& text, int64_t begin, int64_t end, bool main_only = false) {
    Tensor hidden;
    runner_.run({{std::span(text.tokens).subspan(begin, end - begin), begin, &text.pages, 0}},
                &hidden);
    if (main_only) return;
    drafter_.learn(0, 4);  // so that it pays, and has paid
    const std::span<const int32_t> known =
        std::span(text.tokens)
            .first(end + 1 == static_cast<int64_t>(text.tokens.size()) ? end + 1 : end + 2);
    drafter_.guess(runner_, hidden, {{&text.state, known, &text.pages, begin, end, 0, 1 << 20}});
  }
  static int32_t guess_of(const Text& text) {
    return text.state.guess_after(static_cast<int64_t>(text.tokens.size())).value_or(-1);
  }

  TinyDeepSeek tiny_ = TinyDeepSeek::make(shape_with(0.5), {Precision::kF32, 0, {}, 1});
  ModelRunner runner_{*tiny_.device, *tiny_.model, DType::kF32, kPages};
  MtpDrafter drafter_{tiny_.model->config(), kPages, 117};
};

TEST_F(MtpGuesses, are_those_of_the_module_on_the_whole_text_whatever_the_chunks) {
  for (const int64_t chunk : {512, 64, 7, 1}) {
    for (const int64_t length : {2, 64, 65, 66, 130}) {
      Text text{random_prompt(length, 7 + length), {3, 0, 5}, {}};
      for (int64_t at = 0; at < length - 1; at += chunk) {
        run(text, at, std::min(at + chunk, length - 1));
      }
      EXPECT_EQ(guess_of(text), expected(text.tokens)) << length << " in chunks of " << chunk;
    }
  }
}

TEST_F(MtpGuesses, find_the_module_s_keys_in_pages_of_another_text_that_goes_on_alike) {
  Text first{random_prompt(190, 3), {0, 1, 2}, {}};
  run(first, 0, 189);
  Text second = first;
  second.pages = {0, 1, 6};  // of the second page's end the next token is the same
  second.state = {};
  for (size_t i = 129; i < 190; ++i) second.tokens[i] = (second.tokens[i] + 1) % 117;
  run(second, 128, 189);
  EXPECT_EQ(guess_of(second), expected(second.tokens));
}

// Where the next token differs, or rows are missing, the module sees the later pages only: there
// the guess is that of another text, which begins after them.
TEST_F(MtpGuesses, leave_out_pages_that_are_not_right) {
  Text first{random_prompt(190, 3), {0, 1, 2}, {}};
  run(first, 0, 189);
  for (const bool forgotten : {false, true}) {
    Text second = first;
    second.pages = {0, 1, 6};
    second.state = {};
    if (forgotten) drafter_.forget(1);
    if (!forgotten) second.tokens[128] = (second.tokens[128] + 1) % 117;
    run(second, 128, 189);
    // The same with a page table whose first two pages hold other numbers.
    Text third = second;
    third.pages = {7, 8, 9};
    third.state = {};
    run(third, 0, 128, true);
    run(third, 128, 189);
    EXPECT_EQ(guess_of(second), guess_of(third)) << forgotten;
  }
}

TEST_F(MtpGuesses, go_on_after_a_gap_at_the_next_page) {
  Text text{random_prompt(190, 5), {0, 1, 2}, {}};
  run(text, 0, 30);
  run(text, 30, 40, true);  // guessing did not pay
  run(text, 40, 63);
  EXPECT_EQ(text.state.end, 30) << "rows that would leave a gap in the page are not computed";
  run(text, 63, 100);
  EXPECT_EQ(text.state.end, 100);
  run(text, 100, 189);
  Text late = text;
  late.pages = {9, 10, 11};
  late.state = {};
  run(late, 0, 64, true);
  run(late, 64, 189);
  EXPECT_EQ(guess_of(text), guess_of(late));
}

}  // namespace
}  // namespace minke
