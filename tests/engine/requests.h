#pragma once
#include <gtest/gtest.h>

#include <future>
#include <vector>

#include "minke/base/random.h"
#include "minke/engine/engine.h"

// Random requests for the tests of the engine, to models with a vocabulary of 117.
namespace minke {

inline std::vector<int32_t> random_prompt(int64_t count, uint64_t seed) {
  Random random(seed);
  std::vector<int32_t> tokens(static_cast<size_t>(count));
  for (int32_t& token : tokens) token = static_cast<int32_t>(random.below(117));
  return tokens;
}

/// With an even seed greedy, else drawn at `temperature`.
inline Request make_request(int64_t prompt_tokens, uint64_t seed, int max_tokens = 24,
                            double temperature = 0.9) {
  Request request;
  request.prompt = random_prompt(prompt_tokens, seed);
  request.max_tokens = max_tokens;
  request.num_top_logprobs = 2;
  request.sampling.seed = seed;
  request.sampling.temperature = seed % 2 == 0 ? 0.0 : temperature;
  return request;
}

/// Runs all requests at once, each submitted from its own thread.
inline std::vector<Engine::Generated> together(Engine& engine,
                                               const std::vector<Request>& requests) {
  std::vector<std::future<Engine::Generated>> futures;
  for (const Request& request : requests) {
    futures.push_back(std::async(std::launch::async, [&engine, request] {
      auto result = engine.generate(request);
      EXPECT_TRUE(result) << result.error().message;
      return std::move(*result);
    }));
  }
  std::vector<Engine::Generated> out;
  for (auto& future : futures) out.push_back(future.get());
  return out;
}

}  // namespace minke
