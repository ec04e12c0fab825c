#include <algorithm>

#include "minke/cli/command.h"
#include "minke/cli/model_facts.h"
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
    std::vector<Row> rows;
    for (const StoredModel& model : models) rows.push_back({&model, model_facts(model.path())});
    if (json_) {
      console.print_json(Json::object({{"models", json_rows(rows)}}));
      return {};
    }
    print_table(console, rows);
    note_known(console, models);
    return {};
  }

 private:
  struct Row {
    const StoredModel* model;
    Result<ModelFacts> facts;  // an error for a file that cannot be read
  };

  static Json json_rows(const std::vector<Row>& rows) {
    Json::Array out;
    for (const Row& row : rows) {
      Json document = row.model->manifest.to_json();
      document.set("path", row.model->path().string());
      if (row.facts) row.facts->add_to(document);
      if (!row.facts) document.set("problem", row.facts.error().message);
      out.push_back(std::move(document));
    }
    return Json(std::move(out));
  }

  static void print_table(const Console& console, const std::vector<Row>& rows) {
    if (rows.empty()) return;
    size_t width = 4;
    for (const Row& row : rows) width = std::max(width, row.model->manifest.name.size());
    console.print("{:<{}}  {:>8}  {:<6}  {:>10}  {:>7}  {:>8}  {:<4}  {}\n", "NAME", width, "SIZE",
                  "FORMAT", "PARAMETERS", "CONTEXT", "MEMORY", "FITS", "LICENSE");
    for (const Row& row : rows) {
      const Manifest& manifest = row.model->manifest;
      ModelFacts facts = row.facts.value_or(ModelFacts{});
      if (!row.facts) facts.format = "?";
      const auto or_unknown = [](int64_t number, std::string text) {
        return number > 0 ? std::move(text) : std::string("?");
      };
      console.print(
          "{:<{}}  {:>8}  {:<6}  {:>10}  {:>7}  {:>8}  {:<4}  {}\n", manifest.name, width,
          bytes_text(static_cast<double>(manifest.size_bytes)), facts.format,
          or_unknown(facts.parameters, count_text(facts.parameters)),
          or_unknown(facts.context_tokens, fmt::format("{}", facts.context_tokens)),
          or_unknown(facts.memory_bytes, bytes_text(static_cast<double>(facts.memory_bytes))),
          or_unknown(facts.memory_bytes, facts.fits() ? "yes" : "no"), manifest.license);
      if (!row.facts) console.note("{}: {}", manifest.name, row.facts.error().message);
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
