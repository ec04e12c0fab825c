#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "minke/base/json.h"
#include "minke/base/result.h"

namespace minke {

/// Settings of a stage are the fields that its config's visit() names, each on one line: from it
/// follow the flag ("--warmup-steps"), the key in a recipe and in a run's config.json
/// ("warmup_steps"), the limits and the help text. Later ones win: defaults, recipe, flags.

/// A setting's field, whatever its type.
struct SettingField {
  std::string name;
  std::function<Json()> get;
  /// Sets it from a value of the fitting kind within its limits; else says what was expected.
  std::function<Result<void>(const Json& value)> set;
};

/// Collects the fields that a config's visit() names. They point into the config.
class SettingFields {
 public:
  template <class Config>
  explicit SettingFields(Config& config) {
    config.visit(*this);
  }
  void operator()(std::string_view name, bool& field, std::string_view help);
  void operator()(std::string_view name, std::string& field, std::string_view help);
  void operator()(std::string_view name, std::vector<std::string>& field, std::string_view help);
  void operator()(std::string_view name, uint64_t& field, std::string_view help);
  void operator()(std::string_view name, int& field, double low, double high,
                  std::string_view help);
  void operator()(std::string_view name, int64_t& field, double low, double high,
                  std::string_view help);
  void operator()(std::string_view name, double& field, double low, double high,
                  std::string_view help);

  const std::vector<SettingField>& fields() const { return fields_; }
  /// All of them, in their order.
  Json values() const;
  /// Sets those that `values`, an object, has. kUsage for a name that is none of them (with the
  /// nearest one) and for a wrong value; `where` says where a key stands, "recipe.toml:3".
  Result<void> set(const Json& values,
                   const std::function<std::string(const std::string& key)>& where) const;
  /// Sets those of `from`, the same config's fields, whose name is chosen.
  void copy(const SettingFields& from,
            const std::function<bool(const std::string& name)>& is_chosen) const;

 private:
  std::vector<SettingField> fields_;
};

/// A recipe: the settings of a stage as a TOML file.
///
///     stage = "pretrain"       # the command that it is for
///     batch = 12               # settings by the names of the flags, "_" for "-"
///     lr = 1e-3
///     [model]                  # of a new model: its config.json
///     model_type = "gpt2"
struct Recipe {
  std::filesystem::path path;
  std::string stage;
  Json settings;                                   ///< an object
  Json model;                                      ///< an object; null: none
  std::vector<std::pair<std::string, int>> lines;  ///< where each key stands

  /// Errors: of reading and parsing it; kUsage for one of another stage.
  static Result<Recipe> open(const std::filesystem::path& path, std::string_view stage);
  /// "recipe.toml:3", for messages.
  std::string where(const std::string& key) const;
};

}  // namespace minke
