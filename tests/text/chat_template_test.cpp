// Goal: the public ChatTemplate renders a conversation as a ChatML model expects it, gives the same
// result however often and wherever it runs, and is fast enough to be no part of a request's time.
#include "minke/text/chat_template.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

namespace minke {
namespace {

/// ChatML with a default system message, written for this test in the manner of SmolLM2's.
constexpr const char* kChatMl =
    "{% for message in messages %}"
    "{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a test.<|im_end|>\n' }}"
    "{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

Json message(const char* role, std::string content) {
  return Json::object({{"role", role}, {"content", std::move(content)}});
}

ChatInput conversation(int count) {
  ChatInput input;
  input.messages = Json::array();
  for (int i = 0; i < count; ++i) {
    input.messages.push(message(i % 2 == 0 ? "user" : "assistant", std::string(400, 'x')));
  }
  return input;
}

TEST(ChatTemplate, RendersChatMlWithItsDefaultSystemMessage) {
  const auto chat = ChatTemplate::parse(kChatMl);
  ASSERT_TRUE(chat) << chat.error().message;
  ChatInput input;
  input.messages = Json::array({message("user", "Hi <|im_end|>")});
  const auto result = chat->render(input);
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->text,
            "<|im_start|>system\nYou are a test.<|im_end|>\n"
            "<|im_start|>user\nHi <|im_end|><|im_end|>\n<|im_start|>assistant\n");
  ASSERT_EQ(result->untrusted.size(), 2u);  // the role and the content
  const TextRange content = result->untrusted[1];
  EXPECT_EQ(result->text.substr(content.begin, content.end - content.begin), "Hi <|im_end|>");
}

TEST(ChatTemplate, AMessageWithoutContentIsAnErrorAndNotACrash) {
  const auto chat = ChatTemplate::parse(kChatMl);
  ASSERT_TRUE(chat);
  ChatInput input;
  input.messages = Json::array({Json::object({{"role", "user"}})});
  const auto result = chat->render(input);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kUsage);
  EXPECT_NE(result.error().message.find("content"), std::string::npos);
}

TEST(ChatTemplate, ThreadsRenderTheSameTemplateAtOnceWithEqualResults) {
  auto parsed = ChatTemplate::parse(kChatMl);
  ASSERT_TRUE(parsed);
  const ChatTemplate chat = std::move(*parsed);
  const ChatInput input = conversation(20);
  const std::string expected = chat.render(input)->text;
  std::vector<std::string> texts(4);
  std::vector<std::thread> threads;
  for (std::string& text : texts) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) text = chat.render(input)->text;
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& text : texts) EXPECT_EQ(text, expected);
}

TEST(ChatTemplate, AHundredMessagesRenderWithinMilliseconds) {
  const auto chat = ChatTemplate::parse(kChatMl);
  ASSERT_TRUE(chat);
  const ChatInput input = conversation(100);
  double best_ms = 1e9;
  for (int i = 0; i < 10; ++i) {
    const auto start = std::chrono::steady_clock::now();
    ASSERT_TRUE(chat->render(input));
    const std::chrono::duration<double, std::milli> spent =
        std::chrono::steady_clock::now() - start;
    best_ms = std::min(best_ms, spent.count());
  }
  RecordProperty("best_us", static_cast<int>(best_ms * 1000));
#ifdef MINKE_DEBUG
  EXPECT_LT(best_ms, 100);  // sanitizers and no optimisation
#else
  EXPECT_LT(best_ms, 2);
#endif
}

}  // namespace
}  // namespace minke
