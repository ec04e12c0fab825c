// What the request path refuses, and how it says so: fields, bodies, paths, hosts, origins, keys.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "tests/server/api_fixture.h"

namespace minke {
namespace {

using ApiErrorTest = ApiTest;

struct BadField {
  const char* fields;
  const char* param;
  const char* says;
};

TEST_F(ApiErrorTest, WrongFieldsAreNamedWithWhatWasExpected) {
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

TEST_F(ApiErrorTest, WrongMessagesAreNamedByTheirPlace) {
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

TEST_F(ApiErrorTest, WrongPromptsAreRefused) {
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

TEST_F(ApiErrorTest, BadBodiesAreErrorsNotCrashes) {
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

TEST_F(ApiErrorTest, AnotherModelIsNotFound) {
  expect_error(post("/v1/completions", R"({"model":"gpt-4","prompt":"a"})"), 404, "model",
               "'gpt-4' is not served here, expected 'tiny'");
  expect_error(post("/v1/completions", R"({"prompt":"a"})"), 400, "model", "missing");
}

TEST_F(ApiErrorTest, TooLongARequestGetsBothNumbers) {
  const std::string body =
      R"({"model":"tiny","prompt":")" + std::string(4000, 'a') + R"(","max_tokens":97})";
  const auto reply = post("/v1/completions", body);
  expect_error(reply, 400, "",
               "maximum context length is 4096 tokens. However, you requested 4097 tokens (4000 in "
               "the messages, 97 in the completion)");
  EXPECT_EQ(at(json(reply), {"error", "code"}).as_string(), "context_length_exceeded");
}

TEST_F(ApiErrorTest, OnlyJsonIsReadAsBody) {
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

TEST_F(ApiErrorTest, UnknownPathsAndMethodsAreJsonErrors) {
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

TEST_F(ApiErrorTest, AForeignHostOrOriginIsRefused) {
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

TEST_F(ApiErrorTest, AllowedOriginsAndHostsAreServed) {
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

TEST_F(ApiErrorTest, AKeyIsAskedForWhereItMatters) {
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

}  // namespace
}  // namespace minke
