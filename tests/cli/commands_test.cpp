// Goal: the command line's contract: exit codes, data on standard output and the rest on standard
// error, JSON that parses. Method: whole command lines run in this process on a MINKE_HOME of their
// own.
#include "minke/cli/command.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <set>
#include <sstream>

#include "minke/base/files.h"
#include "minke/base/sha256.h"
#include "minke/hub/known_models.h"
#include "minke/hub/model_store.h"
#include "tests/cli/console_files.h"
#include "tests/hub/scratch_folder.h"
#include "tests/models/tiny_llama.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

class Commands : public testing::Test {
 protected:
  void SetUp() override {
    ::setenv("MINKE_HOME", scratch_.path().c_str(), 1);
    ::unsetenv("MINKE_PYTHON");
  }
  int run(const std::vector<std::string>& args, const std::string& input = "") {
    ConsoleFiles files(input);
    const int code = run_command_line(args, files.console());
    out_ = files.out();
    err_ = files.err();
    return code;
  }
  Json document() const {
    const Result<Json> json = parse_json(out_);
    EXPECT_TRUE(json) << out_;
    return json.value_or(Json());
  }
  void put_model(const std::string& name, const std::string& content) {
    auto incoming = ModelStore::open_default().begin(name);
    ASSERT_TRUE(incoming);
    const fs::path file = (*incoming)->folder() / "f";
    ASSERT_TRUE(write_file_atomic(file, content));
    Manifest manifest;
    manifest.name = name;
    manifest.file = "weights.gguf";
    manifest.sha256 = sha256_file(file).value();
    manifest.license = "MIT";
    manifest.size_bytes = content.size();
    ASSERT_TRUE((*incoming)->commit(manifest, file));
  }

  ScratchFolder scratch_;
  std::string out_;
  std::string err_;
};

TEST_F(Commands, ExitCodesAreTheDocumentedOnes) {
  const std::string junk = (scratch_.path() / "junk.gguf").string();
  ASSERT_TRUE(write_file_atomic(junk, "this is no model"));
  struct Case {
    std::vector<std::string> args;
    int code;
    const char* says;
  };
  const Case cases[] = {
      {{"rnu"}, 2, "did you mean run?"},
      {{"--frobnicate"}, 2, "unknown command"},
      {{"list", "--jsno"}, 2, "did you mean --json?"},
      {{"list", "extra"}, 2, "unexpected argument 'extra'"},
      {{"run"}, 2, "MODEL"},
      {{"run", "nothing", "hi"}, 3, "minke list"},
      {{"run", "smollm2-135m", "hi"}, 3, "minke pull smollm2-135m"},
      {{"run", junk, "hi"}, 7, "not a GGUF file"},
      {{"run", junk}, 2, "no prompt"},
      {{"run", junk, "hi", "--temperature", "9"}, 2, "--temperature"},
      {{"chat", "nothing"}, 3, "nothing"},
      {{"show", "nothing"}, 3, "nothing"},
      {{"show", junk}, 7, "not a GGUF file"},
      {{"show", scratch_.path().string()}, 2, "is no model"},
      {{"rm", "nothing"}, 3, "nothing"},
      {{"pull", "smolm2-135m"}, 3, "did you mean smollm2-135m?"},
      {{"tokenize", junk}, 7, "not a GGUF file"},
      {{"eval", "perplexity", "--model", "nothing"}, 2, "--file"},
      {{"eval", "perplexity", "--model", junk, "--file", "/nonexistent"}, 3, "/nonexistent"},
      {{"eval", "perplexity", "--model", junk, "--file", junk}, 7, "not a GGUF file"},
      {{"eval", "perplexty", "--model", junk, "--file", junk}, 2, "perplexity"},
      {{"bench", "decode"}, 2, "--model"},
      {{"bench", "decode", "--model", "nothing"}, 3, "nothing"},
      {{"bench", "decode", "--model", junk, "--sequences", "2"}, 2, "bench batch"},
      {{"serve", "--model", "nothing"}, 3, "nothing"},
      {{"help", "nothing"}, 2, "unknown command"},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(run(c.args), c.code) << c.args.front() << ": " << err_;
    EXPECT_NE(err_.find(c.says), std::string::npos) << err_;
    EXPECT_EQ(out_, "") << "an error belongs on standard error";
  }
}

TEST_F(Commands, EveryCommandHasHelpWithAnExampleThatNamesIt) {
  std::set<std::string_view> names;
  for (const CommandRow& row : command_rows()) {
    EXPECT_TRUE(names.insert(row.name).second) << row.name << " stands twice in the table";
    EXPECT_EQ(run({std::string(row.name), "--help"}), 0) << row.name;
    const std::string help = out_;
    EXPECT_NE(help.find(std::string(row.summary)), std::string::npos) << row.name;
    EXPECT_NE(help.find("Examples:"), std::string::npos) << row.name;
    EXPECT_NE(help.find(fmt::format("minke {}", row.name)), std::string::npos) << row.name;
    EXPECT_EQ(err_, "");
    EXPECT_EQ(run({"help", std::string(row.name)}), 0);
    EXPECT_EQ(out_, help);
  }
}

TEST_F(Commands, TheOverviewNamesEveryCommand) {
  for (const std::vector<std::string>& args :
       {std::vector<std::string>{}, {"help"}, {"--help"}, {"-h"}}) {
    EXPECT_EQ(run(args), 0);
    for (const CommandRow& row : command_rows()) {
      EXPECT_NE(out_.find(fmt::format("  {} ", row.name)), std::string::npos) << row.name;
    }
  }
}

TEST_F(Commands, VersionIsOneLineOrADocument) {
  EXPECT_EQ(run({"--version"}), 0);
  EXPECT_EQ(out_, std::string("minke ") + MINKE_VERSION + "\n");
  EXPECT_EQ(run({"version", "--json"}), 0);
  EXPECT_EQ(document().find("version")->as_string(), MINKE_VERSION);
  EXPECT_FALSE(document().find("kernels")->as_array().empty());
}

TEST_F(Commands, ListShowsWhatIsThere) {
  EXPECT_EQ(run({"list"}), 0);
  EXPECT_EQ(out_, "");
  EXPECT_NE(err_.find("minke pull smollm2-135m"), std::string::npos);
  EXPECT_EQ(run({"list", "--json"}), 0);
  EXPECT_TRUE(document().find("models")->as_array().empty());
  put_model("whale", "x");
  EXPECT_EQ(run({"ls"}), 0);
  EXPECT_NE(out_.find("whale"), std::string::npos);
  EXPECT_EQ(run({"list", "--json"}), 0);
  const Json models = *document().find("models");
  ASSERT_EQ(models.as_array().size(), 1u);
  EXPECT_EQ(models.as_array()[0].find("name")->as_string(), "whale");
  EXPECT_TRUE(fs::exists(models.as_array()[0].find("path")->as_string()));
  EXPECT_NE(models.as_array()[0].find("problem"), nullptr) << "its file is no model";
}

TEST_F(Commands, ListAndShowTellFormatContextMemoryAndWhetherItFits) {
  const fs::path path = scratch_.path() / "tiny.gguf";
  TinyLlamaShape shape;
  shape.context = 64;
  const std::string bytes = tiny_llama_gguf(shape, 1);
  ASSERT_TRUE(write_file_atomic(path, bytes));
  put_model("tiny", bytes);
  EXPECT_EQ(run({"list"}), 0);
  std::istringstream lines(out_);
  std::string heading;
  std::string row;
  ASSERT_TRUE(std::getline(lines, heading) && std::getline(lines, row));
  // Each cell stands under its heading: left-aligned ones begin, right-aligned ones end with it.
  for (const auto& [name, cell] : {std::pair{"FORMAT", "f32"}, {"FITS", "yes"}}) {
    EXPECT_EQ(row.find(cell), heading.find(name)) << out_;
  }
  EXPECT_EQ(row.find(" 64 ") + 3, heading.find("CONTEXT") + 7) << out_;
  EXPECT_EQ(run({"list", "--json"}), 0);
  const Json listed = document().find("models")->as_array()[0];
  EXPECT_EQ(run({"show", "tiny", "--json"}), 0);
  const Json shown = document();
  for (const char* member : {"format", "parameters", "context_tokens", "memory_bytes", "fits"}) {
    ASSERT_NE(listed.find(member), nullptr) << member;
    EXPECT_EQ(*listed.find(member), *shown.find(member)) << member;
  }
  EXPECT_EQ(shown.find("context_tokens")->as_int(), 64);
  EXPECT_GT(shown.find("memory_bytes")->as_int(), static_cast<int64_t>(bytes.size()));
  EXPECT_EQ(run({"show", path.string()}), 0);
  EXPECT_NE(out_.find("context       64 tokens"), std::string::npos) << out_;
  EXPECT_NE(out_.find("fits"), std::string::npos) << out_;
}

TEST_F(Commands, RmWantsAYesWhereNobodyCanBeAsked) {
  put_model("whale", "x");
  EXPECT_EQ(run({"rm", "whale"}, "y\n"), 2);
  EXPECT_TRUE(ModelStore::open_default().find("whale"));
  EXPECT_EQ(run({"rm", "whale", "--yes"}), 0);
  EXPECT_FALSE(ModelStore::open_default().find("whale"));
  EXPECT_EQ(run({"rm", "whale", "--yes"}), 3);
}

TEST_F(Commands, PullTellsEachFailureByItsCode) {
  struct Case {
    const char* body;
    int code;
  };
  const Case cases[] = {
      {"echo 'Retrying (Retry(total=0))' >&2; exit 1", 6},
      {"while [ $# -gt 0 ]; do [ \"$1\" = --dest ] && d=$2; shift; done; echo x > \"$d/a.whl\"", 7},
      {"kill -9 $$", 6},
  };
  const fs::path python = scratch_.path() / "python3-fake";
  ::setenv("MINKE_PYTHON", python.c_str(), 1);
  for (const Case& c : cases) {
    const std::string script =
        fmt::format("#!/bin/sh\n[ \"$2\" = pip ] || exec python3 \"$@\"\n{}\n", c.body);
    ASSERT_TRUE(write_file_atomic(python, script));
    ::chmod(python.c_str(), 0755);
    EXPECT_EQ(run({"pull", "smollm2-135m"}), c.code) << c.body << err_;
    EXPECT_EQ(out_, "");
    EXPECT_TRUE(ModelStore::open_default().list().empty());
  }
}

TEST_F(Commands, DoctorReportsEachCheckAndAFailureInItsExitCode) {
  EXPECT_EQ(run({"doctor", "--json"}), 0) << err_;
  const Json healthy = *document().find("checks");
  std::set<std::string> names;
  for (const Json& check : healthy.as_array()) {
    names.insert(check.find("name")->as_string());
    EXPECT_FALSE(check.find("sentence")->as_string().empty());
  }
  for (const char* name : {"kernels", "arithmetic", "memory", "models", "port", "models folder"}) {
    EXPECT_TRUE(names.contains(name)) << name;
  }
  put_model("whale", "content");
  const fs::path file = ModelStore::open_default().find("whale")->path();
  ASSERT_TRUE(write_file_atomic(file, "c0ntent"));
  EXPECT_EQ(run({"doctor"}), 0) << "the size is right, and hashing was not asked for";
  EXPECT_EQ(run({"doctor", "--verify"}), 1);
  EXPECT_NE(out_.find("SHA-256"), std::string::npos) << out_;
}

TEST_F(Commands, QuietLeavesOnlyErrors) {
  EXPECT_EQ(run({"list", "--quiet"}), 0);
  EXPECT_EQ(err_, "");
  EXPECT_EQ(run({"rm", "nothing", "--quiet"}), 3);
  EXPECT_NE(err_, "");
}

TEST_F(Commands, AFullDiskUnderStandardOutputIsNoSuccess) {
  std::FILE* full = std::fopen("/dev/full", "w");
  if (full == nullptr) GTEST_SKIP() << "no /dev/full here";
  ConsoleFiles files;
  Console console = files.console();
  console.out = full;
  const std::vector<std::string> args = {"version"};
  EXPECT_EQ(run_command_line(args, console), 1);
  std::fclose(full);
}

}  // namespace
}  // namespace minke
