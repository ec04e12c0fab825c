#include "minke/models/new_adapter.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "minke/base/random.h"
#include "minke/base/utf8.h"
#include "minke/kernels/packed.h"
#include "minke/models/adapter_fit.h"
#include "minke/models/hf_names.h"

namespace minke {
namespace {

constexpr std::string_view kWeight = ".weight";

bool is_named(std::string_view module, std::string_view target) {
  if (!module.ends_with(target)) return false;
  const size_t rest = module.size() - target.size();
  return rest == 0 || module[rest - 1] == '.';
}

bool is_routed(std::string_view module) {
  return module.ends_with(".mlp.gate") || module.find(".experts.") != std::string_view::npos;
}

// The matrices of the blocks that adapters can be of: modules and shapes, in the order of names.
std::map<std::string, Shape> linear_modules(const WeightFile& file, const ModelConfig& config) {
  std::map<std::string, Shape> modules;
  for (const WeightInfo& info : file.weights()) {
    std::string name = info.name;
    // GGUF has MLA's kv_b in parts, one for each head.
    const size_t part = name.find(".attn_k_b.");
    if (part != std::string::npos) name = name.substr(0, part) + ".attn_kv_b.weight";
    const auto hf_name = hf_name_of(name, config.architecture);
    const bool is_of_block = hf_name && name.starts_with("blk.");
    const auto shape = is_of_block ? adapted_shape(name, file, config) : std::nullopt;
    if (!shape || !hf_name->ends_with(kWeight)) continue;
    modules.emplace(hf_name->substr(0, hf_name->size() - kWeight.size()), *shape);
  }
  return modules;
}

// The last words of modules' names, each once.
std::string kinds_of(const std::map<std::string, Shape>& modules) {
  std::set<std::string> kinds;
  for (const auto& [module, shape] : modules) kinds.insert(module.substr(module.rfind('.') + 1));
  std::string text;
  for (const std::string& kind : kinds) text += (text.empty() ? "" : ", ") + kind;
  return text;
}

// FNV-1a: the same on every machine.
uint64_t hash_of(std::string_view text) {
  uint64_t hash = 0xCBF29CE484222325ULL;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3ULL;
  return hash;
}

LoraDelta new_delta(const std::string& module, const Shape& shape, const LoraConfig& lora,
                    uint64_t seed) {
  const auto rank = static_cast<double>(lora.r);
  const double scale = lora.lora_alpha / (lora.use_rslora ? std::sqrt(rank) : rank);
  LoraDelta delta{lora.r, shape[0], shape[1], scale, {}, {}};
  Random random(mix64(seed) ^ hash_of(module));
  const double bound = 1.0 / std::sqrt(static_cast<double>(delta.cols));
  delta.a.resize(static_cast<size_t>(delta.rank * delta.cols));
  for (float& value : delta.a) value = static_cast<float>(bound * (2.0 * random.uniform() - 1.0));
  delta.b.resize(static_cast<size_t>(delta.rows * delta.rank));
  return delta;
}

// The numbers of a packed f32 matrix, row-major.
std::vector<float> row_major(const Device& device, const Parameter& parameter) {
  std::vector<int32_t> rows(static_cast<size_t>(parameter.rows));
  std::iota(rows.begin(), rows.end(), 0);
  const Tensor out = Tensor::empty(device.arena(), DType::kF32, {parameter.rows, parameter.cols});
  kernels::unpack_rows(device, parameter.weight({device}).view(), rows.data(), parameter.rows,
                       out.view());
  return {out.data<float>(), out.data<float>() + out.num_elements()};
}

// Where the model has an adapter of one matrix of its file.
struct Place {
  std::string module;  // Hugging Face's name
  const Lora* lora = nullptr;
  bool has_pairs = false;  // rows of heads are in GGUF's order
};

// Those of all adapters, by module.
std::vector<Place> places_of(const Model& model) {
  std::vector<Place> places;
  for (const Parameter& parameter : model.parameters().parameters()) {
    size_t num_found = 0;
    int64_t first = 0;
    for (size_t i = 0; i < parameter.names.size(); first += parameter.name_rows[i++]) {
      const std::string& name = parameter.names[i];
      for (const Lora& lora : parameter.loras) {
        if (lora.row != first) continue;
        const auto hf_name = hf_name_of(name, model.config().architecture);
        MK_CHECK(hf_name && hf_name->ends_with(kWeight), "adapter: '{}' is no weight of a module",
                 name);
        places.push_back({hf_name->substr(0, hf_name->size() - kWeight.size()), &lora,
                          has_paired_rows(name, model.config())});
        ++num_found;
      }
    }
    MK_CHECK(num_found == parameter.loras.size(), "adapter: {} of {} begin at a tensor of '{}'",
             num_found, parameter.loras.size(), parameter.names.front());
  }
  std::sort(places.begin(), places.end(),
            [](const Place& a, const Place& b) { return a.module < b.module; });
  const auto same =
      std::adjacent_find(places.begin(), places.end(),
                         [](const Place& a, const Place& b) { return a.module == b.module; });
  MK_CHECK(same == places.end(), "adapter: '{}' has several", same->module);
  return places;
}

Tensor& value_of(ParameterStore& store, const Parameter* parameter) {
  for (Parameter& own : store.parameters()) {
    if (&own == parameter) return own.value;
  }
  MK_CHECK(false, "adapter: its numbers are not in the model");
}

void set_values(const Device& device, Tensor& to, int64_t rows, int64_t cols,
                std::span<const float> values) {
  const Tensor from = packed_parameter(device, DType::kF32, rows, cols, values).value;
  std::copy_n(from.data<float>(), from.num_elements(), to.data<float>());
}

}  // namespace

Result<Adapter> new_adapter(const WeightFile& file, const ModelConfig& config,
                            const LoraConfig& lora, uint64_t seed) {
  const auto modules = linear_modules(file, config);
  Adapter adapter;
  std::set<std::string> unused(lora.target_modules.begin(), lora.target_modules.end());
  for (const auto& [module, shape] : modules) {
    bool wanted = lora.target_modules.empty() && !is_routed(module);
    for (const std::string& target : lora.target_modules) {
      if (!is_named(module, target)) continue;
      wanted = true;
      unused.erase(target);
    }
    if (wanted) adapter.modules.push_back({module, new_delta(module, shape, lora, seed)});
  }
  if (!unused.empty()) {
    return fail(ErrorCode::kUsage, "no linear map of this model is named '{}'; it has {}",
                printable_name(*unused.begin()), kinds_of(modules));
  }
  return adapter;
}

void train_adapters_only(ParameterStore& store) {
  std::set<const Parameter*> adapters;
  for (const Parameter& parameter : store.parameters()) {
    for (const Lora& lora : parameter.loras) adapters.insert({lora.a, lora.b});
  }
  MK_CHECK(!adapters.empty(), "train_adapters_only: the model has no adapters");
  for (Parameter& parameter : store.parameters()) parameter.frozen = !adapters.contains(&parameter);
}

Adapter adapter_of(const Device& device, const Model& model, std::string base_model) {
  Adapter adapter{"", std::move(base_model), {}};
  for (const Place& place : places_of(model)) {
    const Parameter &a = *place.lora->a, &b = *place.lora->b;
    LoraDelta delta{
        a.rows, b.rows, a.cols, place.lora->scale, row_major(device, a), row_major(device, b)};
    if (place.has_pairs) unpair_rows(delta, model.config().head_dim);
    adapter.modules.push_back({place.module, std::move(delta)});
  }
  return adapter;
}

Result<void> set_adapter(const Device& device, const Adapter& adapter, Model& model) {
  const std::vector<Place> places = places_of(model);
  const auto is_of = [](const AdapterModule& module, const Place& place) {
    return module.module == place.module && module.delta.rank == place.lora->a->rows &&
           module.delta.rows == place.lora->b->rows && module.delta.cols == place.lora->a->cols;
  };
  if (!std::ranges::equal(adapter.modules, places, is_of)) {
    return fail(ErrorCode::kCorrupt, "adapter '{}' is of other modules or ranks than this run's",
                printable_name(adapter.name));
  }
  for (size_t i = 0; i < places.size(); ++i) {
    LoraDelta delta = adapter.modules[i].delta;
    if (places[i].has_pairs) pair_rows(delta, model.config().head_dim);
    ParameterStore& store = model.parameters();
    const Lora& lora = *places[i].lora;
    set_values(device, value_of(store, lora.a), delta.rank, delta.cols, delta.a);
    set_values(device, value_of(store, lora.b), delta.rows, delta.rank, delta.b);
  }
  model.parameters().changed();
  return {};
}

}  // namespace minke
