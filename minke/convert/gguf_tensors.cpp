#include "minke/convert/gguf_tensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <utility>

#include "minke/base/utf8.h"
#include "minke/convert/tensor_name.h"
#include "minke/models/hf_names.h"

namespace minke {
namespace {

// Row r of a head in neighbouring pairs (2i, 2i+1) is row i, or half + i, of Hugging Face's halves.
int64_t halves_row(int64_t row, int64_t head_dim) {
  const int64_t head = row / head_dim, r = row % head_dim;
  return head * head_dim + (r % 2) * (head_dim / 2) + r / 2;
}

// What each frequency is divided by, chosen so that dividing gives the scaled one to the bit.
std::vector<float> rope_divisors(const ModelConfig& config, int64_t rope_dim) {
  const std::vector<float> plain = rope_frequencies(rope_dim, config.rope_theta);
  const std::vector<float> scaled =
      rope_frequencies(rope_dim, config.rope_theta, config.rope_scaling);
  std::vector<float> divisors(plain.size());
  for (size_t i = 0; i < plain.size(); ++i) {
    float best = plain[i] / scaled[i];
    for (const float near : {best, std::nextafter(best, 0.0f), std::nextafter(best, INFINITY)}) {
      if (plain[i] / near == scaled[i]) best = near;
    }
    divisors[i] = best;
  }
  return divisors;
}

// Tensors that old checkpoints carry and that follow from the config.
bool is_derived(std::string_view hf_name) {
  for (const char* ending : {".rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias"}) {
    if (hf_name.ends_with(ending)) return true;
  }
  return false;
}

class GgufPlanner {
 public:
  GgufPlanner(const SafetensorsFile& file, const ModelConfig& config, std::optional<DType> type)
      : file_(file), config_(config), type_(type) {}

  Result<GgufTensors> plan() {
    MK_TRY(check_skipped());
    for (const WeightInfo& info : file_.weights()) MK_TRY(add(info));
    MK_TRY(check_head());
    for (const auto& [name, experts] : experts_) MK_TRY(add_experts(name, experts));
    if (config_.rope_scaling.type == RopeScaling::Type::kLlama3) add_rope_divisors();
    // By layer, as a model reads them: embedding first, then the layers, then norm and head.
    const auto order = [](const PlannedTensor& tensor) {
      const std::string& name = tensor.declaration.name;
      const int64_t layer = TensorName::of(name).layer;
      return std::pair(layer >= 0 ? layer : name.starts_with("output") ? INT64_MAX : -1, name);
    };
    std::sort(out_.tensors.begin(), out_.tensors.end(),
              [&](const auto& a, const auto& b) { return order(a) < order(b); });
    return std::move(out_);
  }

 private:
  // What the reader could not read must not be missed.
  Result<void> check_skipped() const {
    for (const std::string& shown : file_.skipped()) {
      const std::string name = shown.substr(0, shown.find(' '));
      if (!gguf_name_of(name) && !name.ends_with("_scale_inv")) continue;
      return fail(ErrorCode::kUsage, "tensor {} is in a format that minke cannot convert", shown);
    }
    return {};
  }

  // A head that is missing would be read as one that is tied.
  Result<void> check_head() const {
    for (const char* gguf_name : {"token_embd.weight", "output.weight"}) {
      const bool is_head = gguf_name == std::string_view("output.weight");
      const auto& weights = file_.weights();
      const bool found = std::any_of(weights.begin(), weights.end(), [&](const WeightInfo& info) {
        return gguf_name_of(info.name) == gguf_name;
      });
      if (found || (is_head && config_.tie_word_embeddings)) continue;
      return fail(ErrorCode::kCorrupt, "there is no tensor '{}'",
                  *hf_name_of(gguf_name, config_.architecture));
    }
    return {};
  }

  Result<void> add(const WeightInfo& info) {
    const auto name = gguf_name_of(info.name);
    if (info.name.starts_with("model.layers.")) {
      const std::string as_block = "blk." + info.name.substr(std::strlen("model.layers."));
      if (TensorName::of(as_block).layer >= num_blocks(config_)) return leave_out(info);
    }
    if (is_derived(info.name) || (name == "output.weight" && config_.tie_word_embeddings)) {
      return leave_out(info);
    }
    if (!name) {
      return fail(ErrorCode::kUsage, "minke does not know the tensor '{}' of a {}",
                  printable_name(info.name), config_.architecture);
    }
    const TensorName parts = TensorName::of(*name);
    if (parts.expert >= 0) {
      experts_[fmt::format("blk.{}.{}.weight", parts.layer, parts.part)][parts.expert] = &info;
      return {};
    }
    if (parts.part == "attn_kv_b") return add_kv_b(*name, info);
    if (config_.gpt2.has_conv1d && is_conv1d(*name)) return add_transposed(*name, info);
    const bool paired =
        config_.architecture == "llama" && (parts.part == "attn_q" || parts.part == "attn_k");
    return paired ? add_paired(*name, info) : add_same(*name, info);
  }

  Result<void> leave_out(const WeightInfo& info) {
    out_.left_out.push_back(info.name);
    return {};
  }

  Result<DType> dtype_of(const std::string& name, const Shape& shape, const WeightInfo& info) {
    const DType dtype = gguf_dtype(name, shape, info.dtype, type_);
    MK_TRY(check_retyping(info, dtype));
    return dtype;
  }

  Result<void> add_same(const std::string& name, const WeightInfo& info) {
    MK_ASSIGN(const DType dtype, dtype_of(name, info.shape, info));
    out_.tensors.push_back(same_rows(name, dtype, info));
    return {};
  }

  Result<void> add_transposed(const std::string& name, const WeightInfo& info) {
    if (info.shape.num_dims() != 2) return wrong_shape(info, "a matrix");
    const Shape turned = {info.shape[1], info.shape[0]};
    MK_ASSIGN(const DType dtype, dtype_of(name, turned, info));
    if (dtype_info(info.dtype).decode == nullptr) return check_retyping(info, DType::kF32);
    out_.tensors.push_back(transposed_matrix(name, dtype, info));
    return {};
  }

  tl::unexpected<Error> wrong_shape(const WeightInfo& info, std::string_view expected) const {
    return fail(ErrorCode::kCorrupt, "tensor '{}' is {} when it should be {}",
                printable_name(info.name), info.shape.text(), expected);
  }

  Result<void> add_paired(const std::string& name, const WeightInfo& info) {
    MK_ASSIGN(const DType dtype, dtype_of(name, info.shape, info));
    const int64_t head_dim = config_.head_dim;
    if (info.shape.num_dims() != 2 || info.shape[0] % head_dim != 0) {
      return wrong_shape(info, fmt::format("heads of {} rows", head_dim));
    }
    out_.tensors.push_back(
        gather_rows({name, dtype, info.shape}, {&info}, [&info, head_dim](int64_t row) {
          return SourceRow{&info, halves_row(row, head_dim)};
        }));
    return {};
  }

  Result<void> add_kv_b(const std::string& name, const WeightInfo& info) {
    const int64_t heads = config_.num_attention_heads, rank = config_.mla.kv_lora_rank;
    const int64_t nope = config_.mla.qk_nope_head_dim, v = config_.mla.v_head_dim;
    const Shape expected = {heads * (nope + v), rank};
    if (!(info.shape == expected)) return wrong_shape(info, expected.text());
    const std::string stem = name.substr(0, name.size() - std::strlen("kv_b.weight"));
    const Shape k_shape = {heads, rank, nope}, v_shape = {heads, v, rank};
    MK_ASSIGN(const DType dtype, dtype_of(name, k_shape, info));
    if (dtype_info(info.dtype).decode == nullptr) return check_retyping(info, DType::kF32);
    // Head h of k_b is the transpose of its first rows.
    out_.tensors.push_back({{stem + "k_b.weight", dtype, k_shape},
                            {&info},
                            heads,
                            [&info, dtype, nope, v, rank](int64_t head, std::byte* out) {
                              std::vector<float> rows;
                              append_decoded(info, head * (nope + v), nope, rows);
                              std::vector<float> turned(rows.size());
                              for (int64_t d = 0; d < nope; ++d) {
                                for (int64_t r = 0; r < rank; ++r) {
                                  turned[r * nope + d] = rows[d * rank + r];
                                }
                              }
                              dtype_info(dtype).encode(turned.data(), nope * rank, out);
                            }});
    out_.tensors.push_back(
        gather_rows({stem + "v_b.weight", dtype, v_shape}, {&info}, [&info, nope, v](int64_t row) {
          return SourceRow{&info, row / v * (nope + v) + nope + row % v};
        }));
    return {};
  }

  Result<void> add_experts(const std::string& name,
                           const std::map<int64_t, const WeightInfo*>& of) {
    std::vector<const WeightInfo*> sources;
    const WeightInfo& first = *of.begin()->second;
    for (int64_t e = 0; e < config_.moe.n_routed_experts; ++e) {
      const auto at = of.find(e);
      if (at == of.end()) {
        return fail(ErrorCode::kCorrupt, "expert {} of {} is missing for {}", e,
                    config_.moe.n_routed_experts, name);
      }
      if (at->second->shape.num_dims() != 2 || !(at->second->shape == first.shape)) {
        return wrong_shape(*at->second, first.shape.text() + " as the other experts");
      }
      sources.push_back(at->second);
    }
    if (of.size() != sources.size()) {
      return fail(ErrorCode::kCorrupt, "{} has {} experts when there should be {}", name, of.size(),
                  sources.size());
    }
    const int64_t rows = first.shape[0];
    const Shape shape = {static_cast<int64_t>(sources.size()), rows, first.shape[1]};
    MK_ASSIGN(const DType dtype, dtype_of(name, shape, first));
    for (const WeightInfo* info : sources) MK_TRY(check_retyping(*info, dtype));
    out_.tensors.push_back(gather_rows({name, dtype, shape}, sources, [sources, rows](int64_t row) {
      return SourceRow{sources[static_cast<size_t>(row / rows)], row % rows};
    }));
    return {};
  }

  void add_rope_divisors() {
    const int64_t rope_dim =
        config_.mla.kv_lora_rank > 0 ? config_.mla.qk_rope_head_dim : config_.head_dim;
    out_.tensors.push_back({{"rope_freqs.weight", DType::kF32, {rope_dim / 2}},
                            {},
                            1,
                            [divisors = rope_divisors(config_, rope_dim)](int64_t, std::byte* out) {
                              std::memcpy(out, divisors.data(), divisors.size() * sizeof(float));
                            }});
  }

  const SafetensorsFile& file_;
  const ModelConfig& config_;
  const std::optional<DType> type_;
  std::map<std::string, std::map<int64_t, const WeightInfo*>> experts_;
  GgufTensors out_;
};

}  // namespace

DType gguf_dtype(std::string_view gguf_name, const Shape& shape, DType source,
                 std::optional<DType> type) {
  const bool precise = shape.num_dims() <= 1 || gguf_name.ends_with("_norm.weight") ||
                       gguf_name.ends_with("ffn_gate_inp.weight") ||
                       !gguf_name.ends_with(".weight");
  // GGUF has no FP8; bf16 is what DeepSeek's own converter makes of it.
  const DType kept = dtype_info(source).gguf_type < 0 ? DType::kBf16 : source;
  return precise ? DType::kF32 : type.value_or(kept);
}

std::string left_out_note(const std::vector<std::string>& names) {
  return fmt::format("left out {} tensor{} that the model does not use, '{}' among them",
                     names.size(), names.size() == 1 ? "" : "s", names[0]);
}

Result<GgufTensors> plan_gguf(const SafetensorsFile& file, const ModelConfig& config,
                              std::optional<DType> type) {
  return GgufPlanner(file, config, type).plan();
}

}  // namespace minke
