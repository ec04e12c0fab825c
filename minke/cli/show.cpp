#include <map>

#include "minke/cli/command.h"
#include "minke/cli/model_facts.h"
#include "minke/format/gguf.h"
#include "minke/hub/model_store.h"

namespace minke {
namespace {

constexpr int kArrayItemsShown = 8;  // a vocabulary has 10^5 entries

Json tensor_rows(const GgufFile& file) {
  Json::Array rows;
  for (const WeightInfo& weight : file.weights()) {
    Json::Array shape;
    for (int i = 0; i < weight.shape.num_dims(); ++i) shape.emplace_back(weight.shape[i]);
    rows.push_back(Json::object({{"name", weight.name},
                                 {"dtype", dtype_info(weight.dtype).name},
                                 {"shape", std::move(shape)},
                                 {"bytes", static_cast<int64_t>(weight.bytes.size())}}));
  }
  return Json(std::move(rows));
}

class ShowCommand final : public Command {
 public:
  void add_flags(Flags& flags) override {
    flags.positional("MODEL", name_, Flags::Need::kRequired,
                     "a name from minke list, or a .gguf file");
    flags.add("json", json_, "one JSON document with every tensor and all metadata");
    flags.add("tensors", tensors_, "list the tensors, too");
    flags.example("minke show smollm2-135m");
    flags.example("minke show model.gguf --json");
  }

  Result<void> run(const Console& console) override {
    MK_ASSIGN(const std::filesystem::path path, ModelStore::open_default().resolve(name_));
    MK_ASSIGN(const GgufFile file, GgufFile::open(path));
    const ModelFacts facts = model_facts(file);
    if (json_) {
      Json document = Json::object({{"path", path.string()},
                                    {"architecture", facts.architecture},
                                    {"file_bytes", file.file_bytes()},
                                    {"num_tensors", static_cast<int64_t>(file.weights().size())}});
      facts.add_to(document);
      document.set("tensors", tensor_rows(file));
      document.set("metadata", file.metadata_json(kArrayItemsShown));
      console.print_json(document);
      return {};
    }
    print_summary(console, path, file, facts);
    if (tensors_) print_tensors(console, file);
    return {};
  }

 private:
  static void print_summary(const Console& console, const std::filesystem::path& path,
                            const GgufFile& file, const ModelFacts& facts) {
    std::map<std::string_view, int> formats;
    for (const WeightInfo& weight : file.weights()) ++formats[dtype_info(weight.dtype).name];
    std::string words;
    for (const auto& [name, count] : formats) {
      words += fmt::format("{}{} {}", words.empty() ? "" : ", ", count, name);
    }
    console.print("path          {}\n", path.string());
    console.print("file          {}, GGUF v{}\n",
                  bytes_text(static_cast<double>(file.file_bytes())), file.version());
    console.print("architecture  {}\n", facts.architecture);
    console.print("parameters    {}, most of them {}\n", count_text(facts.parameters),
                  facts.format);
    console.print("context       {}\n", facts.context_tokens > 0
                                            ? fmt::format("{} tokens", facts.context_tokens)
                                            : std::string("not told by the file"));
    print_memory(console, facts);
    console.print("tensors       {} ({})\n\n", file.weights().size(), words);
    const Json metadata = file.metadata_json(kArrayItemsShown);
    for (const auto& [key, value] : metadata.as_object()) {
      if (value.is_object()) {
        const Json* count = value.find("count");
        console.print("{:<44}[{} items]\n", key, count != nullptr ? count->dump() : "?");
        continue;
      }
      constexpr size_t kValueMax = 100;
      std::string text = value.dump();
      if (text.size() > kValueMax) text = text.substr(0, kValueMax) + "...";
      console.print("{:<44}{}\n", key, text);
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

  static void print_tensors(const Console& console, const GgufFile& file) {
    console.print("\n");
    for (const WeightInfo& weight : file.weights()) {
      console.print("{:<44}{:<6}{}\n", weight.name, dtype_info(weight.dtype).name,
                    weight.shape.text());
    }
  }

  std::string name_;
  bool json_ = false;
  bool tensors_ = false;
};

}  // namespace

std::unique_ptr<Command> make_show_command() { return std::make_unique<ShowCommand>(); }

}  // namespace minke
