#include "minke/train/settings.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "minke/base/check.h"
#include "minke/base/files.h"
#include "minke/base/nearest_name.h"
#include "minke/base/toml.h"

namespace minke {
namespace {

constexpr size_t kRecipeBytesMax = size_t{1} << 20;

tl::unexpected<Error> wrong_kind(const Json& value, const char* expected) {
  return fail(ErrorCode::kUsage, "{} is a {}, expected {}", value.dump(), value.kind(), expected);
}

template <class T>
Result<void> set_number(const Json& value, double low, double high, T& field) {
  constexpr bool kWhole = std::is_integral_v<T>;
  if (kWhole ? !value.is_int() : !value.is_number()) {
    return wrong_kind(value, kWhole ? "a whole number" : "a number");
  }
  const double number = value.as_double();
  if (!(number >= low && number <= high)) {
    return fail(ErrorCode::kUsage, "{} is out of range, expected {} to {}", value.dump(), low,
                high);
  }
  if constexpr (kWhole) {
    field = static_cast<T>(value.as_int());
  } else {
    field = number;
  }
  return {};
}

}  // namespace

void SettingFields::operator()(std::string_view name, bool& field, std::string_view) {
  fields_.push_back({std::string(name), [&field] { return Json(field); },
                     [&field](const Json& value) -> Result<void> {
                       if (!value.is_bool()) return wrong_kind(value, "true or false");
                       field = value.as_bool();
                       return {};
                     }});
}

void SettingFields::operator()(std::string_view name, std::string& field, std::string_view) {
  fields_.push_back({std::string(name), [&field] { return Json(field); },
                     [&field](const Json& value) -> Result<void> {
                       if (!value.is_string()) return wrong_kind(value, "a string");
                       field = value.as_string();
                       return {};
                     }});
}

void SettingFields::operator()(std::string_view name, std::vector<std::string>& field,
                               std::string_view) {
  const auto get = [&field] {
    Json out = Json::array();
    for (const std::string& text : field) out.push(text);
    return out;
  };
  const auto set = [&field](const Json& value) -> Result<void> {
    std::vector<std::string> texts;
    if (value.is_string()) texts.push_back(value.as_string());
    if (!value.is_array() && !value.is_string()) return wrong_kind(value, "a list of strings");
    if (value.is_array()) {
      for (const Json& item : value.as_array()) {
        if (!item.is_string()) return wrong_kind(item, "a string");
        texts.push_back(item.as_string());
      }
    }
    field = std::move(texts);
    return {};
  };
  fields_.push_back({std::string(name), get, set});
}

void SettingFields::operator()(std::string_view name, uint64_t& field, std::string_view) {
  fields_.push_back({std::string(name), [&field] { return Json(field); },
                     [&field](const Json& value) -> Result<void> {
                       if (!value.is_int()) return wrong_kind(value, "a whole number");
                       field = static_cast<uint64_t>(value.as_int());
                       return {};
                     }});
}

void SettingFields::operator()(std::string_view name, int& field, double low, double high,
                               std::string_view) {
  fields_.push_back(
      {std::string(name), [&field] { return Json(field); },
       [&field, low, high](const Json& value) { return set_number(value, low, high, field); }});
}

void SettingFields::operator()(std::string_view name, int64_t& field, double low, double high,
                               std::string_view) {
  fields_.push_back(
      {std::string(name), [&field] { return Json(field); },
       [&field, low, high](const Json& value) { return set_number(value, low, high, field); }});
}

void SettingFields::operator()(std::string_view name, double& field, double low, double high,
                               std::string_view) {
  fields_.push_back(
      {std::string(name), [&field] { return Json(field); },
       [&field, low, high](const Json& value) { return set_number(value, low, high, field); }});
}

Json SettingFields::values() const {
  Json out = Json::object();
  for (const SettingField& field : fields_) out.set(field.name, field.get());
  return out;
}

Result<void> SettingFields::set(
    const Json& values, const std::function<std::string(const std::string& key)>& where) const {
  std::vector<std::string> names;
  for (const SettingField& field : fields_) names.push_back(field.name);
  for (const auto& [key, value] : values.as_object()) {
    const auto at = std::ranges::find(fields_, key, &SettingField::name);
    if (at == fields_.end()) {
      return fail(ErrorCode::kUsage, "{}: there is no setting '{}'{}", where(key), key,
                  did_you_mean(key, names));
    }
    if (const Result<void> set = at->set(value); !set) {
      return fail(set.error().code, "{}: {}: {}", where(key), key, set.error().message);
    }
  }
  return {};
}

void SettingFields::copy(const SettingFields& from,
                         const std::function<bool(const std::string& name)>& is_chosen) const {
  MK_CHECK(fields_.size() == from.fields_.size(), "settings: {} fields from {}", fields_.size(),
           from.fields_.size());
  for (size_t i = 0; i < fields_.size(); ++i) {
    if (!is_chosen(fields_[i].name)) continue;
    const Result<void> set = fields_[i].set(from.fields_[i].get());
    MK_CHECK(set.has_value(), "settings: {} from its own kind", fields_[i].name);
  }
}

Result<Recipe> Recipe::open(const std::filesystem::path& path, std::string_view stage) {
  MK_ASSIGN(const std::string text, read_file(path, kRecipeBytesMax));
  Recipe recipe;
  recipe.path = path;
  MK_ASSIGN(recipe.settings, parse_toml(text, path.string(), [&](std::string_view key, int line) {
              recipe.lines.emplace_back(std::string(key), line);
            }));
  Json::Object& members = recipe.settings.as_object();
  for (auto& [key, value] : members) {
    if (key == "stage" && value.is_string()) recipe.stage = value.as_string();
    if (key == "model" && value.is_object()) recipe.model = std::move(value);
  }
  const bool has_model = recipe.model.is_object();
  std::erase_if(members, [&](const auto& member) {
    return member.first == "stage" || (member.first == "model" && has_model);
  });
  if (recipe.stage != stage) {
    return fail(ErrorCode::kUsage, "{}: stage is '{}', expected stage = \"{}\"", path.string(),
                recipe.stage, stage);
  }
  return recipe;
}

std::string Recipe::where(const std::string& key) const {
  const auto at = std::ranges::find(lines, key, [](const auto& entry) { return entry.first; });
  return at == lines.end() ? path.string() : fmt::format("{}:{}", path.string(), at->second);
}

}  // namespace minke
