// Pre-norm blocks of grouped-query attention with rotary embeddings and a SwiGLU feed-forward,
// RMSNorm before the head: Llama, Qwen2 (biases of queries, keys and values) and Qwen3 (norms of
// the heads of queries and keys).
#include "minke/models/dense_decoder.h"

#include "minke/models/select_rows.h"
#include "minke/nn/linear.h"

namespace minke {
namespace {

struct Layer {
  Linear qkv;  // of normed inputs; rows: queries, keys, values
  const Parameter* qkv_bias = nullptr;
  const Parameter* q_norm = nullptr;  // of each head
  const Parameter* k_norm = nullptr;
  Linear output;
  Linear gate_up;  // of normed inputs; rows: gate, up
  Linear down;
};

class DenseDecoder final : public Model {
 public:
  explicit DenseDecoder(ModelConfig config) : Model(std::move(config)) {}

  Result<void> load(const Device& device, const WeightFile& file, const LoadOptions& options);
  Tensor forward(const Context& context, const ForwardBatch& batch) const override;

 private:
  Result<Layer> load_layer(ParameterLoader& loader, int64_t index, Precision precision) const;
  Result<void> read_rope_divisors(const WeightFile& file);
  Tensor rotated(const Context& context, const Tensor& columns, const Parameter* norm,
                 const kernels::RopeArgs& rope) const;
  Tensor attend(const Context& context, const Tensor& x, const ForwardBatch& batch,
                int64_t layer) const;

  std::vector<Layer> layers_;
  const Parameter* embedding_ = nullptr;
  Linear head_;  // of normed inputs
  Tensor rope_;  // [positions, head_dim], see rope_table()
};

Result<Layer> DenseDecoder::load_layer(ParameterLoader& loader, int64_t index,
                                       Precision precision) const {
  const std::string prefix = fmt::format("blk.{}.", index);
  const int64_t q_rows = config_.num_attention_heads * config_.head_dim;
  const int64_t kv_rows = config_.num_key_value_heads * config_.head_dim;
  const double eps = config_.rms_norm_eps;
  MK_ASSIGN(auto* attention_norm, loader.vector(prefix + "attn_norm.weight", config_.hidden_size));
  MK_ASSIGN(auto qkv, loader.matrices({{prefix + "attn_q.weight", q_rows},
                                       {prefix + "attn_k.weight", kv_rows},
                                       {prefix + "attn_v.weight", kv_rows}},
                                      config_.hidden_size));
  MK_ASSIGN(auto output,
            loader.matrices({{prefix + "attn_output.weight", config_.hidden_size}}, q_rows));
  MK_ASSIGN(auto* ffn_norm, loader.vector(prefix + "ffn_norm.weight", config_.hidden_size));
  MK_ASSIGN(auto gate_up, loader.matrices({{prefix + "ffn_gate.weight", config_.intermediate_size},
                                           {prefix + "ffn_up.weight", config_.intermediate_size}},
                                          config_.hidden_size));
  MK_ASSIGN(auto down, loader.matrices({{prefix + "ffn_down.weight", config_.hidden_size}},
                                       config_.intermediate_size));
  Layer layer;
  layer.qkv = Linear(std::move(qkv), precision, {attention_norm, eps});
  layer.output = Linear(std::move(output), precision);
  layer.gate_up = Linear(std::move(gate_up), precision, {ffn_norm, eps});
  layer.down = Linear(std::move(down), precision);
  if (config_.has_qkv_bias) {
    MK_ASSIGN(layer.qkv_bias, loader.vectors({{prefix + "attn_q.bias", q_rows},
                                              {prefix + "attn_k.bias", kv_rows},
                                              {prefix + "attn_v.bias", kv_rows}}));
  }
  if (config_.has_qk_norm) {
    MK_ASSIGN(layer.q_norm, loader.vector(prefix + "attn_q_norm.weight", config_.head_dim));
    MK_ASSIGN(layer.k_norm, loader.vector(prefix + "attn_k_norm.weight", config_.head_dim));
  }
  return layer;
}

Result<void> DenseDecoder::load(const Device& device, const WeightFile& file,
                                const LoadOptions& options) {
  ParameterLoader loader(device, file, store_);
  MK_ASSIGN(auto embedding,
            loader.matrices({{"token_embd.weight", config_.vocab_size}}, config_.hidden_size));
  embedding_ = embedding.front();
  for (int64_t i = 0; i < config_.num_hidden_layers; ++i) {
    MK_ASSIGN(Layer layer, load_layer(loader, i, options.precision));
    layers_.push_back(std::move(layer));
  }
  MK_ASSIGN(auto* output_norm, loader.vector("output_norm.weight", config_.hidden_size));
  std::vector<const Parameter*> head = embedding;
  if (!config_.tie_word_embeddings) {
    MK_ASSIGN(head, loader.matrices({{"output.weight", config_.vocab_size}}, config_.hidden_size));
  }
  head_ = Linear(std::move(head), options.precision, {output_norm, config_.rms_norm_eps});
  const int64_t positions =
      options.context_tokens > 0 ? options.context_tokens : config_.max_position_embeddings;
  MK_TRY(read_rope_divisors(file));
  rope_ = rope_table(positions, config_.head_dim, config_.rope_theta, config_.rope_scaling);
  return {};
}

// GGUF's Llama 3.1 has what its rope frequencies are divided by as a tensor.
Result<void> DenseDecoder::read_rope_divisors(const WeightFile& file) {
  const WeightInfo* info = file.find("rope_freqs.weight");
  if (info == nullptr) return {};
  const int64_t count = config_.head_dim / 2;
  if (info->dtype != DType::kF32 || !(info->shape == Shape{count}) ||
      config_.rope_scaling.type != RopeScaling::Type::kDefault) {
    return fail(ErrorCode::kCorrupt,
                "rope_freqs.weight is {} {} when it should be f32 [{}], and the only scaling of "
                "the rope",
                dtype_info(info->dtype).name, info->shape.text(), count);
  }
  std::vector<float>& divisors = config_.rope_scaling.divisors;
  divisors.resize(static_cast<size_t>(count));
  dtype_info(info->dtype).decode(info->bytes.data(), count, divisors.data());
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
                            int64_t layer) const {
  const ops::AttentionShape shape{config_.num_attention_heads, config_.num_key_value_heads,
                                  config_.head_dim, batch.seq_len};
  const int64_t q_cols = shape.num_heads * shape.head_dim;
  const int64_t kv_cols = shape.num_kv_heads * shape.head_dim;
  const kernels::RopeArgs rope{batch.positions.data(), rope_.data<float>(), shape.head_dim,
                               config_.rope_style, false};
  const Layer& weights = layers_[layer];
  Tensor qkv = weights.qkv.forward(context, x);
  if (weights.qkv_bias != nullptr) {
    qkv = ops::add_row(context, qkv, weights.qkv_bias->tensor(context));
  }
  const Tensor q = rotated(context, ops::columns(context, qkv, 0, q_cols), weights.q_norm, rope);
  const Tensor k =
      rotated(context, ops::columns(context, qkv, q_cols, q_cols + kv_cols), weights.k_norm, rope);
  const Tensor v = ops::columns(context, qkv, q_cols + kv_cols, q_cols + 2 * kv_cols);
  const Tensor mixed = attention(context, q, k, v, shape, batch.kv, layer);
  return weights.output.forward_add(context, mixed, x);
}

Tensor DenseDecoder::forward(const Context& context, const ForwardBatch& batch) const {
  for (const int32_t position : batch.positions) {
    MK_CHECK(position >= 0 && position < rope_.size(0), "decoder: position {} of {}", position,
             rope_.size(0));
  }
  Tensor x = ops::embedding(context, embedding_->weight(context), batch.tokens);  // [n, hidden]
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    x = attend(context, x, batch, static_cast<int64_t>(i));
    const Tensor hidden = layer.gate_up.forward_swiglu(context, x);  // [n, intermediate]
    x = layer.down.forward_add(context, hidden, x);
  }
  return head_.forward(context, rows_with_logits(context, x, batch));
}

}  // namespace

Result<ModelConfig> dense_config(const ModelSettings& settings, std::string_view architecture) {
  ModelConfig config;
  config.architecture = architecture;
  MK_ASSIGN(config.num_hidden_layers, settings.size("num_hidden_layers", 1, 1000));
  MK_ASSIGN(config.hidden_size, settings.size("hidden_size", 1, 1 << 20));
  MK_ASSIGN(config.intermediate_size, settings.size("intermediate_size", 1, 1 << 22));
  MK_ASSIGN(config.num_attention_heads, settings.size("num_attention_heads", 1, 1 << 12));
  MK_ASSIGN(config.num_key_value_heads,
            settings.size("num_key_value_heads", 1, config.num_attention_heads,
                          config.num_attention_heads));
  MK_ASSIGN(config.max_position_embeddings, settings.size("max_position_embeddings", 1, 1 << 24));
  MK_ASSIGN(config.vocab_size, settings.size("vocab_size", 1, 1 << 24));
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
  MK_ASSIGN(config.rms_norm_eps, settings.number("rms_norm_eps"));
  MK_ASSIGN(config.tie_word_embeddings, settings.flag("tie_word_embeddings", false));
  MK_ASSIGN(const auto rope, settings.rope(config.max_position_embeddings));
  config.rope_theta = rope.theta;
  config.rope_scaling = rope.scaling;
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
