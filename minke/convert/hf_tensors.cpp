#include "minke/convert/hf_tensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "minke/base/utf8.h"
#include "minke/convert/tensor_name.h"
#include "minke/models/hf_names.h"

namespace minke {
namespace {

class HfPlanner {
 public:
  HfPlanner(const GgufFile& file, const ModelConfig& config, std::optional<DType> type)
      : file_(file), config_(config), type_(type) {}

  Result<std::vector<PlannedTensor>> plan() {
    for (const WeightInfo& info : file_.weights()) MK_TRY(add(info));
    return std::move(out_);
  }

 private:
  Result<void> add(const WeightInfo& info) {
    const TensorName parts = TensorName::of(info.name);
    if (info.name == "rope_freqs.weight") return {};
    if (parts.part == "attn_v_b") {  // add_kv_b() takes it
      const std::string k_b = fmt::format("blk.{}.attn_k_b.weight", parts.layer);
      if (file_.find(k_b) != nullptr) return {};
    }
    if (parts.part == "attn_k_b") return add_kv_b(info);
    if (parts.part.ends_with("_exps") && info.shape.num_dims() == 3)
      return add_experts(info, parts);
    MK_ASSIGN(const std::string name, hf_name(info.name));
    MK_ASSIGN(const DType dtype, dtype_of(info));
    const bool paired =
        config_.architecture == "llama" && (parts.part == "attn_q" || parts.part == "attn_k");
    if (config_.architecture == "gpt2" && is_conv1d(info.name)) {
      if (info.shape.num_dims() != 2) return wrong_shape(info, "a matrix");
      if (dtype_info(info.dtype).decode == nullptr) return check_retyping(info, DType::kF32);
      out_.push_back(transposed_matrix(name, dtype, info));
      return {};
    }
    if (!paired) {
      out_.push_back(same_rows(name, dtype, info));
      return {};
    }
    const int64_t head_dim = config_.head_dim;
    if (info.shape.num_dims() != 2 || info.shape[0] % head_dim != 0) {
      return wrong_shape(info, fmt::format("heads of {} rows", head_dim));
    }
    out_.push_back(gather_rows({name, dtype, info.shape}, {&info}, [&info, head_dim](int64_t row) {
      return SourceRow{&info, paired_row(row, head_dim)};
    }));
    return {};
  }

  Result<std::string> hf_name(const std::string& gguf_name) const {
    const auto name = hf_name_of(gguf_name, config_.architecture);
    if (name && TensorName::of(gguf_name).layer < num_blocks(config_)) return *name;
    return fail(ErrorCode::kUsage, "minke does not know the tensor '{}' of a {}",
                printable_name(gguf_name), config_.architecture);
  }

  Result<DType> dtype_of(const WeightInfo& info) const {
    const DType kept = is_block_quantized(info.dtype) ? DType::kBf16 : info.dtype;
    const bool is_bias = info.name.ends_with("exp_probs_b.bias");
    const DType dtype = is_bias ? kept : type_.value_or(kept);
    MK_TRY(check_retyping(info, dtype));
    return dtype;
  }

  tl::unexpected<Error> wrong_shape(const WeightInfo& info, std::string_view expected) const {
    return fail(ErrorCode::kCorrupt, "tensor '{}' is {} when it should be {}",
                printable_name(info.name), info.shape.text(), expected);
  }

  Result<void> add_experts(const WeightInfo& info, const TensorName& parts) {
    if (info.shape[0] != config_.moe.n_routed_experts) {
      return wrong_shape(info, fmt::format("of {} experts", config_.moe.n_routed_experts));
    }
    MK_ASSIGN(const DType dtype, dtype_of(info));
    const int64_t rows = info.shape[1];
    for (int64_t e = 0; e < info.shape[0]; ++e) {
      MK_ASSIGN(std::string name,
                hf_name(fmt::format("blk.{}.{}.{}.weight", parts.layer, parts.part, e)));
      out_.push_back(gather_rows({std::move(name), dtype, {rows, info.shape[2]}}, {&info},
                                 [&info, e, rows](int64_t row) {
                                   return SourceRow{&info, e * rows + row};
                                 }));
    }
    return {};
  }

  // kv_b from its two parts: of each head the rows of keys, which k_b has as columns, then values.
  Result<void> add_kv_b(const WeightInfo& k_b) {
    const int64_t heads = config_.num_attention_heads, rank = config_.mla.kv_lora_rank;
    const int64_t nope = config_.mla.qk_nope_head_dim, v = config_.mla.v_head_dim;
    const std::string stem = k_b.name.substr(0, k_b.name.size() - std::strlen("k_b.weight"));
    const WeightInfo* v_b = file_.find(stem + "v_b.weight");
    if (v_b == nullptr) {
      return fail(ErrorCode::kCorrupt, "there is '{}' but no '{}v_b.weight'",
                  printable_name(k_b.name), printable_name(stem));
    }
    const Shape k_shape = {heads, rank, nope}, v_shape = {heads, v, rank};
    if (!(k_b.shape == k_shape)) return wrong_shape(k_b, k_shape.text());
    if (!(v_b->shape == v_shape)) return wrong_shape(*v_b, v_shape.text());
    MK_ASSIGN(std::string name, hf_name(stem + "kv_b.weight"));
    MK_ASSIGN(const DType dtype, dtype_of(k_b));
    for (const WeightInfo* info : {&k_b, v_b}) {
      MK_TRY(check_retyping(*info, dtype));
      if (dtype_info(info->dtype).decode == nullptr) return check_retyping(*info, DType::kF32);
    }
    out_.push_back({{std::move(name), dtype, {heads * (nope + v), rank}},
                    {&k_b, v_b},
                    heads,
                    [&k_b, v_b, dtype, nope, v, rank](int64_t head, std::byte* out) {
                      std::vector<float> columns;  // [rank, nope]
                      append_decoded(k_b, head * rank, rank, columns);
                      std::vector<float> rows(columns.size());
                      for (int64_t d = 0; d < nope; ++d) {
                        for (int64_t r = 0; r < rank; ++r) {
                          rows[d * rank + r] = columns[r * nope + d];
                        }
                      }
                      append_decoded(*v_b, head * v, v, rows);
                      dtype_info(dtype).encode(rows.data(), (nope + v) * rank, out);
                    }});
    return {};
  }

  const GgufFile& file_;
  const ModelConfig& config_;
  const std::optional<DType> type_;
  std::vector<PlannedTensor> out_;
};

}  // namespace

int64_t paired_row(int64_t row, int64_t head_dim) {
  const int64_t head = row / head_dim, r = row % head_dim, half = head_dim / 2;
  return head * head_dim + r % half * 2 + r / half;
}

bool keeps_format(std::string_view hf_name) {
  return hf_name.ends_with(".e_score_correction_bias");
}

Result<std::vector<PlannedTensor>> plan_hf(const GgufFile& file, const ModelConfig& config,
                                           std::optional<DType> type) {
  return HfPlanner(file, config, type).plan();
}

}  // namespace minke
