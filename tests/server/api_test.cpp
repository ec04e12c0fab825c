// Answers of the request path without sockets: schemas, chunks, usage. The generator is scripted,
// so what a client must get is known to the byte.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "tests/server/api_fixture.h"

namespace minke {
namespace {

TEST_F(ApiTest, AChatIsAnsweredWithUsageThatAddsUp) {
  const Json answer = json(chat(""));
  EXPECT_EQ(at(answer, {"object"}).as_string(), "chat.completion");
  EXPECT_EQ(at(answer, {"model"}).as_string(), "tiny");
  EXPECT_EQ(at(answer, {"choices", "0", "message", "content"}).as_string(), "Hello world");
  EXPECT_EQ(at(answer, {"choices", "0", "finish_reason"}).as_string(), "stop");
  EXPECT_TRUE(at(answer, {"choices", "0", "logprobs"}).is_null());
  EXPECT_EQ(answer.find("choices")->as_array()[0].find("message")->find("reasoning_content"),
            nullptr);
  const Json& usage = at(answer, {"usage"});
  const auto count = [&](const char* name) { return at(usage, {name}).as_int(); };
  EXPECT_EQ(count("completion_tokens"), 11);
  EXPECT_EQ(count("prompt_tokens"), static_cast<int64_t>(generator_->requests()[0].prompt.size()));
  EXPECT_EQ(count("total_tokens"), count("prompt_tokens") + count("completion_tokens"));
  EXPECT_EQ(count("prompt_cache_hit_tokens") + count("prompt_cache_miss_tokens"),
            count("prompt_tokens"));
  EXPECT_EQ(at(usage, {"prompt_tokens_details", "cached_tokens"}).as_int(),
            count("prompt_cache_hit_tokens"));
  EXPECT_LE(at(usage, {"completion_tokens_details", "reasoning_tokens"}).as_int(),
            count("completion_tokens"));
}

TEST_F(ApiTest, ThePromptIsTheTemplatesAndControlTextInItStaysText) {
  post("/v1/chat/completions",
       R"({"model":"tiny-alias","messages":[{"role":"developer","content":"Be brief"},
           {"role":"user","content":[{"type":"text","text":"<|im"},
            {"type":"text","text":"_end|>"}]}]})");
  const std::vector<int32_t> prompt = generator_->requests().at(0).prompt;
  EXPECT_EQ(text_->tokenizer.decode(prompt),
            "<|im_start|>system\nBe brief<|im_end|>\n<|im_start|>user\n<|im_end|><|im_end|>\n"
            "<|im_start|>assistant\n");
  EXPECT_EQ(std::count(prompt.begin(), prompt.end(), TinyText::kTurnEnd), 2);
}

TEST_F(ApiTest, SettingsReachTheGenerator) {
  chat(R"("temperature":0.5,"top_p":0.9,"top_k":7,"min_p":0.05,"repetition_penalty":1.1,
       "frequency_penalty":-1,"presence_penalty":2,"seed":-5,"max_completion_tokens":3,
       "logit_bias":{"65":-100,"66":2.5},"user":"x",
        "unknown_field":{"a":[1]},"top_logprobs":null)");
  const Request request = generator_->requests().at(0);
  EXPECT_EQ(request.sampling.temperature, 0.5);
  EXPECT_EQ(request.sampling.top_p, 0.9);
  EXPECT_EQ(request.sampling.top_k, 7);
  EXPECT_EQ(request.sampling.min_p, 0.05);
  EXPECT_EQ(request.sampling.repetition_penalty, 1.1);
  EXPECT_EQ(request.sampling.frequency_penalty, -1);
  EXPECT_EQ(request.sampling.presence_penalty, 2);
  EXPECT_EQ(request.sampling.seed, static_cast<uint64_t>(-5));
  EXPECT_EQ(request.max_tokens, 3);
  EXPECT_EQ(request.num_top_logprobs, -1);
  const std::vector<std::pair<int32_t, float>> bias = {{65, -100.0f}, {66, 2.5f}};
  EXPECT_EQ(request.sampling.logit_bias, bias);
  EXPECT_EQ(request.stop_tokens, text_->tokenizer.end_of_generation_ids());
}

TEST_F(ApiTest, DefaultsAreTheApisAndSeedsDiffer) {
  chat("");
  chat("");
  const std::vector<Request> requests = generator_->requests();
  EXPECT_EQ(requests[0].sampling.temperature, 1.0);
  EXPECT_EQ(requests[0].max_tokens, 4096 - static_cast<int>(requests[0].prompt.size()));
  EXPECT_NE(requests[0].sampling.seed, requests[1].sampling.seed);
}

TEST_F(ApiTest, WhatTheModelRecommendsHoldsWhereTheRequestSaysNothing) {
  ServedModel model = text_->served(generator_.get());
  model.sampling.temperature = 0.6;
  model.sampling.top_k = 20;
  api_ = std::make_unique<Api>(ServerConfig{}, model);
  chat(R"("top_k":3)");
  const Request request = generator_->requests().at(0);
  EXPECT_EQ(request.sampling.temperature, 0.6);
  EXPECT_EQ(request.sampling.top_k, 3);
}

TEST_F(ApiTest, AStreamSaysTheSameInChunks) {
  const auto reply = chat(R"("stream":true,"stream_options":{"include_usage":true})");
  EXPECT_EQ(reply.content_type, "text/event-stream; charset=utf-8");
  const std::vector<Json> chunks = events(reply.body);
  ASSERT_GE(chunks.size(), 5u);
  EXPECT_EQ(at(chunks[0], {"choices", "0", "delta", "role"}).as_string(), "assistant");
  EXPECT_EQ(at(chunks[0], {"choices", "0", "delta", "content"}).as_string(), "");
  EXPECT_EQ(chunks.back(), Json("DONE"));
  std::string content;
  for (size_t i = 0; i + 2 < chunks.size(); ++i) {
    EXPECT_EQ(at(chunks[i], {"object"}).as_string(), "chat.completion.chunk");
    EXPECT_EQ(at(chunks[i], {"id"}), at(chunks[0], {"id"}));
    EXPECT_EQ(at(chunks[i], {"created"}), at(chunks[0], {"created"}));
    ASSERT_NE(chunks[i].find("usage"), nullptr);
    EXPECT_TRUE(chunks[i].find("usage")->is_null());
    content += at(chunks[i], {"choices", "0", "delta", "content"}).as_string();
    const bool last = i + 3 == chunks.size();
    EXPECT_EQ(at(chunks[i], {"choices", "0", "finish_reason"}).is_string(), last);
  }
  EXPECT_EQ(content, "Hello world");
  const Json& usage = chunks[chunks.size() - 2];
  EXPECT_TRUE(at(usage, {"choices"}).as_array().empty());
  EXPECT_EQ(at(usage, {"usage", "completion_tokens"}).as_int(), 11);
}

TEST_F(ApiTest, AStreamWithoutUsageHasNone) {
  for (const Json& chunk : events(chat(R"("stream":true)").body)) {
    EXPECT_EQ(chunk.find("usage"), nullptr);
  }
}

TEST_F(ApiTest, MaxTokensEndsWithLength) {
  const Json answer = json(chat(R"("max_tokens":4)"));
  EXPECT_EQ(at(answer, {"choices", "0", "message", "content"}).as_string(), "Hell");
  EXPECT_EQ(at(answer, {"choices", "0", "finish_reason"}).as_string(), "length");
}

TEST_F(ApiTest, AStopStringAcrossTokensEndsTheAnswerAndTheGeneration) {
  start({.tokens = {'a', ' ', TinyText::kWor, TinyText::kLdSt, TinyText::kOp, 'x'},
         .endless = true,
         .per_token = std::chrono::milliseconds(1)});
  for (const char* stream : {"", R"("stream":true,)"}) {
    const auto reply = chat(std::string(stream) + R"("stop":["nothing","STOP"])");
    std::string content;
    if (stream[0] == '\0') {
      content = at(json(reply), {"choices", "0", "message", "content"}).as_string();
      EXPECT_EQ(at(json(reply), {"choices", "0", "finish_reason"}).as_string(), "stop");
    } else {
      for (const Json& chunk : events(reply.body)) {
        const Json& piece = at(chunk, {"choices", "0", "delta", "content"});
        if (piece.is_string()) content += piece.as_string();
      }
    }
    EXPECT_EQ(content, "a world ");
    EXPECT_TRUE(generator_->wait_idle());
  }
  EXPECT_EQ(generator_->num_cancelled(), 2);
}

TEST_F(ApiTest, HalfACharacterIsNeverSent) {
  start({.tokens = Script::bytes("h\xC3\xA9\xF0\x9F\x90\x8B!")});
  std::string content;
  for (const Json& chunk : events(chat(R"("stream":true)").body)) {
    const Json& piece = at(chunk, {"choices", "0", "delta", "content"});
    if (piece.is_string()) content += piece.as_string();
  }
  EXPECT_EQ(content, "h\xC3\xA9\xF0\x9F\x90\x8B!");
}

TEST_F(ApiTest, SeveralAnswersHaveSeedsOfTheirOwnAndThePromptCountsOnce) {
  const Json answer = json(chat(R"("n":3,"seed":7)"));
  ASSERT_EQ(at(answer, {"choices"}).as_array().size(), 3u);
  for (int i = 0; i < 3; ++i) {
    const Json& choice = at(answer, {"choices"}).as_array()[static_cast<size_t>(i)];
    EXPECT_EQ(at(choice, {"index"}).as_int(), i);
    EXPECT_EQ(at(choice, {"message", "content"}).as_string(), "Hello world");
  }
  const std::vector<Request> requests = generator_->requests();
  ASSERT_EQ(requests.size(), 3u);
  EXPECT_EQ(requests[0].sampling.seed, 7u);
  EXPECT_NE(requests[1].sampling.seed, requests[2].sampling.seed);
  EXPECT_EQ(at(answer, {"usage", "prompt_tokens"}).as_int(),
            static_cast<int64_t>(requests[0].prompt.size()));
  EXPECT_EQ(at(answer, {"usage", "completion_tokens"}).as_int(), 33);
}

TEST_F(ApiTest, SeveralStreamedAnswersEachHaveOneRoleAndOneEnd) {
  std::map<int64_t, std::string> contents;
  std::map<int64_t, int> ends;
  const std::vector<Json> chunks = events(chat(R"("n":4,"stream":true)").body);
  EXPECT_EQ(chunks.back(), Json("DONE"));
  for (const Json& chunk : chunks) {
    if (!chunk.is_object()) continue;
    const int64_t index = at(chunk, {"choices", "0", "index"}).as_int();
    const Json& content = at(chunk, {"choices", "0", "delta", "content"});
    if (content.is_string()) contents[index] += content.as_string();
    if (at(chunk, {"choices", "0", "finish_reason"}).is_string()) ++ends[index];
  }
  ASSERT_EQ(contents.size(), 4u);
  for (const auto& [index, content] : contents) EXPECT_EQ(content, "Hello world") << index;
  for (const auto& [index, count] : ends) EXPECT_EQ(count, 1) << index;
}

TEST_F(ApiTest, LogprobsNameEveryTokenWithItsBytes) {
  start({.tokens = {'A', 0xC3, 0xA9}});
  const Json answer = json(chat(R"("logprobs":true,"top_logprobs":2)"));
  const Json& entries = at(answer, {"choices", "0", "logprobs", "content"});
  ASSERT_EQ(entries.as_array().size(), 3u);
  EXPECT_EQ(at(entries, {"0", "token"}).as_string(), "A");
  EXPECT_EQ(at(entries, {"0", "logprob"}).as_double(), -0.25);
  EXPECT_EQ(at(entries, {"0", "top_logprobs"}).as_array().size(), 2u);
  EXPECT_EQ(at(entries.as_array()[1], {"bytes"}), Json(Json::Array{Json(0xC3)}));
  EXPECT_EQ(generator_->requests().back().num_top_logprobs, 2);
  const Json none = json(chat(R"("logprobs":true)"));
  EXPECT_TRUE(
      at(none, {"choices", "0", "logprobs", "content", "0", "top_logprobs"}).as_array().empty());
}

TEST_F(ApiTest, StreamedLogprobsAreTheSameAsWhole) {
  const Json whole = json(chat(R"("logprobs":true)"));
  Json::Array joined;
  for (const Json& chunk : events(chat(R"("stream":true,"logprobs":true)").body)) {
    const Json& entries = at(chunk, {"choices", "0", "logprobs", "content"});
    if (!entries.is_array()) continue;
    for (const Json& entry : entries.as_array()) joined.push_back(entry);
  }
  EXPECT_EQ(Json(joined), at(whole, {"choices", "0", "logprobs", "content"}));
}

TEST_F(ApiTest, AThoughtIsSplitOffByControlTokensOrByText) {
  const auto answer_with = [&](std::vector<int32_t> before, std::vector<int32_t> after) {
    std::vector<int32_t> tokens = std::move(before);
    for (const int32_t id : Script::bytes("\nI think.\n")) tokens.push_back(id);
    tokens.insert(tokens.end(), after.begin(), after.end());
    for (const int32_t id : Script::bytes("\n\nBlue.")) tokens.push_back(id);
    start({.tokens = tokens}, TinyText::kThinking);
    const Json answer = json(chat(""));
    EXPECT_EQ(at(answer, {"choices", "0", "message", "content"}).as_string(), "Blue.");
    EXPECT_EQ(at(answer, {"choices", "0", "message", "reasoning_content"}).as_string(), "I think.");
    const int64_t thought =
        at(answer, {"usage", "completion_tokens_details", "reasoning_tokens"}).as_int();
    EXPECT_GE(thought, 9);
    EXPECT_LE(thought, at(answer, {"usage", "completion_tokens"}).as_int() - 5);
    std::string reasoning, content;
    for (const Json& chunk : events(chat(R"("stream":true)").body)) {
      const Json& delta = at(chunk, {"choices", "0", "delta"});
      if (at(delta, {"reasoning_content"}).is_string()) {
        reasoning += at(delta, {"reasoning_content"}).as_string();
      }
      if (at(delta, {"content"}).is_string()) content += at(delta, {"content"}).as_string();
    }
    EXPECT_EQ(reasoning, "I think.");
    EXPECT_EQ(content, "Blue.");
  };
  answer_with({TinyText::kThink}, {TinyText::kThinkEnd});
  answer_with(Script::bytes("<think>"), Script::bytes("</think>"));
}

TEST_F(ApiTest, ACompletionContinuesTextAndTokens) {
  const Json answer = json(post("/v1/completions", R"({"model":"tiny","prompt":"Once"})"));
  EXPECT_EQ(at(answer, {"object"}).as_string(), "text_completion");
  EXPECT_EQ(at(answer, {"choices", "0", "text"}).as_string(), "Hello world");
  EXPECT_EQ(generator_->requests()[0].max_tokens, 16);
  EXPECT_EQ(generator_->requests()[0].prompt, Script::bytes("Once"));
  json(post("/completions", R"({"model":"tiny","prompt":[1,2,3],"max_tokens":2})"));
  EXPECT_EQ(generator_->requests()[1].prompt, (std::vector<int32_t>{1, 2, 3}));
}

TEST_F(ApiTest, CompletionsOfSeveralPromptsEcho) {
  const Json answer =
      json(post("/beta/completions", R"({"model":"tiny","prompt":["ab","c"],"n":2,"echo":true})"));
  const Json::Array& choices = at(answer, {"choices"}).as_array();
  ASSERT_EQ(choices.size(), 4u);
  EXPECT_EQ(at(choices[1], {"text"}).as_string(), "abHello world");
  EXPECT_EQ(at(choices[2], {"text"}).as_string(), "cHello world");
  EXPECT_EQ(at(answer, {"usage", "prompt_tokens"}).as_int(), 3);
  std::string streamed;
  for (const Json& chunk :
       events(post("/v1/completions", R"({"model":"tiny","prompt":"ab","echo":true,"stream":true})")
                  .body)) {
    const Json& text = at(chunk, {"choices", "0", "text"});
    if (text.is_string()) streamed += text.as_string();
  }
  EXPECT_EQ(streamed, "abHello world");
}

TEST_F(ApiTest, CompletionLogprobsCountOffsets) {
  const Json answer =
      json(post("/v1/completions", R"({"model":"tiny","prompt":"x","logprobs":1,"max_tokens":3})"));
  const Json& logprobs = at(answer, {"choices", "0", "logprobs"});
  EXPECT_EQ(at(logprobs, {"tokens"}), Json(Json::Array{Json("H"), Json("e"), Json("l")}));
  EXPECT_EQ(at(logprobs, {"text_offset"}), Json(Json::Array{Json(0), Json(1), Json(2)}));
  EXPECT_EQ(at(logprobs, {"top_logprobs", "0", "A"}).as_double(), -0.25);
}

TEST_F(ApiTest, ARefusedRequestCancelsItsSiblings) {
  start({.tokens = Script::bytes("x"), .endless = true, .refuse_from = 2});
  const auto reply = chat(R"("n":4,"stream":true)");
  expect_error(reply, 503, "", "the script refuses");
  EXPECT_EQ(reply.num_answers, 1);
  EXPECT_TRUE(generator_->wait_idle());
  start({.tokens = {}, .refuse_from = 0, .refusal = ErrorCode::kUsage});
  expect_error(chat(""), 400, "", "the script refuses");
}

TEST_F(ApiTest, AFailedGenerationKeepsItsTextAndSaysSo) {
  start({.tokens = Script::bytes("part"), .finish = FinishReason::kFailed});
  const Json answer = json(chat(""));
  EXPECT_EQ(at(answer, {"choices", "0", "message", "content"}).as_string(), "part");
  EXPECT_EQ(at(answer, {"choices", "0", "finish_reason"}).as_string(),
            "insufficient_system_resource");
}

TEST_F(ApiTest, AClientThatLeavesCancelsItsGeneration) {
  start({.tokens = Script::bytes("x"), .endless = true, .per_token = std::chrono::milliseconds(1)});
  const uint64_t exchange = channel_.start(
      *api_, json_post("/v1/completions",
                       R"({"model":"tiny","prompt":"a","n":2,"max_tokens":4000,"stream":true})"));
  while (generator_->stats().running < 2) std::this_thread::yield();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  // Nothing else ends this stream within the time that wait_idle allows.
  channel_.wait_streaming(exchange)();
  EXPECT_TRUE(generator_->wait_idle());
  EXPECT_EQ(generator_->num_cancelled(), 2);
  EXPECT_EQ(api_->runs().counts().cancelled, 1);
}

TEST_F(ApiTest, CancelAllEndsStreamsWithAnErrorEvent) {
  start({.tokens = Script::bytes("x"), .endless = true, .per_token = std::chrono::milliseconds(1)});
  const std::string fields = R"({"model":"tiny","prompt":"a","max_tokens":4000)";
  const uint64_t stream =
      channel_.start(*api_, json_post("/v1/completions", fields + R"(,"stream":true})"));
  const uint64_t whole = channel_.start(*api_, json_post("/v1/completions", fields + "}"));
  while (generator_->stats().running < 2) std::this_thread::yield();
  channel_.wait_streaming(stream);
  channel_.wait_streaming(whole);
  api_->runs().cancel_all("closing time");
  const std::vector<Json> chunks = events(channel_.wait(stream).body);
  EXPECT_EQ(at(chunks.back(), {"error", "message"}).as_string(), "closing time");
  expect_error(channel_.wait(whole), 503, "", "closing time");
  EXPECT_TRUE(generator_->wait_idle());
}

TEST_F(ApiTest, AGeneratorThatAnswersInsideSubmitIsFine) {
  TinyText text;
  ScriptedGenerator generator({.tokens = Script::bytes("inline")}, true);
  Api api({}, text.served(&generator), Api::Work::kInline);
  const auto reply = channel_.call(
      api, json_post("/v1/completions", R"({"model":"tiny","prompt":"a","n":3,"stream":true})"));
  EXPECT_EQ(events(reply.body).back(), Json("DONE"));
  EXPECT_EQ(api.runs().counts().running, 0);
}

TEST_F(ApiTest, ThePageEscapesAndForbidsScripts) {
  HttpRequest request = json_post("/", "");
  request.method = "GET";
  const auto reply = channel_.call(*api_, request);
  EXPECT_EQ(reply.content_type, "text/html; charset=utf-8");
  EXPECT_NE(reply.body.find("a &lt;test&gt; model"), std::string::npos);
  EXPECT_EQ(reply.body.find("<script"), std::string::npos);
  EXPECT_EQ(reply.body.find("src="), std::string::npos);
  EXPECT_EQ(reply.headers.at(0).name, "Content-Security-Policy");
  EXPECT_TRUE(reply.headers.at(0).value.starts_with("default-src 'none'"));
}

TEST_F(ApiTest, ModelsAreListedWithAllKeys) {
  HttpRequest request = json_post("/v1/models", "");
  request.method = "GET";
  const Json list = json(channel_.call(*api_, request));
  EXPECT_EQ(at(list, {"object"}).as_string(), "list");
  ASSERT_EQ(at(list, {"data"}).as_array().size(), 2u);
  for (const char* key : {"id", "object", "created", "owned_by"}) {
    EXPECT_FALSE(at(list, {"data", "0", key}).is_null()) << key;
  }
  request.path = "/v1/models/tiny";
  EXPECT_EQ(channel_.call(*api_, request).status, 200);
  request.path = "/v1/models/other";
  EXPECT_EQ(channel_.call(*api_, request).status, 404);
}

}  // namespace
}  // namespace minke
