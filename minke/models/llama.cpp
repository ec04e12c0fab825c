// Llama (Touvron et al. 2023): pre-norm blocks of grouped-query attention with rotary embeddings
// and a SwiGLU feed-forward, RMSNorm before the head. SmolLM2 is one.
#include <cstring>

#include "minke/models/registry.h"
#include "minke/nn/linear.h"
#include "minke/nn/rope_table.h"

namespace minke {
namespace {

struct Layer {
  Linear qkv;  // of normed inputs; rows: queries, keys, values
  Linear output;
  Linear gate_up;  // of normed inputs; rows: gate, up
  Linear down;
};

class Llama final : public Model {
 public:
  explicit Llama(ModelConfig config) : Model(std::move(config)) {}

  Result<void> load(const Device& device, const WeightFile& file, const LoadOptions& options);
  Tensor forward(const Context& context, const ForwardBatch& batch) const override;

 private:
  Result<Layer> load_layer(ParameterLoader& loader, int64_t index, Precision precision) const;
  Tensor attend(const Context& context, const Tensor& x, const ForwardBatch& batch,
                int64_t layer) const;

  std::vector<Layer> layers_;
  const Parameter* embedding_ = nullptr;
  Linear head_;  // of normed inputs
  Tensor rope_;  // [positions, head_dim], see rope_table()
};

Result<Layer> Llama::load_layer(ParameterLoader& loader, int64_t index, Precision precision) const {
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
  return Layer{Linear(std::move(qkv), precision, {attention_norm, eps}),
               Linear(std::move(output), precision),
               Linear(std::move(gate_up), precision, {ffn_norm, eps}),
               Linear(std::move(down), precision)};
}

Result<void> Llama::load(const Device& device, const WeightFile& file, const LoadOptions& options) {
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
  rope_ = rope_table(positions, config_.head_dim, config_.rope_theta);
  return {};
}

// x + the attention of a block: [n, hidden] -> [n, hidden]. x may be overwritten.
Tensor Llama::attend(const Context& context, const Tensor& x, const ForwardBatch& batch,
                     int64_t layer) const {
  const ops::AttentionShape shape{config_.num_attention_heads, config_.num_key_value_heads,
                                  config_.head_dim, batch.seq_len};
  const int64_t q_cols = shape.num_heads * shape.head_dim;
  const int64_t kv_cols = shape.num_kv_heads * shape.head_dim;
  const kernels::RopeArgs rope{batch.positions.data(), rope_.data<float>(), shape.head_dim,
                               config_.rope_style, false};
  const Tensor qkv = layers_[layer].qkv.forward(context, x);
  const Tensor q = ops::rope(context, ops::columns(context, qkv, 0, q_cols), rope);
  const Tensor k = ops::rope(context, ops::columns(context, qkv, q_cols, q_cols + kv_cols), rope);
  const Tensor v = ops::columns(context, qkv, q_cols + kv_cols, q_cols + 2 * kv_cols);
  const Tensor mixed = attention(context, q, k, v, shape, batch.kv, layer);
  return layers_[layer].output.forward_add(context, mixed, x);
}

// The rows of x that logits are wanted of.
Tensor select_rows(const Context& context, const Tensor& x, const std::vector<int32_t>& rows) {
  Tensor selected = context.empty(x.dtype(), {static_cast<int64_t>(rows.size()), x.size(1)});
  for (size_t i = 0; i < rows.size(); ++i) {
    std::memcpy(selected.view().row<float>(i), x.view().row<float>(rows[i]),
                static_cast<size_t>(x.size(1)) * sizeof(float));
  }
  return selected;
}

Tensor Llama::forward(const Context& context, const ForwardBatch& batch) const {
  for (const int32_t position : batch.positions) {
    MK_CHECK(position >= 0 && position < rope_.size(0), "llama: position {} of {}", position,
             rope_.size(0));
  }
  Tensor x = ops::embedding(context, embedding_->weight(context), batch.tokens);  // [n, hidden]
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    x = attend(context, x, batch, static_cast<int64_t>(i));
    const Tensor hidden = layer.gate_up.forward_swiglu(context, x);  // [n, intermediate]
    x = layer.down.forward_add(context, hidden, x);
  }
  if (!batch.logit_rows.empty()) {
    MK_CHECK(!context.records(x), "llama: gradients need the logits of all rows");
    x = select_rows(context, x, batch.logit_rows);
  }
  return head_.forward(context, x);
}

// Reads llama.KEY as a whole number in [low, high].
Result<int64_t> read_size(const GgufFile& file, const char* key, int64_t low, int64_t high) {
  const std::string full = fmt::format("llama.{}", key);
  MK_ASSIGN(const uint64_t value, file.get_uint(full));
  if (value < static_cast<uint64_t>(low) || value > static_cast<uint64_t>(high)) {
    return fail(ErrorCode::kCorrupt, "gguf: {} is {} when it should be {} to {}", full, value, low,
                high);
  }
  return static_cast<int64_t>(value);
}

}  // namespace

Result<ModelConfig> llama_config(const GgufFile& file) {
  ModelConfig config;
  config.architecture = "llama";
  MK_ASSIGN(config.num_hidden_layers, read_size(file, "block_count", 1, 1000));
  MK_ASSIGN(config.hidden_size, read_size(file, "embedding_length", 1, 1 << 20));
  MK_ASSIGN(config.intermediate_size, read_size(file, "feed_forward_length", 1, 1 << 22));
  MK_ASSIGN(config.num_attention_heads, read_size(file, "attention.head_count", 1, 1 << 12));
  config.num_key_value_heads = config.num_attention_heads;
  if (file.find_value("llama.attention.head_count_kv") != nullptr) {
    MK_ASSIGN(config.num_key_value_heads,
              read_size(file, "attention.head_count_kv", 1, config.num_attention_heads));
  }
  MK_ASSIGN(config.max_position_embeddings, read_size(file, "context_length", 1, 1 << 24));
  config.head_dim = config.hidden_size / config.num_attention_heads;
  if (file.find_value("llama.attention.key_length") != nullptr) {
    MK_ASSIGN(config.head_dim, read_size(file, "attention.key_length", 1, 1 << 12));
  }
  const auto head_dim = static_cast<uint64_t>(config.head_dim);
  MK_ASSIGN(const uint64_t value_dim, file.get_uint_or("llama.attention.value_length", head_dim));
  MK_ASSIGN(const uint64_t rope_dim, file.get_uint_or("llama.rope.dimension_count", head_dim));
  if (config.num_attention_heads % config.num_key_value_heads != 0 || config.head_dim % 2 != 0 ||
      value_dim != head_dim || rope_dim != head_dim) {
    return fail(
        ErrorCode::kCorrupt,
        "gguf: llama with {} heads, {} kv heads, head size {} (values {}, rope {}) cannot be "
        "run: heads must be a multiple of kv heads and the sizes equal and even",
        config.num_attention_heads, config.num_key_value_heads, config.head_dim, value_dim,
        rope_dim);
  }
  MK_ASSIGN(config.rms_norm_eps, file.get_float("llama.attention.layer_norm_rms_epsilon"));
  MK_ASSIGN(config.rope_theta, file.get_float_or("llama.rope.freq_base", 10000.0));
  MK_ASSIGN(const auto scaling, file.get_string_or("llama.rope.scaling.type", "none"));
  if ((scaling != "none" && scaling != "") || file.find("rope_freqs.weight") != nullptr) {
    return fail(ErrorCode::kUsage,
                "this llama file scales its rope ('{}'), which minke cannot do yet", scaling);
  }
  if (file.find("blk.0.ffn_gate_inp.weight") != nullptr ||
      file.find("blk.0.attn_q.bias") != nullptr) {
    return fail(ErrorCode::kUsage, "this llama file has experts or biases, which minke cannot run");
  }
  const WeightInfo* embedding = file.find("token_embd.weight");
  if (embedding == nullptr || embedding->shape.num_dims() != 2) {
    return fail(ErrorCode::kCorrupt, "gguf: no matrix 'token_embd.weight'");
  }
  config.vocab_size = embedding->shape[0];
  config.tie_word_embeddings = file.find("output.weight") == nullptr;
  return config;
}

Result<std::unique_ptr<Model>> load_llama(const Device& device, const WeightFile& file,
                                          const ModelConfig& config, const LoadOptions& options) {
  auto model = std::make_unique<Llama>(config);
  MK_TRY(model->load(device, file, options));
  return model;
}

}  // namespace minke
