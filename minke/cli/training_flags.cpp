#include "minke/cli/training_flags.h"

#include <algorithm>

#include "minke/base/files.h"
#include "minke/runs/run_folder.h"

namespace minke {

void TrainingFlags::add_own(Flags& flags) {
  flags.add("recipe", recipe_, "a TOML file of settings, which flags override");
  flags.add("run", run_, "the run's folder, a new one (default: by stage and time)");
  flags.add("resume", resume_, "go on with the run in this folder after its last checkpoint");
  flags.add("dry-run", dry_run, "tell parameters, memory, operations and time, and train nothing");
  flags.add("json", json, "one line of JSON a step");
  given_ = [&flags](std::string_view name) { return flags.given(name); };
}

std::string TrainingFlags::flag_name(std::string name) {
  std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

bool TrainingFlags::is_set(const std::string& name) const {
  return given_(flag_name(name)) || std::ranges::find(set_elsewhere_, name) != set_elsewhere_.end();
}

std::filesystem::path TrainingFlags::run_path() const {
  if (is_resumed()) return resume_;
  return run_.empty() ? new_run_path(default_runs_folder(), stage_) : std::filesystem::path(run_);
}

std::filesystem::path TrainingFlags::recipe_folder() const {
  return std::filesystem::path(recipe_).parent_path();
}

Result<void> TrainingFlags::read_sources(const SettingFields& fields) {
  if (is_resumed() && (!recipe_.empty() || !run_.empty())) {
    return fail(ErrorCode::kUsage,
                "--resume takes settings and folder from the run: leave out --recipe and --run");
  }
  Json settings;
  if (!recipe_.empty()) {
    MK_ASSIGN(Recipe recipe, Recipe::open(recipe_, stage_));
    MK_TRY(fields.set(recipe.settings, [&](const std::string& key) { return recipe.where(key); }));
    settings = std::move(recipe.settings);
    new_model_ = std::move(recipe.model);
  } else if (is_resumed()) {
    const std::filesystem::path path = std::filesystem::path(resume_) / "config.json";
    std::error_code error;
    if (!std::filesystem::exists(path, error)) {
      return fail(ErrorCode::kNotFound, "{} holds no run: {} is not there", resume_, path.string());
    }
    MK_ASSIGN(const std::string text, read_file(path));
    const Result<Json> document = parse_json(text);
    const Json* stage = document ? document->find("stage") : nullptr;
    const Json* config = document ? document->find("config") : nullptr;
    if (config == nullptr || !config->is_object() || stage == nullptr || !stage->is_string()) {
      return fail(ErrorCode::kCorrupt, "{} is no run's config.json", path.string());
    }
    if (stage->as_string() != stage_) {
      return fail(ErrorCode::kUsage, "the run in {} is of stage {}: resume it with minke {}",
                  resume_, stage->as_string(), stage->as_string());
    }
    settings = *config;
    if (const Json* model = settings.find("model"); model != nullptr) new_model_ = *model;
    std::erase_if(settings.as_object(), [](const auto& member) { return member.first == "model"; });
    MK_TRY(fields.set(settings, [&](const std::string&) { return path.string(); }));
  }
  if (!settings.is_object()) return {};
  for (const auto& member : settings.as_object()) set_elsewhere_.push_back(member.first);
  return {};
}

}  // namespace minke
