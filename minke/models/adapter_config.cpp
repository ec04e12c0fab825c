#include "minke/models/adapter_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "minke/base/utf8.h"

namespace minke {
namespace {

constexpr int64_t kRankMax = 1 << 20;

// Settings that change nothing about what the tensors mean, and those that parse() reads. Whatever
// else is switched on is refused: that covers settings that are not invented yet.
constexpr std::string_view kHarmless[] = {
    "alpha_pattern",
    "auto_mapping",
    "base_model_name_or_path",
    "bias",
    "corda_config",
    "ensure_weight_tying",
    "eva_config",
    "exclude_modules",
    "inference_mode",
    "init_lora_weights",
    "layers_pattern",
    "layers_to_transform",
    "loftq_config",
    "lora_alpha",
    "lora_dropout",
    "lora_ga_config",
    "megatron_core",
    "peft_type",
    "peft_version",
    "qalora_group_size",
    "r",
    "rank_pattern",
    "revision",
    "runtime_config",
    "target_modules",
    "task_type",
    "use_rslora",
};

// Starts that leave the model's own weights alone. The others (PiSSA, OLoRA, LoftQ, ...) take a
// part out of them, so that the adapter belongs to weights that are not in the model's files.
constexpr std::string_view kPlainStarts[] = {"gaussian", "eva", "orthogonal"};

std::string shown(const Json& value) { return printable_name(value.dump()); }

tl::unexpected<Error> wrong(std::string_view key, const Json* value, std::string_view expected) {
  return fail(ErrorCode::kCorrupt, "adapter_config.json: {} is {} when it should be {}", key,
              value == nullptr ? "missing" : shown(*value), expected);
}

bool is_off(const Json& value) {
  return value.is_null() || (value.is_bool() && !value.as_bool()) ||
         (value.is_array() && value.as_array().empty()) ||
         (value.is_object() && value.as_object().empty());
}

Result<void> refuse_others(const Json::Object& config) {
  for (const auto& [key, value] : config) {
    if (is_off(value) ||
        std::find(std::begin(kHarmless), std::end(kHarmless), key) != std::end(kHarmless)) {
      continue;
    }
    return fail(ErrorCode::kUsage,
                "adapter_config.json: {} is {}, which minke does not do; it reads plain LoRA only",
                printable_name(key), shown(value));
  }
  return {};
}

Result<void> check_start(const Json& config) {
  const Json* start = config.find("init_lora_weights");
  if (start == nullptr || start->is_null() || start->is_bool()) return {};
  if (!start->is_string()) return wrong("init_lora_weights", start, "true, false or a name");
  const std::string& name = start->as_string();
  if (std::find(std::begin(kPlainStarts), std::end(kPlainStarts), name) != std::end(kPlainStarts)) {
    return {};
  }
  return fail(
      ErrorCode::kUsage,
      "adapter_config.json: init_lora_weights is '{}', a start that changes the model's own "
      "weights; save the adapter as plain LoRA (PEFT's save_pretrained with "
      "path_initial_model_for_weight_conversion)",
      printable_name(name));
}

Result<void> check_kind(const Json& config) {
  const Json* type = config.find("peft_type");
  if (type == nullptr || !type->is_string()) return wrong("peft_type", type, "\"LORA\"");
  if (type->as_string() != "LORA") {
    return fail(ErrorCode::kUsage,
                "adapter_config.json: peft_type is {}, and minke reads LORA only", shown(*type));
  }
  const Json* bias = config.find("bias");
  if (bias != nullptr && !bias->is_null() && *bias != Json("none")) {
    return fail(
        ErrorCode::kUsage,
        "adapter_config.json: bias is {}, and minke reads adapters without biases (\"none\") "
        "only",
        shown(*bias));
  }
  const Json* targets = config.find("target_modules");
  if (targets == nullptr || targets->is_null() || targets->is_string()) return {};
  if (targets->is_array()) {
    const Json::Array& names = targets->as_array();
    if (std::all_of(names.begin(), names.end(), [](const Json& n) { return n.is_string(); })) {
      return {};
    }
  }
  return wrong("target_modules", targets, "a text or a list of texts");
}

std::optional<double> rank_in(const Json& value) {
  if (!value.is_int() || value.as_int() < 1 || value.as_int() > kRankMax) return std::nullopt;
  return static_cast<double>(value.as_int());
}

std::optional<double> finite_in(const Json& value) {
  if (!value.is_number() || !std::isfinite(value.as_double())) return std::nullopt;
  return value.as_double();
}

// "^a\.b$" is "^a.b"; none for a regular expression that is no name. ".*" before a name stays.
std::optional<std::string> name_of(std::string_view pattern) {
  std::string name;
  for (const std::string_view start : {"^", ".*"}) {
    if (!pattern.starts_with(start)) continue;
    name += start;
    pattern.remove_prefix(start.size());
  }
  if (pattern.ends_with("$")) pattern.remove_suffix(1);
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern.substr(i).starts_with("\\.")) ++i;
    if (std::string_view("\\^$*+?()[]{}|").find(pattern[i]) != std::string_view::npos) {
      return std::nullopt;
    }
    name += pattern[i];
  }
  return pattern.empty() ? std::nullopt : std::optional(name);
}

// Whether the module's name is, or after a dot ends with, what name_of() gave.
bool ends_with_name(std::string_view module, std::string_view name) {
  const bool whole = name.starts_with("^");
  if (whole) name.remove_prefix(1);
  const bool anything = name.starts_with(".*");
  if (anything) name.remove_prefix(2);
  if (name.size() > module.size()) return false;
  const size_t before = module.size() - name.size();
  if (before > 0 && !anything && (whole || module[before - 1] != '.')) return false;
  return std::equal(name.begin(), name.end(), module.begin() + static_cast<ptrdiff_t>(before),
                    [](char wanted, char found) { return wanted == '.' || wanted == found; });
}

std::optional<double> find_in(const std::vector<std::pair<std::string, double>>& patterns,
                              std::string_view module) {
  for (const auto& [name, value] : patterns) {
    if (ends_with_name(module, name)) return value;
  }
  return std::nullopt;
}

}  // namespace

Result<std::vector<AdapterConfig::Pattern>> AdapterConfig::patterns(const Json& config,
                                                                    const char* key, bool whole) {
  std::vector<Pattern> out;
  const Json* map = config.find(key);
  if (map == nullptr || map->is_null()) return out;
  if (!map->is_object()) return wrong(key, map, "an object");
  for (const auto& [pattern, value] : map->as_object()) {
    const auto number = whole ? rank_in(value) : finite_in(value);
    if (!number) {
      return wrong(fmt::format("{}: {}", key, printable_name(pattern)), &value,
                   whole ? "a rank" : "a number");
    }
    const auto name = name_of(pattern);
    if (!name) {
      return fail(ErrorCode::kUsage,
                  "adapter_config.json: {} has the regular expression '{}', and minke reads the "
                  "names of modules only",
                  key, printable_name(pattern));
    }
    out.emplace_back(*name, *number);
  }
  return out;
}

Result<AdapterConfig> AdapterConfig::parse(const Json& json) {
  if (!json.is_object()) {
    return fail(ErrorCode::kCorrupt, "adapter_config.json is {}, expected an object", json.kind());
  }
  MK_TRY(check_kind(json));
  MK_TRY(refuse_others(json.as_object()));
  MK_TRY(check_start(json));
  AdapterConfig config;
  const Json* rank = json.find("r");
  if (rank == nullptr || !rank_in(*rank)) return wrong("r", rank, "a whole number from 1 on");
  config.rank_ = rank->as_int();
  const Json* alpha = json.find("lora_alpha");
  if (alpha == nullptr || !finite_in(*alpha)) return wrong("lora_alpha", alpha, "a number");
  config.alpha_ = alpha->as_double();
  const Json* rslora = json.find("use_rslora");
  if (rslora != nullptr && !rslora->is_null()) {
    if (!rslora->is_bool()) return wrong("use_rslora", rslora, "true or false");
    config.rslora_ = rslora->as_bool();
  }
  const Json* base = json.find("base_model_name_or_path");
  if (base != nullptr && base->is_string()) config.base_model_ = base->as_string();
  MK_ASSIGN(config.ranks_, patterns(json, "rank_pattern", true));
  MK_ASSIGN(config.alphas_, patterns(json, "alpha_pattern", false));
  return config;
}

int64_t AdapterConfig::rank_of(std::string_view module) const {
  const auto rank = find_in(ranks_, module);
  return rank ? static_cast<int64_t>(*rank) : rank_;
}

double AdapterConfig::scale_of(std::string_view module) const {
  const double alpha = find_in(alphas_, module).value_or(alpha_);
  const auto rank = static_cast<double>(rank_of(module));
  return alpha / (rslora_ ? std::sqrt(rank) : rank);
}

}  // namespace minke
