#include "minke/models/adapter_fit.h"

#include <fmt/format.h>

#include <algorithm>

#include "minke/base/utf8.h"
#include "minke/models/adapter.h"
#include "minke/models/hf_names.h"

namespace minke {
namespace {

constexpr std::string_view kKvB = ".attn_kv_b.weight";

// Which of Hugging Face's rows is row `row` of GGUF's.
int64_t row_in_halves(int64_t row, int64_t head_dim) {
  const int64_t r = row % head_dim;
  return row - r + r % 2 * (head_dim / 2) + r / 2;
}

}  // namespace

std::optional<Shape> adapted_shape(const std::string& name, const WeightFile& file,
                                   const ModelConfig& config) {
  if (name == "token_embd.weight" || name == "position_embd.weight") return std::nullopt;
  if (const WeightInfo* info = file.find(name)) {
    const Shape& shape = info->shape;
    if (shape.num_dims() != 2) return std::nullopt;
    return config.gpt2.has_conv1d && is_conv1d(name) ? Shape{shape[1], shape[0]} : shape;
  }
  // GGUF has it in parts.
  if (!name.ends_with(kKvB)) return std::nullopt;
  const std::string stem = name.substr(0, name.size() - kKvB.size());
  if (file.find(stem + ".attn_k_b.0.weight") == nullptr) return std::nullopt;
  const MlaConfig& mla = config.mla;
  return Shape{config.num_attention_heads * (mla.qk_nope_head_dim + mla.v_head_dim),
               mla.kv_lora_rank};
}

bool has_paired_rows(std::string_view name, const ModelConfig& config) {
  return config.architecture == "llama" && config.rope_style == kernels::RopeStyle::kInterleaved &&
         (name.ends_with(".attn_q.weight") || name.ends_with(".attn_k.weight"));
}

void pair_rows(LoraDelta& delta, int64_t head_dim) {
  const std::vector<float> halves = delta.b;
  for (int64_t row = 0; row < delta.rows; ++row) {
    std::copy_n(halves.begin() + row_in_halves(row, head_dim) * delta.rank, delta.rank,
                delta.b.begin() + row * delta.rank);
  }
}

void unpair_rows(LoraDelta& delta, int64_t head_dim) {
  const std::vector<float> pairs = delta.b;
  for (int64_t row = 0; row < delta.rows; ++row) {
    std::copy_n(pairs.begin() + row * delta.rank, delta.rank,
                delta.b.begin() + row_in_halves(row, head_dim) * delta.rank);
  }
}

namespace {

Result<void> add(const AdapterModule& module, const WeightFile& file, const ModelConfig& config,
                 LoraDeltas& out) {
  const auto name = gguf_name_of(module.module + ".weight");
  if (name == "output.weight" && config.tie_word_embeddings) {
    return fail(ErrorCode::kUsage,
                "module '{}' is tied to the embedding in this model, which minke does not adapt",
                printable_name(module.module));
  }
  const auto shape = name ? adapted_shape(*name, file, config) : std::nullopt;
  if (!shape) {
    return fail(ErrorCode::kUsage,
                "module '{}' is no matrix of this {}, or one that is not adapted",
                printable_name(module.module), config.architecture);
  }
  LoraDelta delta = module.delta;
  const Shape found = {delta.rows, delta.cols};
  if (!(found == *shape)) {
    return fail(ErrorCode::kUsage, "module '{}' is made for a matrix {}, which is {} in this model",
                printable_name(module.module), found.text(), shape->text());
  }
  if (has_paired_rows(*name, config)) {
    if (delta.rows % config.head_dim != 0) {
      return fail(ErrorCode::kUsage, "module '{}' has {} rows, expected heads of {}",
                  printable_name(module.module), delta.rows, config.head_dim);
    }
    pair_rows(delta, config.head_dim);
  }
  out[*name].push_back(std::move(delta));
  return {};
}

}  // namespace

Result<LoraDeltas> fit_adapters(std::span<const Adapter> adapters, const WeightFile& file,
                                const ModelConfig& config) {
  LoraDeltas out;
  for (const Adapter& adapter : adapters) {
    for (const AdapterModule& module : adapter.modules) {
      if (auto added = add(module, file, config, out); !added) {
        return fail(added.error().code, "adapter {}: {}", adapter.name, added.error().message);
      }
    }
  }
  return out;
}

}  // namespace minke
