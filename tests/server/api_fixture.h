#pragma once
#include <gtest/gtest.h>

#include <initializer_list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/server/memory_channel.h"
#include "tests/server/scripted_generator.h"
#include "tests/server/tiny_text.h"

namespace minke {

/// An Api over a scripted generator, called without sockets.
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

}  // namespace minke
