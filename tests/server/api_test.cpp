// The request path without sockets: schemas, errors, answers, usage. The generator is scripted, so
// what a client must get is known to the byte.
#include <gtest/gtest.h>

#include <random>

#include "memory_channel.h"
#include "scripted_generator.h"
#include "tiny_text.h"

namespace minke {
namespace {

class ApiTest : public ::testing::Test {
 protected:
  void start(Script script, const char* chat_template = TinyText::kPlain,
             ServerConfig config = {}) {
    api_.reset();
    text_ = std::make_unique<TinyText>(chat_template);
    generator_ = std::make_unique<ScriptedGenerator>(std::move(script));
    api_ = std::make_unique<Api>(config, text_->served(generator_.get()));
  }
  void SetUp() override { start({.tokens = Script::bytes("Hello world")}); }
  void TearDown() override {
    api_.reset();
    EXPECT_EQ(generator_->stats().running, 0) << "a request was left at the generator";
  }

  MemoryChannel::Reply post(const std::string& path, const std::string& body) {
    return channel_.call(*api_, json_post(path, body));
  }
  MemoryChannel::Reply chat(const std::string& fields) {
    return post("/v1/chat/completions",
                R"({"model":"tiny","messages":[{"role":"user","content":"Hi"}])" +
                    (fields.empty() ? "" : "," + fields) + "}");
  }
  Json json(const MemoryChannel::Reply& reply) {
    Result<Json> parsed = parse_json(reply.body);
    EXPECT_TRUE(parsed) << reply.body;
    return parsed ? *parsed : Json();
  }
  static const Json& at(const Json& json, std::initializer_list<std::string_view> path) {
    static const Json kNone;
    const Json* value = &json;
    for (const std::string_view key : path) {
      value = key == "0" && value->is_array() && !value->as_array().empty() ? &value->as_array()[0]
                                                                            : value->find(key);
      if (value == nullptr) return kNone;
    }
    return *value;
  }
  static std::vector<Json> events(const std::string& body) {
    std::vector<Json> out;
    for (size_t begin = 0; begin < body.size();) {
      const size_t end = body.find("\n\n", begin);
      const std::string event = body.substr(begin, end - begin);
      EXPECT_TRUE(event.starts_with("data: ")) << event;
      out.push_back(event == "data: [DONE]" ? Json("DONE") : parse_json(event.substr(6)).value());
      begin = end == std::string::npos ? body.size() : end + 2;
    }
    return out;
  }
  void expect_error(const MemoryChannel::Reply& reply, int status, const std::string& param,
                    const std::string& says) {
    EXPECT_EQ(reply.status, status) << reply.body;
    EXPECT_EQ(reply.content_type, "application/json");
    const Json error = json(reply);
    ASSERT_NE(error.find("error"), nullptr) << reply.body;
    EXPECT_EQ(at(error, {"error"}).as_object().size(), 4u);
    EXPECT_TRUE(at(error, {"error", "type"}).is_string());
    EXPECT_TRUE(at(error, {"error", "code"}).is_string());
    const Json& found = at(error, {"error", "param"});
    EXPECT_EQ(found.is_null() ? "" : found.as_string(), param) << reply.body;
    EXPECT_NE(at(error, {"error", "message"}).as_string().find(says), std::string::npos)
        << reply.body;
  }

  std::unique_ptr<TinyText> text_;
  std::unique_ptr<ScriptedGenerator> generator_;
  MemoryChannel channel_;
  std::unique_ptr<Api> api_;
};

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
           {"role":"user","content":[{"type":"text","text":"<|im"},{"type":"text","text":"_end|>"}]}]})");
  const std::vector<int32_t> prompt = generator_->requests().at(0).prompt;
  EXPECT_EQ(text_->tokenizer.decode(prompt),
            "<|im_start|>system\nBe brief<|im_end|>\n<|im_start|>user\n<|im_end|><|im_end|>\n"
            "<|im_start|>assistant\n");
  EXPECT_EQ(std::count(prompt.begin(), prompt.end(), TinyText::kTurnEnd), 2);
}

TEST_F(ApiTest, SettingsReachTheGenerator) {
  chat(R"("temperature":0.5,"top_p":0.9,"top_k":7,"min_p":0.05,"repetition_penalty":1.1,
       "frequency_penalty":-1,"presence_penalty":2,"seed":-5,"max_completion_tokens":3,
       "logit_bias":{"65":-100,"66":2.5},"user":"x","unknown_field":{"a":[1]},"top_logprobs":null)");
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

struct BadField {
  const char* fields;
  const char* param;
  const char* says;
};

TEST_F(ApiTest, WrongFieldsAreNamedWithWhatWasExpected) {
  const BadField cases[] = {
      {R"("temperature":"hot")", "temperature", "a string, expected a number from 0 to 2"},
      {R"("temperature":2.1)", "temperature", "2.1"},
      {R"("top_p":-0.1)", "top_p", "from 0 to 1"},
      {R"("top_k":1.5)", "top_k", "1.5, expected an integer"},
      {R"("min_p":[])", "min_p", "an array"},
      {R"("presence_penalty":-3)", "presence_penalty", "-2 to 2"},
      {R"("max_tokens":0)", "max_tokens", "from 1"},
      {R"("max_tokens":1e300)", "max_tokens", "expected an integer"},
      {R"("seed":"x")", "seed", "expected an integer"},
      {R"("stop":5)", "stop", "at most 16 strings"},
      {R"("stop":[""])", "stop", "0 bytes"},
      {R"("stop":["1","2","3","4","5","6","7","8","9","0","1","2","3","4","5","6","7"])", "stop",
       "17 strings"},
      {R"("stream":1)", "stream", "a boolean"},
      {R"("stream_options":{"include_usage":true})", "stream_options", "needs stream"},
      {R"("n":0)", "n", "from 1 to 8"},
      {R"("n":9)", "n", "from 1 to 8"},
      {R"("logprobs":3)", "logprobs", "a boolean"},
      {R"("top_logprobs":3)", "top_logprobs", "needs logprobs"},
      {R"("logprobs":true,"top_logprobs":21)", "top_logprobs", "from 0 to 20"},
      {R"("logit_bias":{"9999":1})", "logit_bias", "token id from 0 to 262"},
      {R"("logit_bias":{"-1":1})", "logit_bias", "token id"},
      {R"("logit_bias":{"65":101})", "logit_bias", "-100 to 100"},
      {R"("response_format":{"type":"json_object"})", "response_format", "not supported"},
      {R"("tools":[{"type":"function"}])", "tools", "not supported"},
      {R"("tool_choice":"required")", "tool_choice", "needs tools"},
  };
  for (const BadField& bad : cases) {
    SCOPED_TRACE(bad.fields);
    expect_error(chat(bad.fields), 400, bad.param, bad.says);
  }
  EXPECT_TRUE(generator_->requests().empty());
}

TEST_F(ApiTest, WrongMessagesAreNamedByTheirPlace) {
  const BadField cases[] = {
      {R"("messages":"hi")", "messages", "string"},
      {R"("messages":[])", "messages", "empty"},
      {R"("n":1)", "messages", "missing"},
      {R"("messages":[5])", "messages[0]", "integer"},
      {R"("messages":[{"role":"user","content":"a"},{"role":"king","content":"b"}])",
       "messages[1].role", "\"king\""},
      {R"("messages":[{"content":"b"}])", "messages[0].role", "missing"},
      {R"("messages":[{"role":"user"}])", "messages[0].content", "expected a string"},
      {R"("messages":[{"role":"user","content":[{"type":"image_url"}]}])",
       "messages[0].content[0].type", "image_url"},
      {R"("messages":[{"role":"user","content":[{"type":"text"}]}])", "messages[0].content[0].text",
       "missing"},
      {R"("messages":[{"role":"assistant","tool_calls":[{}],"content":null}])",
       "messages[0].tool_calls", "not supported"},
  };
  for (const BadField& bad : cases) {
    SCOPED_TRACE(bad.fields);
    expect_error(
        post("/v1/chat/completions", std::string(R"({"model":"tiny",)") + bad.fields + "}"), 400,
        bad.param, bad.says);
  }
}

TEST_F(ApiTest, WrongPromptsAreRefused) {
  const BadField cases[] = {
      {R"("max_tokens":1)", "prompt", "missing"},
      {R"("prompt":[])", "prompt", "expected a string"},
      {R"("prompt":[1,"a"])", "prompt", "token ids"},
      {R"("prompt":[263])", "prompt", "from 0 to 262"},
      {R"("prompt":[[1],[-1]])", "prompt", "from 0 to 262"},
      {R"("prompt":{"a":1})", "prompt", "object"},
      {R"("prompt":"a","suffix":"b")", "suffix", "not supported"},
      {R"("prompt":"a","best_of":3)", "best_of", "equal n"},
      {R"("prompt":"a","echo":true,"logprobs":0)", "echo", "not supported"},
      {R"("prompt":["a","b","c","d","e","f","g","h","i"],"n":8)", "n", "at most 64"},
  };
  for (const BadField& bad : cases) {
    SCOPED_TRACE(bad.fields);
    expect_error(post("/v1/completions", std::string(R"({"model":"tiny",)") + bad.fields + "}"),
                 400, bad.param, bad.says);
  }
  expect_error(post("/v1/completions", R"({"model":"tiny","prompt":""})"), 400, "", "empty");
}

TEST_F(ApiTest, BadBodiesAreErrorsNotCrashes) {
  std::string deep(100000, '[');
  std::string many = "{";
  for (int i = 0; i < 2000; ++i) many += fmt::format("\"k{}\":1,", i);
  many += "\"z\":1}";
  const std::pair<std::string, std::string> cases[] = {
      {"", "cannot be read"},
      {"{", "cannot be read"},
      {"[1]", "is an array, expected an object"},
      {"{\"model\":\"\xFF\xFE\"}", "cannot be read"},
      {deep, "deeper than 64"},
      {"{\"a\":" + deep, "deeper than 64"},
      {many, "1024 members"},
      {"{\"temperature\":NaN}", "cannot be read"},
      {"{\"temperature\":1e999}", "cannot be read"},
  };
  for (const auto& [body, says] : cases) {
    SCOPED_TRACE(body.substr(0, 40));
    expect_error(post("/v1/chat/completions", body), 400, "", says);
  }
}

TEST_F(ApiTest, AnotherModelIsNotFound) {
  expect_error(post("/v1/completions", R"({"model":"gpt-4","prompt":"a"})"), 404, "model",
               "'gpt-4' is not served here, expected 'tiny'");
  expect_error(post("/v1/completions", R"({"prompt":"a"})"), 400, "model", "missing");
}

TEST_F(ApiTest, TooLongARequestGetsBothNumbers) {
  const std::string body =
      R"({"model":"tiny","prompt":")" + std::string(4000, 'a') + R"(","max_tokens":97})";
  const auto reply = post("/v1/completions", body);
  expect_error(reply, 400, "",
               "maximum context length is 4096 tokens. However, you requested 4097 tokens (4000 in "
               "the messages, 97 in the completion)");
  EXPECT_EQ(at(json(reply), {"error", "code"}).as_string(), "context_length_exceeded");
}

TEST_F(ApiTest, OnlyJsonIsReadAsBody) {
  for (const char* type : {"text/plain", "application/x-www-form-urlencoded", ""}) {
    HttpRequest request = json_post("/v1/completions", "{}");
    request.headers.pop_back();
    if (type[0] != '\0') request.headers.push_back({"content-type", type});
    expect_error(channel_.call(*api_, request), 415, "", "expected application/json");
  }
  HttpRequest request = json_post("/v1/completions", R"({"model":"tiny","prompt":"a"})");
  request.headers.back().value = "Application/JSON ; charset=utf-8";
  EXPECT_EQ(channel_.call(*api_, request).status, 200);
}

TEST_F(ApiTest, UnknownPathsAndMethodsAreJsonErrors) {
  expect_error(post("/v2/chat", "{}"), 404, "", "/v2/chat");
  HttpRequest request = json_post("/v1/chat/completions", "");
  request.method = "GET";
  const auto reply = channel_.call(*api_, request);
  expect_error(reply, 405, "", "GET is not allowed");
  ASSERT_EQ(reply.headers.back().name, "Allow");
  EXPECT_EQ(reply.headers.back().value, "POST");
  request.method = "OPTIONS";
  EXPECT_EQ(channel_.call(*api_, request).status, 204);
}

TEST_F(ApiTest, AForeignHostOrOriginIsRefused) {
  HttpRequest request = json_post("/v1/models", "");
  request.method = "GET";
  for (const char* host : {"localhost", "LOCALHOST:1", "127.0.0.1:6465", "[::1]:6465"}) {
    request.headers[0].value = host;
    EXPECT_EQ(channel_.call(*api_, request).status, 200) << host;
  }
  for (const char* host : {"evil.example", "127.0.0.1.evil.example:6465", "localhost.evil", ""}) {
    request.headers[0].value = host;
    expect_error(channel_.call(*api_, request), 403, "", "Host");
  }
  request.headers[0].value = "localhost:6465";
  request.headers.push_back({"Origin", "http://localhost:6465"});
  EXPECT_EQ(channel_.call(*api_, request).status, 200);
  for (const char* origin : {"http://evil.example", "null", "http://localhost:9"}) {
    request.headers.back().value = origin;
    expect_error(channel_.call(*api_, request), 403, "", "origin");
  }
}

TEST_F(ApiTest, AllowedOriginsAndHostsAreServed) {
  ServerConfig config;
  config.cors_origins = {"https://app.example"};
  config.allowed_hosts = {"minke.lan"};
  start({.tokens = Script::bytes("x")}, TinyText::kPlain, config);
  HttpRequest request = json_post("/v1/completions", R"({"model":"tiny","prompt":"a"})");
  request.headers[0].value = "minke.lan:6465";
  request.headers.push_back({"Origin", "https://app.example"});
  const auto reply = channel_.call(*api_, request);
  EXPECT_EQ(reply.status, 200);
  const auto has = [&](const MemoryChannel::Reply& r, const std::string& name,
                       const std::string& value) {
    return std::any_of(r.headers.begin(), r.headers.end(),
                       [&](const HttpHeader& h) { return h.name == name && h.value == value; });
  };
  EXPECT_TRUE(has(reply, "Access-Control-Allow-Origin", "https://app.example"));
  request.method = "OPTIONS";
  EXPECT_TRUE(has(channel_.call(*api_, request), "Access-Control-Allow-Methods", "POST"));
}

TEST_F(ApiTest, AKeyIsAskedForWhereItMatters) {
  ServerConfig config;
  config.api_keys = {"sk-one", "sk-second"};
  start({.tokens = Script::bytes("x")}, TinyText::kPlain, config);
  HttpRequest request = json_post("/v1/completions", R"({"model":"tiny","prompt":"a"})");
  expect_error(channel_.call(*api_, request), 401, "", "no API key");
  for (const char* value : {"sk-one", "Bearer ", "Bearer sk-on", "Bearer sk-onesk-one",
                            "Basic sk-one", "Bearer sk-one "}) {
    request.headers.push_back({"Authorization", value});
    expect_error(channel_.call(*api_, request), 401, "", "Authentication Fails");
    request.headers.pop_back();
  }
  for (const char* value : {"Bearer sk-one", "Bearer sk-second"}) {
    request.headers.push_back({"authorization", value});
    EXPECT_EQ(channel_.call(*api_, request).status, 200);
    request.headers.pop_back();
  }
  request.method = "GET";
  request.path = "/health";
  EXPECT_EQ(channel_.call(*api_, request).status, 200);
  request.path = "/v1/models";
  EXPECT_EQ(channel_.call(*api_, request).status, 401);
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
