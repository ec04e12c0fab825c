#include "minke/convert/quantize_types.h"

#include <fnmatch.h>

#include <algorithm>
#include <charconv>
#include <numeric>
#include <optional>

namespace minke {
namespace {

constexpr MixtureInfo kMixtures[] = {
    {Mixture::kF32, "F32", 0, DType::kF32},
    {Mixture::kBf16, "BF16", 32, DType::kBf16},
    {Mixture::kF16, "F16", 1, DType::kF16},
    {Mixture::kQ8_0, "Q8_0", 7, DType::kQ8_0},
    {Mixture::kQ6_K, "Q6_K", 18, DType::kQ6_K},
    {Mixture::kQ5_1, "Q5_1", 9, DType::kQ5_1},
    {Mixture::kQ5_K_M, "Q5_K_M", 17, DType::kQ5_K, "Q5_K"},
    {Mixture::kQ5_K_S, "Q5_K_S", 16, DType::kQ5_K},
    {Mixture::kQ5_0, "Q5_0", 8, DType::kQ5_0},
    {Mixture::kQ4_1, "Q4_1", 3, DType::kQ4_1},
    {Mixture::kQ4_K_M, "Q4_K_M", 15, DType::kQ4_K, "Q4_K"},
    {Mixture::kQ4_K_S, "Q4_K_S", 14, DType::kQ4_K},
    {Mixture::kQ4_0, "Q4_0", 2, DType::kQ4_0},
    {Mixture::kQ3_K_L, "Q3_K_L", 13, DType::kQ3_K},
    {Mixture::kQ3_K_M, "Q3_K_M", 12, DType::kQ3_K, "Q3_K"},
    {Mixture::kQ3_K_S, "Q3_K_S", 11, DType::kQ3_K},
    {Mixture::kQ2_K, "Q2_K", 10, DType::kQ2_K},
};

bool same_but_for_case(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&](char x, char y) { return lower(x) == lower(y); });
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// 3 of "blk.3.ffn_down.weight"; -1 for tensors outside the layers.
int64_t layer_of(std::string_view name) {
  constexpr std::string_view kPrefix = "blk.";
  int64_t layer = -1;
  if (!name.starts_with(kPrefix)) return layer;
  const char* const end = name.data() + name.size();
  const auto [at, error] = std::from_chars(name.data() + kPrefix.size(), end, layer);
  return error == std::errc() && at != end && *at == '.' ? layer : -1;
}

enum class Role : uint8_t { kHead, kEmbedding, kValues, kKeys, kAttentionOutput, kDown, kOther };

Role role_of(std::string_view name) {
  if (name == "output.weight") return Role::kHead;
  if (name == "token_embd.weight" || name == "per_layer_token_embd.weight") return Role::kEmbedding;
  for (const char* part : {"attn_qkv.weight", "attn_kv_b.weight", "attn_v.weight"}) {
    if (contains(name, part)) return Role::kValues;
  }
  if (contains(name, "attn_k.weight")) return Role::kKeys;
  if (contains(name, "attn_q.weight")) return Role::kOther;
  if (contains(name, "attn_output.weight")) return Role::kAttentionOutput;
  if (contains(name, "ffn_up") || contains(name, "ffn_gate")) return Role::kOther;
  return contains(name, "ffn_down") ? Role::kDown : Role::kOther;
}

// llama-quantize's rules, tensor by tensor in its order.
class Chooser {
 public:
  Chooser(const MixtureInfo& mixture, const QuantizedModel& model,
          std::span<const WeightDeclaration> tensors)
      : mixture_(mixture.mixture), base_(mixture.dtype), model_(model) {
    for (const WeightDeclaration& tensor : tensors) {
      const Role role = role_of(tensor.name);
      if (role == Role::kValues) ++num_values_;
      if (role == Role::kHead) has_head_ = true;
    }
  }

  DType choose(const WeightDeclaration& tensor) {
    if (!is_quantizable(tensor.name, tensor.shape)) return tensor.dtype;
    if (!is_block_quantized(base_)) return base_;
    return fitting_dtype(wanted(tensor), tensor.shape.back());
  }

 private:
  DType wanted(const WeightDeclaration& tensor) {
    const Role role = role_of(tensor.name);
    // A tied embedding is the head, too.
    if (role == Role::kHead || (role == Role::kEmbedding && !has_head_)) {
      const bool fits = tensor.shape.back() % dtype_info(base_).block_size == 0;
      return fits && base_ != DType::kQ8_0 ? DType::kQ6_K : DType::kQ8_0;
    }
    switch (role) {
      case Role::kValues:
        return for_values(values_seen_++);
      case Role::kKeys:
        return model_.num_experts == 8 ? DType::kQ8_0 : base_;
      case Role::kDown: {
        const int64_t seen = downs_seen_++;
        return for_down(model_.num_experts > 1 ? layer_of(tensor.name) : seen);
      }
      case Role::kAttentionOutput:
        return for_attention_output();
      default:
        return base_;
    }
  }

  // The first and last eighth of the layers, and every third between.
  static bool gets_more_bits(int64_t layer, int64_t num_layers) {
    return layer < num_layers / 8 || layer >= 7 * num_layers / 8 ||
           (layer - num_layers / 8) % 3 == 2;
  }

  bool shares_kv_heads(int64_t at_least) const {
    return model_.num_kv_heads > 0 && model_.num_heads / model_.num_kv_heads >= at_least;
  }

  // Llama-2-70B and its like, whose values are an eighth of the queries' size.
  bool is_70b() const {
    if (model_.num_layers != 80) return false;
    return model_.architecture == "qwen2" ||
           (model_.architecture == "llama" && model_.num_heads != model_.num_kv_heads);
  }

  DType for_values(int64_t index) const {
    if (model_.num_experts == 8) return DType::kQ8_0;
    const DType dtype = for_values_of_few(index);
    const bool small = dtype == DType::kQ3_K || dtype == DType::kQ4_K;
    return is_70b() && small ? DType::kQ5_K : dtype;
  }

  DType for_values_of_few(int64_t index) const {
    switch (mixture_) {
      case Mixture::kQ2_K:
        return shares_kv_heads(4) ? DType::kQ4_K : DType::kQ3_K;
      case Mixture::kQ3_K_M:
        return index < 2 ? DType::kQ5_K : DType::kQ4_K;
      case Mixture::kQ3_K_L:
        return DType::kQ5_K;
      case Mixture::kQ4_K_S:
        return index < 4 ? DType::kQ5_K : base_;
      case Mixture::kQ4_K_M:
      case Mixture::kQ5_K_M:
        return gets_more_bits(index, num_values_) ? DType::kQ6_K : base_;
      default:
        return base_;
    }
  }

  DType for_down(int64_t layer) const {
    const int64_t num_layers = model_.num_layers;
    const bool early = layer < num_layers / 8;
    switch (mixture_) {
      case Mixture::kQ2_K:
        return DType::kQ3_K;
      case Mixture::kQ3_K_M:
        return layer < num_layers / 16 ? DType::kQ5_K : DType::kQ4_K;
      case Mixture::kQ3_K_L:
        return DType::kQ5_K;
      case Mixture::kQ4_K_S:
        return early ? DType::kQ5_K : base_;
      case Mixture::kQ4_K_M:
      case Mixture::kQ5_K_M:
        return gets_more_bits(layer, num_layers) ? DType::kQ6_K : base_;
      case Mixture::kQ4_0:
        return early && model_.has_importance ? DType::kQ4_1 : base_;
      case Mixture::kQ5_0:
        return early && model_.has_importance ? DType::kQ5_1 : base_;
      default:
        return base_;
    }
  }

  DType for_attention_output() const {
    if (model_.num_experts == 8) {
      const bool below_five = base_ == DType::kQ2_K || base_ == DType::kQ4_K ||
                              mixture_ == Mixture::kQ3_K_S || mixture_ == Mixture::kQ3_K_M;
      return below_five ? DType::kQ5_K : base_;
    }
    if (mixture_ == Mixture::kQ2_K) return DType::kQ3_K;
    if (mixture_ == Mixture::kQ3_K_M) return DType::kQ4_K;
    return mixture_ == Mixture::kQ3_K_L ? DType::kQ5_K : base_;
  }

  const Mixture mixture_;
  const DType base_;
  const QuantizedModel& model_;
  bool has_head_ = false;
  int64_t num_values_ = 0;
  int64_t values_seen_ = 0;
  int64_t downs_seen_ = 0;
};

}  // namespace

std::span<const MixtureInfo> mixtures() { return kMixtures; }

const MixtureInfo* find_mixture(std::string_view name) {
  for (const MixtureInfo& info : kMixtures) {
    if (same_but_for_case(info.name, name) || same_but_for_case(info.also, name)) return &info;
  }
  return nullptr;
}

bool is_quantizable(std::string_view name, const Shape& shape) {
  // What GGUF's reader counts: dimensions of size 1 at the outer end are none.
  int num_dims = shape.num_dims();
  while (num_dims > 1 && shape[shape.num_dims() - num_dims] == 1) --num_dims;
  if (num_dims < 2 || !name.ends_with("weight")) return false;
  constexpr std::string_view kKept[] = {
      "_norm.weight",          "ffn_gate_inp.weight",  "ssm_conv1d", "shortconv.conv.weight",
      "attn_rel_b.weight",     "per_layer_model_proj", "altup",      "laurel",
      "indexer.k_proj.weight", "indexer.q_proj.weight"};
  if (name == "position_embd.weight" || name == "token_types.weight") return false;
  return std::none_of(std::begin(kKept), std::end(kKept),
                      [&](std::string_view part) { return contains(name, part); });
}

DType fitting_dtype(DType wanted, int64_t cols) {
  const auto fits = [cols](DType dtype) { return cols % dtype_info(dtype).block_size == 0; };
  if (fits(wanted)) return wanted;
  DType smaller_blocks = wanted;
  if (wanted == DType::kQ2_K || wanted == DType::kQ3_K) smaller_blocks = DType::kQ4_0;
  if (wanted == DType::kQ4_K) smaller_blocks = DType::kQ5_0;
  if (wanted == DType::kQ5_K) smaller_blocks = DType::kQ5_1;
  if (wanted == DType::kQ6_K) smaller_blocks = DType::kQ8_0;
  return fits(smaller_blocks) ? smaller_blocks : DType::kF16;
}

std::vector<DType> choose_dtypes(const MixtureInfo& mixture, const QuantizedModel& model,
                                 std::span<const WeightDeclaration> tensors) {
  // Its order: by layer, then by name. The rules count values and downs in it.
  std::vector<size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    const std::string &name_a = tensors[a].name, &name_b = tensors[b].name;
    const int64_t layer_a = layer_of(name_a), layer_b = layer_of(name_b);
    return layer_a != layer_b ? layer_a < layer_b : name_a < name_b;
  });
  Chooser chooser(mixture, model, tensors);
  std::vector<DType> dtypes(tensors.size());
  for (const size_t i : order) dtypes[i] = chooser.choose(tensors[i]);
  return dtypes;
}

Result<DTypeRule> DTypeRule::parse(std::string_view text) {
  const size_t equals = text.rfind('=');
  if (equals == std::string_view::npos || equals == 0) {
    return fail(ErrorCode::kUsage, "rule '{}' should be PATTERN=TYPE, such as '*.ffn_down.*=Q6_K'",
                text);
  }
  const std::string_view type = text.substr(equals + 1);
  std::string known;
  for (const MixtureInfo& info : kMixtures) {
    // The formats, not the mixtures of them.
    const std::string_view name = dtype_info(info.dtype).name;
    if (same_but_for_case(type, name))
      return DTypeRule{std::string(text.substr(0, equals)), info.dtype};
    if (!contains(known, name)) known += fmt::format("{}{}", known.empty() ? "" : ", ", name);
  }
  return fail(ErrorCode::kUsage, "rule '{}': type is '{}', expected one of {}", text, type, known);
}

Result<void> apply_rules(std::span<const DTypeRule> rules,
                         std::span<const WeightDeclaration> tensors, std::span<DType> dtypes) {
  std::vector<bool> used(rules.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (!is_quantizable(tensors[i].name, tensors[i].shape)) continue;
    bool decided = false;
    for (size_t r = 0; r < rules.size(); ++r) {
      if (::fnmatch(rules[r].pattern.c_str(), tensors[i].name.c_str(), 0) != 0) continue;
      used[r] = true;
      if (!decided) dtypes[i] = fitting_dtype(rules[r].dtype, tensors[i].shape.back());
      decided = true;
    }
  }
  const auto unused = std::find(used.begin(), used.end(), false);
  if (unused == used.end()) return {};
  return fail(ErrorCode::kUsage,
              "rule '{}' matches no tensor that is quantised; minke show lists their names",
              rules[static_cast<size_t>(unused - used.begin())].pattern);
}

}  // namespace minke
