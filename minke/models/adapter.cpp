#include "minke/models/adapter.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <system_error>
#include <utility>

#include "minke/base/files.h"
#include "minke/base/utf8.h"
#include "minke/format/safetensors.h"
#include "minke/format/weight_writer.h"
#include "minke/models/adapter_config.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

constexpr size_t kConfigBytesMax = size_t{4} << 20;
constexpr const char* kConfigFile = "adapter_config.json";
constexpr const char* kWeightsFile = "adapter_model.safetensors";
constexpr std::string_view kPrefix = "base_model.model.";
constexpr std::string_view kSuffixA = ".lora_A.weight";
constexpr std::string_view kSuffixB = ".lora_B.weight";
constexpr std::string_view kSuffixBase = ".base_layer.weight";  // of an adapted lm_head

bool is_there(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

Result<void> check_files(const fs::path& folder) {
  const bool has_config = is_there(folder / kConfigFile);
  if (has_config && is_there(folder / kWeightsFile)) return {};
  if (has_config && is_there(folder / "adapter_model.bin")) {
    return fail(ErrorCode::kUsage,
                "{} has adapter_model.bin, a format that can run programs; save the adapter with "
                "safe_serialization=True",
                folder.string());
  }
  return fail(ErrorCode::kNotFound, "{} has no adapter: expected {} and {}", folder.string(),
              kConfigFile, kWeightsFile);
}

// The two tensors of a module, and where PEFT saved it the model's own, which is frozen.
struct Pair {
  const WeightInfo* a = nullptr;
  const WeightInfo* b = nullptr;
  const WeightInfo* base = nullptr;
};

tl::unexpected<Error> refused(const std::string& name) {
  const auto has = [&](const char* part) { return name.find(part) != std::string::npos; };
  const char* why =
      has("lora_embedding_")         ? "is of an embedding, which minke does not adapt"
      : has("lora_magnitude_vector") ? "is DoRA's, which minke does not do"
      : name.ends_with(".bias")      ? "is a bias, which minke does not adapt"
      : has(".modules_to_save.")
          ? "replaces a module, which minke does not do"
          : "is not what minke reads: expected base_model.model.MODULE.lora_A.weight or "
            "lora_B.weight";
  return fail(ErrorCode::kUsage, "tensor '{}' {}", printable_name(name), why);
}

// The tensors by module; formats are checked.
Result<std::map<std::string, Pair>> pairs_of(const SafetensorsFile& file) {
  if (!file.skipped().empty()) {
    return fail(ErrorCode::kUsage, "tensor {} is of a type that minke does not read",
                file.skipped().front());
  }
  std::map<std::string, Pair> pairs;
  for (const WeightInfo& info : file.weights()) {
    const WeightInfo* Pair::*part = nullptr;
    std::string_view module = info.name;
    for (const auto& [suffix, member] :
         {std::pair(kSuffixA, &Pair::a), {kSuffixB, &Pair::b}, {kSuffixBase, &Pair::base}}) {
      if (!module.ends_with(suffix)) continue;
      module.remove_suffix(suffix.size());
      part = member;
      break;
    }
    if (part == nullptr || !module.starts_with(kPrefix)) return refused(info.name);
    if (info.dtype != DType::kF32 && info.dtype != DType::kF16 && info.dtype != DType::kBf16) {
      return fail(ErrorCode::kUsage, "tensor '{}' is {}, expected f32, f16 or bf16",
                  printable_name(info.name), dtype_info(info.dtype).name);
    }
    pairs[std::string(module.substr(kPrefix.size()))].*part = &info;
  }
  return pairs;
}

Result<std::vector<float>> finite_values(const WeightInfo& info) {
  std::vector<float> values(static_cast<size_t>(info.shape.num_elements()));
  decode_rows(info, 0, info.shape[0], values.data());
  const auto at = std::find_if_not(values.begin(), values.end(),
                                   [](float value) { return std::isfinite(value); });
  if (at == values.end()) return values;
  return fail(ErrorCode::kCorrupt, "tensor '{}' has {} at element {}, expected finite numbers",
              printable_name(info.name), *at, at - values.begin());
}

Result<LoraDelta> delta_of(const std::string& module, const Pair& pair,
                           const AdapterConfig& config) {
  if (pair.a == nullptr || pair.b == nullptr) {
    return fail(ErrorCode::kCorrupt, "module '{}' has {} when it should have lora_A and lora_B",
                printable_name(module), pair.a == nullptr ? "lora_B only" : "lora_A only");
  }
  const Shape &a = pair.a->shape, &b = pair.b->shape;
  const int64_t rank = config.rank_of(module);
  const bool are_matrices =
      a.num_dims() == 2 && b.num_dims() == 2 && a.num_elements() > 0 && b.num_elements() > 0;
  if (!are_matrices || a[0] != rank || b[1] != rank) {
    return fail(ErrorCode::kCorrupt,
                "module '{}' has lora_A {} and lora_B {} when they should be [{}, in] and [out, "
                "{}], as r or rank_pattern of {} says",
                printable_name(module), a.text(), b.text(), rank, rank, kConfigFile);
  }
  const Shape whole = {b[0], a[1]};
  if (pair.base != nullptr && !(pair.base->shape == whole)) {
    return fail(
        ErrorCode::kUsage,
        "module '{}' comes with weights of its own, {} when its adapter is of {}; minke does "
        "not replace a model's weights",
        printable_name(module), pair.base->shape.text(), whole.text());
  }
  LoraDelta delta{rank, b[0], a[1], config.scale_of(module), {}, {}};
  MK_ASSIGN(delta.a, finite_values(*pair.a));
  MK_ASSIGN(delta.b, finite_values(*pair.b));
  return delta;
}

Result<Adapter> read(const fs::path& folder) {
  MK_TRY(check_files(folder));
  MK_ASSIGN(const std::string text, read_file(folder / kConfigFile, kConfigBytesMax));
  const auto json = parse_json(text);
  if (!json) {
    return fail(ErrorCode::kCorrupt, "{}: no JSON document: {}", kConfigFile, json.error().message);
  }
  MK_ASSIGN(const AdapterConfig config, AdapterConfig::parse(*json));
  MK_ASSIGN(const SafetensorsFile file, SafetensorsFile::open(folder / kWeightsFile));
  MK_ASSIGN(const auto pairs, pairs_of(file));
  if (pairs.empty()) return fail(ErrorCode::kCorrupt, "{} has no tensors", kWeightsFile);
  Adapter adapter;
  adapter.name = (folder.has_filename() ? folder : folder.parent_path()).filename().string();
  adapter.base_model = config.base_model();
  for (const auto& [module, pair] : pairs) {
    MK_ASSIGN(LoraDelta delta, delta_of(module, pair, config));
    adapter.modules.push_back({module, std::move(delta)});
  }
  return adapter;
}

// The rank that most modules have; of equals the smallest.
int64_t usual_rank(const Adapter& adapter) {
  std::map<int64_t, int> counts;
  for (const AdapterModule& module : adapter.modules) ++counts[module.delta.rank];
  return std::max_element(counts.begin(), counts.end(),
                          [](const auto& a, const auto& b) { return a.second < b.second; })
      ->first;
}

Json config_of(const Adapter& adapter) {
  const int64_t rank = usual_rank(adapter);
  const auto alpha_of = [](const LoraDelta& d) { return d.scale * static_cast<double>(d.rank); };
  const auto usual = std::find_if(adapter.modules.begin(), adapter.modules.end(),
                                  [&](const AdapterModule& m) { return m.delta.rank == rank; });
  const double alpha = alpha_of(usual->delta);
  // Whole names, which as patterns match their module and no other of a model.
  Json ranks = Json::object(), alphas = Json::object(), targets = Json::array();
  for (const AdapterModule& module : adapter.modules) {
    targets.push(module.module);
    if (module.delta.rank != rank) ranks.set(module.module, module.delta.rank);
    if (alpha_of(module.delta) != alpha) alphas.set(module.module, alpha_of(module.delta));
  }
  return Json::object({{"peft_type", "LORA"},
                       {"task_type", "CAUSAL_LM"},
                       {"base_model_name_or_path", adapter.base_model},
                       {"r", rank},
                       {"lora_alpha", alpha},
                       {"lora_dropout", 0.0},
                       {"use_rslora", false},
                       {"rank_pattern", std::move(ranks)},
                       {"alpha_pattern", std::move(alphas)},
                       {"target_modules", std::move(targets)},
                       {"bias", "none"},
                       {"fan_in_fan_out", false},
                       {"init_lora_weights", true},
                       {"inference_mode", true}});
}

}  // namespace

Result<Adapter> read_adapter(const fs::path& folder) {
  auto adapter = read(folder);
  if (adapter || adapter.error().code == ErrorCode::kNotFound) return adapter;
  return fail(adapter.error().code, "adapter {}: {}", folder.string(), adapter.error().message);
}

Result<void> write_adapter(const fs::path& folder, const Adapter& adapter) {
  MK_CHECK(!adapter.modules.empty(), "write_adapter: '{}' has no modules", adapter.name);
  std::vector<WeightDeclaration> tensors;
  for (const auto& [module, delta] : adapter.modules) {
    const auto name = [&](std::string_view suffix) {
      return fmt::format("{}{}{}", kPrefix, module, suffix);
    };
    tensors.push_back({name(kSuffixA), DType::kF32, {delta.rank, delta.cols}});
    tensors.push_back({name(kSuffixB), DType::kF32, {delta.rows, delta.rank}});
  }
  MK_ASSIGN(WeightWriter writer, create_safetensors_file(folder / kWeightsFile, tensors));
  for (const auto& [module, delta] : adapter.modules) {
    MK_TRY(writer.write(std::as_bytes(std::span(delta.a))));
    MK_TRY(writer.write(std::as_bytes(std::span(delta.b))));
  }
  MK_TRY(writer.finish());
  return write_file_atomic(folder / kConfigFile, config_of(adapter).dump(2) + "\n");
}

}  // namespace minke
