#include <algorithm>

#include "minke/cli/command.h"
#include "minke/hub/known_models.h"
#include "minke/hub/model_store.h"

namespace minke {
namespace {

class ListCommand final : public Command {
 public:
  void add_flags(Flags& flags) override {
    flags.add("json", json_, "one JSON document");
    flags.example("minke list");
  }

  Result<void> run(const Console& console) override {
    const ModelStore store = ModelStore::open_default();
    std::vector<std::string> broken;
    const std::vector<StoredModel> models = store.list(&broken);
    for (const std::string& problem : broken) console.note("broken model {}", problem);
    if (json_) {
      Json::Array rows;
      for (const StoredModel& model : models) {
        Json row = model.manifest.to_json();
        row.set("path", model.path().string());
        rows.push_back(std::move(row));
      }
      console.print_json(Json::object({{"models", std::move(rows)}}));
      return {};
    }
    print_table(console, models);
    note_known(console, models);
    return {};
  }

 private:
  static void print_table(const Console& console, const std::vector<StoredModel>& models) {
    if (models.empty()) return;
    size_t width = 4;
    for (const StoredModel& model : models) width = std::max(width, model.manifest.name.size());
    console.print("{:<{}}  {:>8}  {:<12}  {}\n", "NAME", width, "SIZE", "LICENSE", "SOURCE");
    for (const StoredModel& model : models) {
      const Manifest& manifest = model.manifest;
      console.print("{:<{}}  {:>8}  {:<12}  {}\n", manifest.name, width,
                    bytes_text(static_cast<double>(manifest.size_bytes)), manifest.license,
                    manifest.source);
    }
  }

  // What could be pulled, for those who do not have it yet.
  static void note_known(const Console& console, const std::vector<StoredModel>& models) {
    for (const KnownModel& known : known_models()) {
      const bool is_here = std::any_of(models.begin(), models.end(), [&](const StoredModel& model) {
        return model.manifest.name == known.name;
      });
      if (!is_here) console.note("minke pull {}  gets {}", known.name, known.summary);
    }
  }

  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_list_command() { return std::make_unique<ListCommand>(); }

}  // namespace minke
