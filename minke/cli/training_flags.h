#pragma once
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "minke/cli/flags.h"
#include "minke/train/settings.h"
#include "minke/train/trainer.h"

namespace minke {

/// What the training commands have in common beside their stage's settings: where those come from
/// and where the run goes.
class TrainingFlags {
 public:
  explicit TrainingFlags(std::string stage) : stage_(std::move(stage)) {}

  /// --recipe, --run, --resume, --dry-run, --json, and all settings of `config`.
  template <class Config>
  void add_to(Flags& flags, Config& config) {
    add_own(flags);
    flags.add_visited(config);
  }

  /// Makes `config`, which the flags have set, whole: defaults, then the recipe or what the run to
  /// be resumed began with, then the flags that were given. kUsage as SettingFields::set().
  template <class Config>
  Result<void> resolve(Config& config) {
    Config resolved;
    const SettingFields fields(resolved);
    MK_TRY(read_sources(fields));
    fields.copy(SettingFields(config),
                [&](const std::string& name) { return given_(flag_name(name)); });
    config = resolved;
    return {};
  }
  /// Whether recipe, resumed run or flags have the setting.
  bool is_set(const std::string& name) const;

  const std::string& stage() const { return stage_; }
  bool is_resumed() const { return !resume_.empty(); }
  /// Of the run: --resume's, --run's, or a new one.
  std::filesystem::path run_path() const;
  bool is_run_named() const { return !run_.empty() || is_resumed(); }
  /// The recipe's [model], or that of the resumed run's; null: none.
  const Json& new_model() const { return new_model_; }
  /// Where the recipe lies, for paths in it; empty without.
  std::filesystem::path recipe_folder() const;
  bool dry_run = false;
  bool json = false;

 private:
  void add_own(Flags& flags);
  Result<void> read_sources(const SettingFields& fields);
  static std::string flag_name(std::string name);

  std::string stage_;
  std::string recipe_;
  std::string run_;
  std::string resume_;
  std::vector<std::string> set_elsewhere_;
  Json new_model_;
  std::function<bool(std::string_view)> given_;
};

}  // namespace minke
