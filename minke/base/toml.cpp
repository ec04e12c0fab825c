#include "minke/base/toml.h"

#define TOML_EXCEPTIONS 0
#define TOML_HEADER_ONLY 1
#include <toml++/toml.h>

#include <algorithm>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace minke {
namespace {

using OnKey = std::function<void(std::string_view, int)>;

Json json_of(const toml::node& node, const std::string& prefix, const OnKey& on_key);

Json json_of_table(const toml::table& table, const std::string& prefix, const OnKey& on_key) {
  // toml++ sorts by key; a document is read in its own order.
  std::vector<std::pair<const toml::key*, const toml::node*>> members;
  for (const auto& [key, node] : table) members.emplace_back(&key, &node);
  std::stable_sort(members.begin(), members.end(), [](const auto& a, const auto& b) {
    return a.first->source().begin < b.first->source().begin;
  });
  Json out = Json::object();
  for (const auto& [key, node] : members) {
    const std::string name = prefix + std::string(key->str());
    if (on_key) on_key(name, static_cast<int>(key->source().begin.line));
    out.as_object().emplace_back(std::string(key->str()), json_of(*node, name + ".", on_key));
  }
  return out;
}

Json json_of(const toml::node& node, const std::string& prefix, const OnKey& on_key) {
  if (const toml::table* table = node.as_table()) return json_of_table(*table, prefix, on_key);
  if (const toml::array* array = node.as_array()) {
    Json out = Json::array();
    for (const toml::node& item : *array) out.push(json_of(item, prefix, nullptr));
    return out;
  }
  if (const auto* text = node.as_string()) return Json(text->get());
  if (const auto* number = node.as_integer()) return Json(number->get());
  if (const auto* number = node.as_floating_point()) return Json(number->get());
  if (const auto* truth = node.as_boolean()) return Json(truth->get());
  std::ostringstream other;
  if (const auto* date = node.as_date()) other << date->get();
  if (const auto* time = node.as_time()) other << time->get();
  if (const auto* both = node.as_date_time()) other << both->get();
  return Json(other.str());
}

}  // namespace

Result<Json> parse_toml(std::string_view text, std::string_view name, const OnKey& on_key) {
  const toml::parse_result parsed = toml::parse(text, name);
  if (!parsed) {
    const toml::parse_error& error = parsed.error();
    return fail(ErrorCode::kUsage, "{}:{}: no TOML: {}", name, error.source().begin.line,
                error.description());
  }
  return json_of_table(parsed.table(), "", on_key);
}

}  // namespace minke
