// Pre-norm blocks of grouped-query attention with rotary embeddings and a SwiGLU feed-forward,
// RMSNorm before the head: Llama, Qwen2 (biases of queries, keys and values), Qwen3 (norms of the
// heads of queries and keys) and its mixture of experts.
#include "minke/models/dense_decoder.h"

#include "minke/models/decoder.h"
#include "minke/models/moe_loader.h"

namespace minke {
namespace {

struct Layer {
  Linear qkv;  // of normed inputs; rows: queries, keys, values
  const Parameter* qkv_bias = nullptr;
  const Parameter* q_norm = nullptr;  // of each head
  const Parameter* k_norm = nullptr;
  Linear output;
  const Parameter* ffn_norm = nullptr;
  Linear gate_up;  // of normed inputs; rows: gate, up
  Linear down;
  Moe moe;  // with experts in place of gate_up and down
};

class DenseDecoder final : public Decoder {
 public:
  explicit DenseDecoder(ModelConfig config) : Decoder(std::move(config)) {}

 private:
  Result<void> load_block(ParameterLoader& loader, const std::string& prefix,
                          Precision precision) override;
  Tensor block(const Context& context, const Tensor& x, const ForwardBatch& batch,
               int64_t index) const override;
  const ExpertLoads* loads_of(int64_t index) const override {
    const Moe& moe = layers_[static_cast<size_t>(index)].moe;
    return moe.experts.empty() ? nullptr : &moe.loads;
  }
  Result<void> load_attention(ParameterLoader& loader, const std::string& prefix,
                              Precision precision, Layer& layer);
  Result<void> load_feed_forward(ParameterLoader& loader, const std::string& prefix,
                                 Precision precision, Layer& layer);
  Tensor rotated(const Context& context, const Tensor& columns, const Parameter* norm,
                 const kernels::RopeArgs& rope) const;
  Tensor attend(const Context& context, const Tensor& x, const ForwardBatch& batch,
                int64_t index) const;

  std::vector<Layer> layers_;
};

Result<void> DenseDecoder::load_attention(ParameterLoader& loader, const std::string& prefix,
                                          Precision precision, Layer& layer) {
  const int64_t q_rows = config_.num_attention_heads * config_.head_dim;
  const int64_t kv_rows = config_.num_key_value_heads * config_.head_dim;
  MK_ASSIGN(auto* norm, loader.vector(prefix + "attn_norm.weight", config_.hidden_size));
  MK_ASSIGN(auto qkv, loader.matrices({{prefix + "attn_q.weight", q_rows},
                                       {prefix + "attn_k.weight", kv_rows},
                                       {prefix + "attn_v.weight", kv_rows}},
                                      config_.hidden_size));
  MK_ASSIGN(auto output,
            loader.matrices({{prefix + "attn_output.weight", config_.hidden_size}}, q_rows));
  layer.qkv = Linear(std::move(qkv), precision, {norm, config_.rms_norm_eps});
  layer.output = Linear(std::move(output), precision);
  if (config_.has_qkv_bias) {
    MK_ASSIGN(layer.qkv_bias, loader.vectors({{prefix + "attn_q.bias", q_rows},
                                              {prefix + "attn_k.bias", kv_rows},
                                              {prefix + "attn_v.bias", kv_rows}}));
  }
  if (config_.has_qk_norm) {
    MK_ASSIGN(layer.q_norm, loader.vector(prefix + "attn_q_norm.weight", config_.head_dim));
    MK_ASSIGN(layer.k_norm, loader.vector(prefix + "attn_k_norm.weight", config_.head_dim));
  }
  return {};
}

Result<void> DenseDecoder::load_feed_forward(ParameterLoader& loader, const std::string& prefix,
                                             Precision precision, Layer& layer) {
  const int64_t hidden = config_.hidden_size, width = config_.intermediate_size;
  MK_ASSIGN(auto gate_up,
            loader.matrices(
                {{prefix + "ffn_gate.weight", width}, {prefix + "ffn_up.weight", width}}, hidden));
  MK_ASSIGN(auto down, loader.matrices({{prefix + "ffn_down.weight", hidden}}, width));
  layer.gate_up = Linear(std::move(gate_up), precision, {layer.ffn_norm, config_.rms_norm_eps});
  layer.down = Linear(std::move(down), precision);
  return {};
}

Result<void> DenseDecoder::load_block(ParameterLoader& loader, const std::string& prefix,
                                      Precision precision) {
  const bool has_experts = config_.moe.has_experts(static_cast<int64_t>(layers_.size()));
  Layer& layer = layers_.emplace_back();
  MK_TRY(load_attention(loader, prefix, precision, layer));
  MK_ASSIGN(layer.ffn_norm, loader.vector(prefix + "ffn_norm.weight", config_.hidden_size));
  if (!has_experts) return load_feed_forward(loader, prefix, precision, layer);
  MK_ASSIGN(layer.moe, load_moe(loader, prefix, config_, precision));
  return {};
}

// The rotated heads of `columns` of qkv, normed first where there is a weight.
Tensor DenseDecoder::rotated(const Context& context, const Tensor& columns, const Parameter* norm,
                             const kernels::RopeArgs& rope) const {
  if (norm == nullptr) return ops::rope(context, columns, rope);
  return ops::rope(
      context, ops::rms_norm(context, columns, norm->tensor(context), config_.rms_norm_eps), rope);
}

// x + the attention of a block: [n, hidden] -> [n, hidden]. x may be overwritten.
Tensor DenseDecoder::attend(const Context& context, const Tensor& x, const ForwardBatch& batch,
                            int64_t index) const {
  const ops::AttentionShape shape{.num_heads = config_.num_attention_heads,
                                  .num_kv_heads = config_.num_key_value_heads,
                                  .head_dim = config_.head_dim,
                                  .seq_len = batch.seq_len,
                                  .lengths = batch.lengths};
  const int64_t q_cols = shape.num_heads * shape.head_dim;
  const int64_t kv_cols = shape.num_kv_heads * shape.head_dim;
  const kernels::RopeArgs rope = rope_args(batch);
  const Layer& layer = layers_[index];
  Tensor qkv = layer.qkv.forward(context, x);
  if (layer.qkv_bias != nullptr) {
    qkv = ops::add_row(context, qkv, layer.qkv_bias->tensor(context));
  }
  const Tensor q = rotated(context, ops::columns(context, qkv, 0, q_cols), layer.q_norm, rope);
  const Tensor k =
      rotated(context, ops::columns(context, qkv, q_cols, q_cols + kv_cols), layer.k_norm, rope);
  const Tensor v = ops::columns(context, qkv, q_cols + kv_cols, q_cols + 2 * kv_cols);
  const Tensor mixed = attention(context, q, k, v, shape, batch.kv, index);
  return layer.output.forward_add(context, mixed, x);
}

Tensor DenseDecoder::block(const Context& context, const Tensor& x, const ForwardBatch& batch,
                           int64_t index) const {
  const Layer& layer = layers_[index];
  const Tensor mixed = attend(context, x, batch, index);
  if (!layer.moe.experts.empty()) {
    const Tensor normed =
        ops::rms_norm(context, mixed, layer.ffn_norm->tensor(context), config_.rms_norm_eps);
    return ops::add(context, mixed, layer.moe.forward(context, normed));
  }
  return swiglu_feed_forward(context, mixed, layer.gate_up, layer.down, mixed);
}

}  // namespace

Result<ModelConfig> dense_config(const ModelSettings& settings, std::string_view architecture) {
  MK_ASSIGN(ModelConfig config, decoder_config(settings, architecture));
  MK_ASSIGN(config.num_key_value_heads,
            settings.size("num_key_value_heads", 1, config.num_attention_heads,
                          config.num_attention_heads));
  MK_ASSIGN(config.head_dim,
            settings.size("head_dim", 1, 1 << 12, config.hidden_size / config.num_attention_heads));
  MK_ASSIGN(const int64_t value_dim, settings.size("v_head_dim", 1, 1 << 12, config.head_dim));
  MK_ASSIGN(const int64_t rope_dim, settings.size("rope_dim", 1, 1 << 12, config.head_dim));
  if (config.num_attention_heads % config.num_key_value_heads != 0 || config.head_dim % 2 != 0 ||
      value_dim != config.head_dim || rope_dim != config.head_dim) {
    return fail(ErrorCode::kCorrupt,
                "{} with {} heads, {} kv heads, head size {} (values {}, rope {}) cannot be run: "
                "heads must be a multiple of kv heads and the sizes equal and even",
                architecture, config.num_attention_heads, config.num_key_value_heads,
                config.head_dim, value_dim, rope_dim);
  }
  config.rope_style = kernels::RopeStyle::kHalf;
  return config;
}

Result<std::unique_ptr<Model>> load_dense(const Device& device, const WeightFile& file,
                                          const ModelConfig& config, const LoadOptions& options) {
  auto model = std::make_unique<DenseDecoder>(config);
  MK_TRY(model->load(device, file, options));
  return model;
}

}  // namespace minke
