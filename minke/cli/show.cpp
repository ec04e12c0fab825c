#include <map>

#include "minke/base/utf8.h"
#include "minke/cli/command.h"
#include "minke/cli/loaded_model.h"
#include "minke/cli/model_facts.h"
#include "minke/cli/show_experts.h"
#include "minke/hub/model_store.h"
#include "minke/models/hf_names.h"

namespace minke {
namespace {

constexpr int kArrayItemsShown = 8;  // a vocabulary has 10^5 entries

/// What is shown of a file or a folder: GGUF files also of architectures that minke cannot run.
struct Shown {
  std::optional<GgufFile> gguf;
  std::optional<ModelFile> folder;
  ModelFacts facts;
  uint64_t file_bytes = 0;
  std::string container;  // "GGUF v3"
  Json metadata;          // an object

  static Result<Shown> open(const std::filesystem::path& path) {
    Shown shown;
    if (ModelFile::names_folder(path)) {
      MK_ASSIGN(shown.folder, ModelFile::open(path));
      shown.facts = model_facts(*shown.folder);
      shown.file_bytes = shown.folder->file_bytes();
      shown.container = "safetensors";
      shown.metadata = shown.folder->config_json();
      return shown;
    }
    MK_ASSIGN(shown.gguf, GgufFile::open(path));
    shown.facts = model_facts(*shown.gguf);
    shown.file_bytes = shown.gguf->file_bytes();
    shown.container = fmt::format("GGUF v{}", shown.gguf->version());
    shown.metadata = shown.gguf->metadata_json(kArrayItemsShown);
    return shown;
  }

  const std::vector<WeightInfo>& weights() const {
    return gguf ? gguf->weights() : folder->weights().weights();
  }
  /// A tensor's name as the file has it.
  std::string name_of(const WeightInfo& weight) const {
    return gguf ? weight.name
                : hf_name_of(weight.name, folder->config().architecture).value_or(weight.name);
  }
};

Json tensor_rows(const Shown& shown) {
  Json::Array rows;
  for (const WeightInfo& weight : shown.weights()) {
    Json::Array shape;
    for (int i = 0; i < weight.shape.num_dims(); ++i) shape.emplace_back(weight.shape[i]);
    rows.push_back(Json::object({{"name", shown.name_of(weight)},
                                 {"dtype", dtype_info(weight.dtype).name},
                                 {"shape", std::move(shape)},
                                 {"bytes", static_cast<int64_t>(weight.bytes.size())}}));
  }
  return Json(std::move(rows));
}

class ShowCommand final : public Command {
 public:
  void add_flags(Flags& flags) override {
    flags.positional("MODEL", name_, Flags::Need::kRequired, kModelHelp);
    flags.add("json", json_, "one JSON document with every tensor and all metadata");
    flags.add("tensors", tensors_, "list the tensors, too");
    flags.add("experts", experts_, "run a text, and show how often each expert was chosen");
    flags.add("text", text_, "file with the text for --experts; without it a built-in sample");
    flags.add("ids", ids_, "tokens for --experts in place of a text, as 1,2,3");
    flags.example("minke show smollm2-135m");
    flags.example("minke show model.gguf --json");
    flags.example("minke show mixture.gguf --experts --text book.txt");
  }

  Result<void> run(const Console& console) override {
    if (experts_) return ShowExperts{name_, text_, ids_, json_}.run(console);
    if (!text_.empty() || !ids_.empty()) {
      return fail(ErrorCode::kUsage, "--text and --ids go with --experts");
    }
    MK_ASSIGN(const std::filesystem::path path, ModelStore::open_default().resolve(name_));
    MK_ASSIGN(const Shown shown, Shown::open(path));
    if (json_) {
      Json document = Json::object({{"path", path.string()},
                                    {"architecture", shown.facts.architecture},
                                    {"file_bytes", shown.file_bytes},
                                    {"num_tensors", static_cast<int64_t>(shown.weights().size())}});
      shown.facts.add_to(document);
      document.set("tensors", tensor_rows(shown));
      document.set("metadata", shown.metadata);
      console.print_json(document);
      return {};
    }
    print_summary(console, path, shown);
    print_metadata(console, shown);
    if (tensors_) print_tensors(console, shown);
    return {};
  }

 private:
  static void print_summary(const Console& console, const std::filesystem::path& path,
                            const Shown& shown) {
    const ModelFacts& facts = shown.facts;
    std::map<std::string_view, int> formats;
    for (const WeightInfo& weight : shown.weights()) ++formats[dtype_info(weight.dtype).name];
    std::string words;
    for (const auto& [name, count] : formats) {
      words += fmt::format("{}{} {}", words.empty() ? "" : ", ", count, name);
    }
    console.print("path          {}\n", path.string());
    console.print("file          {}, {}\n", bytes_text(static_cast<double>(shown.file_bytes)),
                  shown.container);
    console.print("architecture  {}\n", facts.architecture);
    console.print("parameters    {}, most of them {}\n", count_text(facts.parameters),
                  facts.format);
    if (facts.expert_layers > 0) {
      console.print(
          "experts       {} and {} shared in {} layers; a token meets {} of them, {} "
          "parameters in all\n",
          facts.moe.n_routed_experts, facts.moe.n_shared_experts, facts.expert_layers,
          facts.moe.routing.top_k, count_text(facts.active_parameters));
    }
    console.print("context       {}\n", facts.context_tokens > 0
                                            ? fmt::format("{} tokens", facts.context_tokens)
                                            : std::string("not told by the file"));
    print_memory(console, facts);
    console.print("tensors       {} ({})\n\n", shown.weights().size(), words);
  }

  static void print_metadata(const Console& console, const Shown& shown) {
    for (const auto& [key, value] : shown.metadata.as_object()) {
      const Json* count = value.is_object() ? value.find("count") : nullptr;
      if (count != nullptr) {
        console.print("{:<44}[{} items]\n", printable_name(key), count->dump());
        continue;
      }
      constexpr size_t kValueMax = 100;
      std::string text = value.dump();
      if (text.size() > kValueMax) text = text.substr(0, kValueMax) + "...";
      console.print("{:<44}{}\n", printable_name(key), text);
    }
  }

  static void print_memory(const Console& console, const ModelFacts& facts) {
    const auto text = [](int64_t bytes) { return bytes_text(static_cast<double>(bytes)); };
    if (!facts.is_known()) {
      console.print("memory        minke cannot run {} yet\n", facts.architecture);
      return;
    }
    console.print("memory        {} with a context of {} ({} weights, {} cache): {}\n",
                  text(facts.memory_bytes), facts.default_context_tokens, text(facts.weight_bytes),
                  text(facts.cache_bytes),
                  facts.fits() ? "fits" : "will not fit, use a smaller --ctx or another format");
    if (facts.available_bytes > 0) {
      console.print("              {} are available here now\n", text(facts.available_bytes));
    }
  }

  static void print_tensors(const Console& console, const Shown& shown) {
    console.print("\n");
    for (const WeightInfo& weight : shown.weights()) {
      console.print("{:<44}{:<8}{}\n", shown.name_of(weight), dtype_info(weight.dtype).name,
                    weight.shape.text());
    }
  }

  std::string name_;
  bool json_ = false;
  std::string text_;
  std::string ids_;
  bool tensors_ = false;
  bool experts_ = false;
};

}  // namespace

std::unique_ptr<Command> make_show_command() { return std::make_unique<ShowCommand>(); }

}  // namespace minke
