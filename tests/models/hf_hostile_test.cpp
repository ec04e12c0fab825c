// Goal: whatever stands in a folder's config.json, headers or index, opening and loading it ends in
// an error that names what is wrong, or in a model that runs, soon and in little memory. Method:
// thousands of seeded mutations of the golden checkpoints; the sanitizers watch.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <filesystem>
#include <fstream>

#include "minke/base/files.h"
#include "minke/base/random.h"
#include "minke/format/safetensors.h"
#include "minke/models/model_file.h"
#include "tests/golden/golden_path.h"
#include "tests/hub/scratch_folder.h"
#include "tests/models/cached_logits.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

constexpr const char* kCases[] = {"llama3",      "qwen2",       "qwen3-moe-sparse", "qwen3-fp8",
                                  "deepseek-v2", "deepseek-v3", "llama-yarn"};

fs::path golden(const std::string& name) { return golden_path("hf") / name; }

std::string text_of(const fs::path& path) {
  auto text = read_file(path, size_t{16} << 20);
  EXPECT_TRUE(text) << path;
  return text.value_or("");
}

int64_t peak_bytes() {
  struct rusage usage = {};
  ::getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} * 1024;
}

// A folder with the golden one's files, of which the test writes some anew.
class Copy {
 public:
  explicit Copy(const std::string& name) {
    for (const auto& entry : fs::directory_iterator(golden(name))) {
      fs::create_symlink(fs::absolute(entry.path()), path() / entry.path().filename());
    }
  }
  const fs::path& path() const { return folder_.path(); }
  void write(const std::string& name, const std::string& text) const {
    fs::remove(path() / name);
    std::ofstream(path() / name) << text;
  }

 private:
  ScratchFolder folder_;
};

// Opens and loads the folder and reads three tokens, if that goes; else the error.
Result<void> run_folder(const fs::path& folder) {
  static const Device device(1, false, CpuLevel::kRef);
  MK_ASSIGN(const ModelFile file, ModelFile::open(folder));
  const Precision precision =
      file.config().fp8_blocks.rows > 0 ? Precision::kInt8 : Precision::kF32;
  MK_ASSIGN(const auto model, load_model(device, file.weights(), file.config(), {precision, 64}));
  const std::vector<float> logits = cached_logits(device, *model, {1, 0, 2}, 2, DType::kF32);
  EXPECT_EQ(logits.size(), static_cast<size_t>(3 * file.config().vocab_size));
  return {};
}

void expect_clear(const Result<void>& outcome, const std::string& what) {
  if (outcome) return;
  const Error& error = outcome.error();
  EXPECT_TRUE(error.code == ErrorCode::kCorrupt || error.code == ErrorCode::kUsage ||
              error.code == ErrorCode::kNotFound)
      << what << ": " << error.message;
  EXPECT_GT(error.message.size(), 10u) << what;
  EXPECT_LT(error.message.size(), 1500u) << what << ": " << error.message;
}

Json hostile_value(Random& random) {
  constexpr const char* kValues[] = {"0",     "1",         "2",
                                     "3",     "-1",        "7",
                                     "64",    "1048576",   "2147483648",
                                     "1e18",  "1e308",     "-1e-9",
                                     "0.5",   "null",      "{}",
                                     "[]",    "[1,2,3]",   "9223372036854775807",
                                     "true",  "\"yarn\"",  "false",
                                     "\"\"",  "[[]]",      "36",
                                     "1e-5",  "[128,128]", "-9223372036854775808",
                                     "60",    "\"fp8\"",   "128",
                                     "10000", "4096",      "12"};
  return parse_json(kValues[random.below(std::size(kValues))]).value();
}

// Changes, drops or swaps some of the members, also of objects inside.
void mutate(Json& object, Random& random) {
  Json::Object& members = object.as_object();
  if (members.empty()) return;
  const size_t i = random.below(members.size());
  if (members[i].second.is_object() && random.below(2) == 0) {
    return mutate(members[i].second, random);
  }
  switch (random.below(4)) {
    case 0:
      members.erase(members.begin() + static_cast<std::ptrdiff_t>(i));
      return;
    case 1:
      std::swap(members[i].second, members[random.below(members.size())].second);
      return;
    default:
      members[i].second = hostile_value(random);
  }
}

// Changes, drops or doubles some bytes.
void mutate(std::string& text, Random& random) {
  for (uint64_t n = 1 + random.below(3); n > 0 && !text.empty(); --n) {
    const size_t at = random.below(text.size());
    switch (random.below(3)) {
      case 0:
        text[at] = static_cast<char>(random.next());
        break;
      case 1:
        text.erase(at, 1 + random.below(8));
        break;
      default:
        text.insert(at, text.substr(at, 1 + random.below(24)));
    }
  }
}

TEST(HfHostile, AnyConfigIsAnErrorOrAModelThatRuns) {
  const int64_t peak_before = peak_bytes();
  int num_run = 0, num_refused = 0;
  for (const char* name : kCases) {
    const Copy copy(name);
    const std::string text = text_of(golden(name) / "config.json");
    Random random(17);
    for (int round = 0; round < 300; ++round) {
      std::string changed = text;
      if (round % 4 == 0) {
        mutate(changed, random);
      } else {
        Json config = parse_json(text).value();
        for (uint64_t n = 1 + random.below(2); n > 0; --n) mutate(config, random);
        changed = config.dump();
      }
      copy.write("config.json", changed);
      const Result<void> outcome = run_folder(copy.path());
      ++(outcome ? num_run : num_refused);
      expect_clear(outcome, fmt::format("{}: {}", name, changed));
    }
  }
  EXPECT_GT(num_run, 200);
  EXPECT_GT(num_refused, 600);
  EXPECT_LT(peak_bytes() - peak_before, int64_t{1} << 30);
}

TEST(HfHostile, SettingsOfAWrongKindAreNamed) {
  const std::pair<const char*, std::vector<const char*>> fields[] = {
      {"qwen3-moe-sparse",
       {"num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads",
        "num_key_value_heads", "head_dim", "max_position_embeddings", "vocab_size",
        "num_local_experts", "num_experts_per_tok", "moe_intermediate_size",
        "decoder_sparse_step"}},
      {"deepseek-v3",
       {"q_lora_rank", "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim",
        "n_routed_experts", "n_shared_experts", "num_experts_per_tok", "moe_intermediate_size",
        "n_group", "topk_group", "first_k_dense_replace"}}};
  for (const auto& [name, names] : fields) {
    const std::string text = text_of(golden(name) / "config.json");
    for (const char* field : names) {
      for (const char* value :
           {"\"8\"", "[]", "{}", "-1", "0.5", "true", "2147483649", "99999999999999999999"}) {
        Json config = parse_json(text).value();
        config.set(field, parse_json(value).value());
        const auto read = config_from_hf(config.dump());
        ASSERT_FALSE(read) << field << " " << value;
        EXPECT_NE(read.error().message.find(fmt::format("config.json: {} is ", field)),
                  std::string::npos)
            << field << " " << value << ": " << read.error().message;
      }
    }
  }
}

TEST(HfHostile, SizesThatTheTensorsDoNotHaveTakeNoMemory) {
  const int64_t peak_before = peak_bytes();
  for (const char* name : {"qwen2", "qwen3-moe-sparse", "deepseek-v3"}) {
    const Copy copy(name);
    Json config = parse_json(text_of(golden(name) / "config.json")).value();
    for (const auto& [field, value] :
         {std::pair<const char*, int64_t>{"max_position_embeddings", 1 << 24},
          {"intermediate_size", 1 << 22},
          {"num_hidden_layers", 1000},
          {"vocab_size", 1 << 24},
          {"hidden_size", 1 << 20}}) {
      config.set(field, value);
      copy.write("config.json", config.dump());
      const Result<void> outcome = run_folder(copy.path());
      // More positions than it was made for are no contradiction, and cost only those in use.
      EXPECT_EQ(outcome.has_value(), std::string_view(field) == "max_position_embeddings");
      if (!outcome) {
        EXPECT_NE(outcome.error().message.find("tensor '"), std::string::npos)
            << outcome.error().message;
      }
    }
  }
  EXPECT_LT(peak_bytes() - peak_before, int64_t{256} << 20);
}

// What opening a model does with a header's tensors.
Result<void> read_tensors(const std::string& bytes) {
  MK_ASSIGN(const auto file, SafetensorsFile::parse(std::as_bytes(std::span(bytes)), "f"));
  std::vector<WeightInfo> weights = file.weights();
  MK_TRY(attach_fp8_scales(weights, {128, 128}));
  for (const WeightInfo& weight : weights) {
    if (weight.shape.num_dims() != 2 || weight.shape[0] == 0) continue;
    if (dtype_info(weight.dtype).decode == nullptr) continue;
    std::vector<float> row(static_cast<size_t>(weight.shape[1]));
    decode_rows(weight, 0, 1, row.data());
    decode_rows(weight, weight.shape[0] - 1, 1, row.data());
  }
  return {};
}

TEST(HfHostile, AnyHeaderIsAnErrorOrTensorsThatCanBeRead) {
  int num_read = 0, num_refused = 0;
  for (const char* name : {"qwen2", "qwen3-fp8"}) {
    const std::string text = text_of(golden(name) / "model.safetensors");
    uint64_t length = 0;
    std::memcpy(&length, text.data(), sizeof length);
    const std::string header = text.substr(8, length), data = text.substr(8 + length);
    Random random(23);
    for (int round = 0; round < 1500; ++round) {
      std::string changed = header;
      if (round % 2 == 0) {
        mutate(changed, random);
      } else {
        Json json = parse_json(header).value();
        for (uint64_t n = 1 + random.below(3); n > 0; --n) mutate(json, random);
        changed = json.dump();
      }
      uint64_t changed_length = changed.size() + (round % 50 == 0 ? random.next() >> 40 : 0);
      std::string bytes(reinterpret_cast<const char*>(&changed_length), sizeof changed_length);
      bytes += changed + (round % 7 == 0 ? data.substr(0, random.below(data.size())) : data);
      const Result<void> outcome = read_tensors(bytes);
      ++(outcome ? num_read : num_refused);
      expect_clear(outcome, name);
    }
  }
  EXPECT_GT(num_read, 50);
  EXPECT_GT(num_refused, 1000);
}

TEST(HfHostile, AnyIndexIsAnErrorOrAModelThatRuns) {
  const Copy copy("llama3");
  constexpr const char* kIndex = "model.safetensors.index.json";
  const std::string text = text_of(golden("llama3") / kIndex);
  Random random(29);
  int num_refused = 0;
  for (int round = 0; round < 600; ++round) {
    std::string changed = text;
    if (round % 2 == 0) {
      mutate(changed, random);
    } else {
      Json json = parse_json(text).value();
      for (uint64_t n = 1 + random.below(2); n > 0; --n) mutate(json, random);
      changed = json.dump();
    }
    copy.write(kIndex, changed);
    const Result<void> outcome = run_folder(copy.path());
    num_refused += outcome ? 0 : 1;
    expect_clear(outcome, changed);
  }
  EXPECT_GT(num_refused, 100);
}

}  // namespace
}  // namespace minke
