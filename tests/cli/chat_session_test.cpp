// Goal: a conversation stays whole through replies, errors, stops and commands. Method: a scripted
// model that answers with what it was asked, and files in place of a terminal.
#include "minke/cli/chat_session.h"

#include <gtest/gtest.h>

#include "minke/base/files.h"
#include "minke/cli/chat_loop.h"
#include "tests/cli/console_files.h"
#include "tests/hub/scratch_folder.h"

namespace minke {
namespace {

// Replies "echo N: TEXT", N being the number of messages and TEXT the last one.
struct ScriptedModel {
  std::vector<ChatPrompt> asked;
  std::vector<uint64_t> seeds;
  Error error;  // given instead of a reply when it has a message
  std::string reply;
  FinishReason finish = FinishReason::kStop;

  ChatModel model() {
    ChatModel out;
    out.context_tokens = 100;
    out.reply = [this](const ChatPrompt& prompt, const ChatSettings& settings,
                       const std::function<void(std::string_view)>& on_text) -> Result<TextResult> {
      asked.push_back(prompt);
      seeds.push_back(settings.sampling.seed);
      if (!error.message.empty()) return tl::unexpected<Error>(error);
      const Json::Array& messages = prompt.messages.as_array();
      TextResult result;
      result.text = !reply.empty() ? reply
                                   : fmt::format("echo {}: {}", messages.size(),
                                                 messages.back().find("content")->as_string());
      result.finish = finish;
      for (const char c : result.text) on_text(std::string_view(&c, 1));
      return result;
    };
    out.count = [](const ChatPrompt& prompt) -> Result<int64_t> {
      return static_cast<int64_t>(prompt.messages.as_array().size()) * 10;
    };
    return out;
  }
};

class Chat : public testing::Test {
 protected:
  // Runs a whole chat on piped input and gives what came on standard output.
  std::string talk(const std::string& input) {
    ConsoleFiles files(input);
    ChatSession session(files.console(), model_.model(), settings_);
    Interrupts interrupts;
    result_ = run_chat(session, interrupts, {});
    messages_ = session.messages();
    err_ = files.err();
    return files.out();
  }

  ScriptedModel model_;
  ChatSettings settings_;
  Result<void> result_;
  std::vector<Json> messages_;
  std::string err_;
};

TEST_F(Chat, EachLineIsAnsweredWithTheWholeConversation) {
  EXPECT_EQ(talk("hello\nagain\n"), "echo 1: hello\necho 3: again\n");
  EXPECT_TRUE(result_);
  EXPECT_EQ(messages_.size(), 4u);
  EXPECT_EQ(messages_[1].find("content")->as_string(), "echo 1: hello");
}

TEST_F(Chat, TheSystemPromptComesFirst) {
  EXPECT_EQ(talk("/system be kind\nhello\n"), "echo 2: hello\n");
  EXPECT_EQ(model_.asked[0].messages.as_array()[0].find("role")->as_string(), "system");
}

TEST_F(Chat, QuotesAndBackslashesMakeMessagesOfSeveralLines) {
  EXPECT_EQ(talk("\"\"\"one\ntwo\"\"\"\na\\\nb\n"), "echo 1: one\ntwo\necho 3: a\nb\n");
  EXPECT_EQ(talk("\"\"\"\none\n\"\"\"\n"), "echo 1: one\n");
  EXPECT_EQ(talk("\"\"\"never closed\n"), "");
}

TEST_F(Chat, BlankLinesAreNoMessages) { EXPECT_EQ(talk("\n  \nhi\n"), "echo 1: hi\n"); }

TEST_F(Chat, ExitEndsAndItsAliasesToo) {
  for (const char* word : {"/exit", "/bye", "/quit"}) {
    EXPECT_EQ(talk(std::string(word) + "\nhello\n"), "") << word;
    EXPECT_TRUE(result_) << word;
  }
}

TEST_F(Chat, RegenAnswersAnewWithAnotherSeed) {
  EXPECT_EQ(talk("hello\n/regen\n"), "echo 1: hello\necho 1: hello\n");
  EXPECT_EQ(messages_.size(), 2u);
  ASSERT_EQ(model_.seeds.size(), 2u);
  EXPECT_NE(model_.seeds[0], model_.seeds[1]);
}

TEST_F(Chat, UndoAndClearTakeMessagesBack) {
  EXPECT_EQ(talk("one\ntwo\n/undo\nthree\n/clear\nfour\n"),
            "echo 1: one\necho 3: two\necho 3: three\necho 1: four\n");
}

TEST_F(Chat, AnErrorLeavesTheConversationAsItWas) {
  model_.error = {ErrorCode::kWillNotFit, "120 tokens, but the context has 100"};
  EXPECT_EQ(talk("too long\n"), "");
  ASSERT_FALSE(result_);
  EXPECT_EQ(result_.error().code, ErrorCode::kWillNotFit);
  EXPECT_NE(result_.error().message.find("--ctx"), std::string::npos);
  EXPECT_TRUE(messages_.empty());
}

TEST_F(Chat, AFailedRegenKeepsTheOldReply) {
  ConsoleFiles files;
  ChatSession session(files.console(), model_.model(), settings_);
  ASSERT_TRUE(session.say("hello"));
  model_.error = {ErrorCode::kFailed, "broken"};
  EXPECT_FALSE(session.regenerate());
  ASSERT_EQ(session.messages().size(), 2u);
  EXPECT_EQ(session.messages()[1].find("content")->as_string(), "echo 1: hello");
}

TEST_F(Chat, AStoppedReplyIsKeptAsFarAsItCame) {
  model_.finish = FinishReason::kCancelled;
  model_.reply = "half a rep";
  talk("hello\n");
  ASSERT_EQ(messages_.size(), 2u);
  EXPECT_EQ(messages_[1].find("content")->as_string(), "half a rep");
  EXPECT_NE(err_.find("(stopped)"), std::string::npos);
}

TEST_F(Chat, ACutReplySaysSo) {
  model_.finish = FinishReason::kLength;
  talk("hello\n");
  EXPECT_NE(err_.find("limit of tokens"), std::string::npos) << err_;
}

TEST_F(Chat, AThoughtGoesToStandardErrorAndNotIntoTheConversation) {
  model_.reply = "<think>let me see</think>\n\nyes";
  EXPECT_EQ(talk("hello\n"), "yes\n");
  EXPECT_NE(err_.find("let me see"), std::string::npos);
  EXPECT_NE(err_.find("thought for"), std::string::npos);
  EXPECT_EQ(messages_[1].find("content")->as_string(), "yes");
  settings_.show_thinking = false;
  EXPECT_EQ(talk("hello\n"), "yes\n");
  EXPECT_EQ(err_.find("let me see"), std::string::npos);
}

TEST_F(Chat, SetChangesSamplingWithinItsLimits) {
  ConsoleFiles files;
  ChatSession session(files.console(), model_.model(), settings_);
  EXPECT_TRUE(run_chat_command(session, "/set temperature 0.25"));
  EXPECT_EQ(session.settings().sampling.temperature, 0.25);
  EXPECT_TRUE(run_chat_command(session, "/set top-k 40"));
  EXPECT_EQ(session.settings().sampling.top_k, 40);
  EXPECT_TRUE(run_chat_command(session, "/set max_tokens 7"));
  EXPECT_EQ(session.settings().max_tokens, 7);
  for (const char* line : {"/set temperature 3", "/set temperature warm", "/set top_k",
                           "/set nothing 1", "/set seed x", "/set max_tokens -1"}) {
    const auto result = run_chat_command(session, line);
    ASSERT_FALSE(result) << line;
    EXPECT_EQ(result.error().code, ErrorCode::kUsage) << line;
  }
  EXPECT_EQ(session.settings().sampling.temperature, 0.25);
}

TEST_F(Chat, AnUnknownCommandNamesTheNearest) {
  ConsoleFiles files;
  ChatSession session(files.console(), model_.model(), settings_);
  const auto result = run_chat_command(session, "/claer");
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().message.find("/clear"), std::string::npos) << result.error().message;
}

TEST_F(Chat, SaveAndLoadAreARoundTrip) {
  const ScratchFolder scratch;
  const std::string path = (scratch.path() / "chat.json").string();
  talk("/system be kind\nhello\n/save " + path + "\n");
  const std::vector<Json> before = messages_;
  EXPECT_EQ(talk("/load " + path + "\nmore\n"), "echo 4: more\n");
  ASSERT_EQ(messages_.size(), 4u);
  EXPECT_EQ(messages_[0], before[0]);
  EXPECT_EQ(messages_[1], before[1]);
}

TEST_F(Chat, ABrokenSaveFileIsCorruptAndChangesNothing) {
  const ScratchFolder scratch;
  const std::string path = (scratch.path() / "chat.json").string();
  ConsoleFiles files;
  ChatSession session(files.console(), model_.model(), settings_);
  ASSERT_TRUE(session.say("hello"));
  for (const char* text : {"", "{", "[]", R"({"messages":7})", R"({"messages":[{"role":"user"}]})",
                           R"({"messages":[{"role":"assistant","content":"x"}]})",
                           R"({"messages":[{"role":"user","content":3}]})"}) {
    ASSERT_TRUE(write_file_atomic(path, text));
    const auto loaded = session.load(path);
    ASSERT_FALSE(loaded) << text;
    EXPECT_EQ(loaded.error().code, ErrorCode::kCorrupt) << text;
    EXPECT_EQ(session.messages().size(), 2u);
  }
  EXPECT_EQ(session.load("/nonexistent").error().code, ErrorCode::kNotFound);
}

TEST_F(Chat, AFileGoesWithTheNextMessageOnly) {
  const ScratchFolder scratch;
  const std::string path = (scratch.path() / "notes.txt").string();
  ASSERT_TRUE(write_file_atomic(path, "whales sing"));
  EXPECT_EQ(talk("/file " + path + "\nsum up\nand now\n"),
            "echo 1: notes.txt:\nwhales sing\n\nsum up\necho 3: and now\n");
}

TEST_F(Chat, TokensTellsHowFullTheContextIs) {
  talk("hello\n/tokens\n");
  EXPECT_NE(err_.find("20 of 100 tokens"), std::string::npos) << err_;
}

TEST_F(Chat, ThinkIsPassedToTheTemplate) {
  talk("/think off\nhello\n");
  ASSERT_EQ(model_.asked.size(), 1u);
  EXPECT_EQ(model_.asked[0].think, std::optional<bool>(false));
}

}  // namespace
}  // namespace minke
