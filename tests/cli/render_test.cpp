// Goal: `minke render` prints exactly the prompt that a template makes of a conversation, takes
// both from every kind of file it names, and tells errors by code and by the template's line.
// Method: whole command lines on templates written for this test.
#include <gtest/gtest.h>

#include <cstdlib>

#include "minke/base/files.h"
#include "minke/cli/command.h"
#include "minke/format/gguf_writer.h"
#include "tests/cli/console_files.h"
#include "tests/hub/scratch_folder.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

constexpr const char* kTemplate =
    "{{ bos_token }}{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}"
    "{% for t in tools or [] %}[{{ t.name }}]{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}{{ eos_token }}{{ mood }}\n\n";
constexpr const char* kMessages = R"([{"role": "user", "content": "你好 <s>"}])";

class Render : public testing::Test {
 protected:
  void SetUp() override { ::setenv("MINKE_HOME", scratch_.path().c_str(), 1); }

  std::string file(const std::string& name, const std::string& content) {
    const fs::path path = scratch_.path() / name;
    EXPECT_TRUE(write_file_atomic(path, content));
    return path.string();
  }
  int run(std::vector<std::string> args, const std::string& input = kMessages) {
    args.insert(args.begin(), "render");
    ConsoleFiles files(input);
    const int code = run_command_line(args, files.console());
    out_ = files.out();
    err_ = files.err();
    return code;
  }

  ScratchFolder scratch_;
  std::string out_;
  std::string err_;
};

TEST_F(Render, PrintsThePromptAndNothingElse) {
  const std::string source = file("t.jinja", kTemplate);
  EXPECT_EQ(run({source, "--messages", "-"}), 0) << err_;
  EXPECT_EQ(out_, "<user>你好 <s>\n<assistant>\n");
  EXPECT_EQ(err_, "");
  EXPECT_EQ(run({source, "-m", "-", "--bos-token", "<s>", "--eos-token", "</s>",
                 "--no-generation-prompt", "--var", "mood=[1, null]"}),
            0);
  EXPECT_EQ(out_, "<s><user>你好 <s>\n</s>[1, None]\n");
}

TEST_F(Render, TakesMessagesToolsAndVariablesFromOneDocument) {
  const std::string source = file("t.jinja", kTemplate);
  const std::string tools = file("tools.json", R"([{"name": "other"}])");
  const std::string document =
      R"({"messages": [{"role": "a", "content": ""}], "tools": [{"name": "add"}], "model": "x",
          "chat_template_kwargs": {"mood": "calm"}})";
  EXPECT_EQ(run({source, "-m", file("chat.json", document)}, ""), 0) << err_;
  EXPECT_EQ(out_, "<a>\n[add]<assistant>calm\n");
  EXPECT_EQ(run({source, "-m", "-", "--tools", tools, "--var", "mood=\"wild\""}, document), 0);
  EXPECT_EQ(out_, "<a>\n[other]<assistant>wild\n");
}

TEST_F(Render, ReadsTokenizerConfigurationsAndFolders) {
  const std::string one = R"({"chat_template": "{{ bos_token }}{{ eos_token }}{{ pad_token }}",
      "bos_token": {"content": "<b>", "lstrip": false}, "eos_token": "<e>", "pad_token": null})";
  EXPECT_EQ(run({file("tokenizer_config.json", one), "-m", "-"}), 0) << err_;
  EXPECT_EQ(out_, "<b><e>");
  EXPECT_EQ(run({scratch_.path().string(), "-m", "-", "--eos-token", "!"}), 0) << err_;
  EXPECT_EQ(out_, "<b>!");
  file("chat_template.jinja", "own file {{ bos_token }}");
  EXPECT_EQ(run({scratch_.path().string(), "-m", "-"}), 0) << err_;
  EXPECT_EQ(out_, "own file <b>");
  const std::string several = file("several.json", R"({"chat_template": [
      {"name": "default", "template": "plain"}, {"name": "tool_use", "template": "tools"}]})");
  EXPECT_EQ(run({several, "-m", "-"}), 0);
  EXPECT_EQ(out_, "plain");
  EXPECT_EQ(run({several, "-m", "-", "--tools", file("tools.json", R"([{"name": "f"}])")}), 0);
  EXPECT_EQ(out_, "tools");
}

TEST_F(Render, ReadsTheTemplateAndTokensOfAGgufFile) {
  const fs::path path = scratch_.path() / "vocabulary.gguf";
  GgufWriter writer;
  writer.add("tokenizer.chat_template", "{{ bos_token }}{{ messages[0].content }}");
  writer.add_array("tokenizer.ggml.tokens", {"a", "<start>", "b"});
  writer.add("tokenizer.ggml.bos_token_id", uint32_t{1});
  ASSERT_TRUE(writer.write(path));
  EXPECT_EQ(run({path.string(), "-m", "-"}), 0) << err_;
  EXPECT_EQ(out_, "<start>你好 <s>");
}

TEST_F(Render, JsonTellsWhichBytesCameFromUsers) {
  EXPECT_EQ(run({file("t.jinja", "<s>{{ messages[0].content }}!"), "-m", "-", "--json"}), 0);
  const Json document = parse_json(out_).value();
  EXPECT_EQ(document.find("prompt")->as_string(), "<s>你好 <s>!");
  EXPECT_EQ(document.find("untrusted_bytes")->dump(), "[[3,13]]");
}

TEST_F(Render, TheClockCanBeSet) {
  EXPECT_EQ(
      run({file("t.jinja", "{{ strftime_now('%d %b %Y') }}"), "-m", "-", "--now", "1700000000"}),
      0);
  EXPECT_EQ(out_, "14 Nov 2023");
}

TEST_F(Render, ErrorsHaveTheirCodeAndTheTemplatesLine) {
  const std::string good = file("t.jinja", kTemplate);
  const std::string raises =
      file("raises.jinja", "a\n{{ raise_exception('Roles must alternate') }}");
  const std::string broken = file("broken.jinja", "a\nb\n{% if %}");
  const std::string endless =
      file("endless.jinja", "{% macro m() %}{{ m() }}{% endmacro %}\n\n{{ m() }}");
  struct Case {
    std::vector<std::string> args;
    const char* input;
    int code;
    const char* says;
  };
  const Case cases[] = {
      {{good}, kMessages, 2, "--messages"},
      {{good, "-m", "/nonexistent.json"}, "", 3, "/nonexistent.json"},
      {{"/nonexistent.jinja", "-m", "-"}, kMessages, 3, "/nonexistent.jinja"},
      {{good, "-m", "-"}, "[", 2, "standard input: "},
      {{good, "-m", "-"}, "{}", 2, "without messages"},
      {{good, "-m", "-"}, "\"text\"", 2, "must be an array"},
      {{good, "-m", "-", "--tools", "-"}, kMessages, 2, "both"},
      {{good, "-m", "-", "--var", "mood"}, kMessages, 2, "NAME=JSON"},
      {{good, "-m", "-", "--var", "mood=wild"}, kMessages, 2, "text needs quotes"},
      {{raises, "-m", "-"}, kMessages, 2, "line 2: Roles must alternate"},
      {{broken, "-m", "-"}, kMessages, 7, "line 3: unexpected '%}'"},
      {{endless, "-m", "-"}, kMessages, 5, "nests deeper"},
      {{file("a.json", "{}"), "-m", "-"}, kMessages, 2, "no chat_template"},
      {{file("b.json", "["), "-m", "-"}, kMessages, 7, "b.json"},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(run(c.args, c.input), c.code) << c.says << "\n" << err_;
    EXPECT_NE(err_.find(c.says), std::string::npos) << err_;
    EXPECT_EQ(out_, "");
  }
}

}  // namespace
}  // namespace minke
