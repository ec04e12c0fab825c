// GPT-2 (Radford et al. 2019) and nanoGPT's models: pre-norm blocks of multi-head attention and a
// feed-forward with GELU, LayerNorm, learned positions, biases, and a head tied to the embedding.
#include "minke/models/gpt2.h"

#include "minke/models/registry.h"
#include "minke/nn/linear.h"
#include "minke/nn/mla.h"

namespace minke {
namespace {

// A matrix with its bias.
struct Affine {
  Linear linear;
  const Parameter* bias = nullptr;

  // Of the input that `make` computes.
  Tensor forward(const Context& context, const RecomputedFn& make) const {
    const Tensor y = linear.forward_made(context, make);
    return bias == nullptr ? y : ops::add_row(context, y, bias->tensor(context));
  }
};

struct LayerNorm {
  const Parameter* weight = nullptr;
  const Parameter* bias = nullptr;

  Tensor forward(const Context& context, const Tensor& x, double eps) const {
    return ops::layer_norm(context, x, weight->tensor(context),
                           bias == nullptr ? Tensor() : bias->tensor(context), eps);
  }
};

struct Layer {
  LayerNorm attention_norm;
  Affine qkv;  // rows: queries, keys, values
  Affine output;
  LayerNorm ffn_norm;
  Affine up;
  Affine down;
};

class Gpt2 final : public Model {
 public:
  explicit Gpt2(ModelConfig config) : Model(std::move(config)) {}
  Result<void> load(const Device& device, const WeightFile& file, const LoadOptions& options);
  using Model::forward;
  Tensor forward(const Context& context, const ForwardBatch& batch, Tensor* hidden) const override;
  Tensor loss(const Context& context, const ForwardBatch& batch, std::span<const int32_t> targets,
              double divisor) const override {
    return head_.cross_entropy(context, states(context, batch), targets, divisor);
  }
  Tensor log_probs(const Context& context, const ForwardBatch& batch,
                   std::span<const int32_t> targets) const override {
    return head_.log_probs(context, states(context, batch), targets);
  }

 private:
  Result<Affine> load_affine(ParameterLoader& loader, const std::string& name, int64_t rows,
                             int64_t cols) const;
  Result<LayerNorm> load_norm(ParameterLoader& loader, const std::string& name) const;
  Result<void> load_layer(ParameterLoader& loader, const std::string& prefix);
  Tensor states(const Context& context, const ForwardBatch& batch) const;
  Tensor block(const Context& context, const Tensor& x, const ForwardBatch& batch,
               int64_t index) const;

  Precision precision_ = Precision::kF32;
  const Parameter* embedding_ = nullptr;
  const Parameter* positions_ = nullptr;
  std::vector<Layer> layers_;
  LayerNorm norm_;
  Linear head_;  // of normed inputs
};

// transformers keeps these matrices as [in, out] (Conv1D), GGUF as others.
Result<Affine> Gpt2::load_affine(ParameterLoader& loader, const std::string& name, int64_t rows,
                                 int64_t cols) const {
  Affine affine;
  std::vector<const Parameter*> parts;
  if (config_.gpt2.has_conv1d) {
    const auto values = [&]() -> Result<std::vector<float>> {
      MK_ASSIGN(const auto columns, loader.decoded(name + ".weight", {cols, rows}));
      return transposed(columns, cols, rows);
    };
    MK_ASSIGN(const Parameter* made,
              loader.made({name + ".weight", DType::kF32, rows, cols}, values));
    parts = {made};
  } else {
    MK_ASSIGN(parts, loader.matrices({{name + ".weight", rows}}, cols));
  }
  affine.linear = Linear(std::move(parts), precision_);
  if (config_.gpt2.has_bias) {
    MK_ASSIGN(affine.bias, loader.vector(name + ".bias", rows));
  }
  return affine;
}

Result<LayerNorm> Gpt2::load_norm(ParameterLoader& loader, const std::string& name) const {
  LayerNorm norm;
  MK_ASSIGN(norm.weight, loader.vector(name + ".weight", config_.hidden_size));
  if (config_.gpt2.has_bias) {
    MK_ASSIGN(norm.bias, loader.vector(name + ".bias", config_.hidden_size));
  }
  return norm;
}

Result<void> Gpt2::load_layer(ParameterLoader& loader, const std::string& prefix) {
  const int64_t hidden = config_.hidden_size, width = config_.intermediate_size;
  Layer& layer = layers_.emplace_back();
  MK_ASSIGN(layer.attention_norm, load_norm(loader, prefix + "attn_norm"));
  MK_ASSIGN(layer.qkv, load_affine(loader, prefix + "attn_qkv", 3 * hidden, hidden));
  MK_ASSIGN(layer.output, load_affine(loader, prefix + "attn_output", hidden, hidden));
  MK_ASSIGN(layer.ffn_norm, load_norm(loader, prefix + "ffn_norm"));
  MK_ASSIGN(layer.up, load_affine(loader, prefix + "ffn_up", width, hidden));
  MK_ASSIGN(layer.down, load_affine(loader, prefix + "ffn_down", hidden, width));
  return {};
}

Result<void> Gpt2::load(const Device& device, const WeightFile& file, const LoadOptions& options) {
  ParameterLoader loader(device, file, store_, options.precision, options.panels, options.adapters);
  if (options.trains_weights) loader.decode_matrices();
  precision_ = options.precision;
  const int64_t hidden = config_.hidden_size;
  MK_ASSIGN(auto embedding, loader.matrices({{"token_embd.weight", config_.vocab_size}}, hidden));
  MK_ASSIGN(const auto positions,
            loader.matrices({{"position_embd.weight", config_.max_position_embeddings}}, hidden));
  embedding_ = embedding.front();
  positions_ = positions.front();
  for (int64_t i = 0; i < config_.num_hidden_layers; ++i) {
    MK_TRY(load_layer(loader, fmt::format("blk.{}.", i)));
  }
  MK_ASSIGN(norm_, load_norm(loader, "output_norm"));
  if (!config_.tie_word_embeddings) {
    MK_ASSIGN(embedding, loader.matrices({{"output.weight", config_.vocab_size}}, hidden));
  }
  head_ = Linear(std::move(embedding), precision_);
  return {};
}

Tensor Gpt2::block(const Context& context, const Tensor& x, const ForwardBatch& batch,
                   int64_t index) const {
  const Layer& layer = layers_[static_cast<size_t>(index)];
  const int64_t hidden = config_.hidden_size;
  const double eps = config_.rms_norm_eps;
  const ops::AttentionShape shape{.num_heads = config_.num_attention_heads,
                                  .num_kv_heads = config_.num_attention_heads,
                                  .head_dim = config_.head_dim,
                                  .seq_len = batch.seq_len,
                                  .lengths = batch.lengths};
  const Tensor qkv = layer.qkv.forward(context, [&layer, x, eps](const Context& c) {
    return layer.attention_norm.forward(c, x, eps);
  });  // [n, 3 hidden]
  const auto part = [&](int64_t i) {
    return ops::columns(context, qkv, i * hidden, (i + 1) * hidden);
  };
  const Tensor mixed = attention(context, part(0), part(1), part(2), shape, batch.kv, index);
  const auto same = [mixed](const Context&) { return mixed; };
  const Tensor attended = ops::add(context, x, layer.output.forward(context, same));
  const Tensor up = layer.up.forward(context, [&layer, attended, eps](const Context& c) {
    return layer.ffn_norm.forward(c, attended, eps);
  });  // [n, intermediate]
  const Tensor down = layer.down.forward(
      context, [up, form = config_.gpt2.gelu](const Context& c) { return ops::gelu(c, up, form); });
  return ops::add(context, attended, down);
}

// The states of all rows after the final norm [n, hidden].
Tensor Gpt2::states(const Context& context, const ForwardBatch& batch) const {
  for (const int32_t position : batch.positions) {
    MK_CHECK(position >= 0 && position < config_.max_position_embeddings, "gpt2: position {} of {}",
             position, config_.max_position_embeddings);
  }
  Tensor x = ops::add(context, ops::embedding(context, embedding_->weight(context), batch.tokens),
                      ops::embedding(context, positions_->weight(context), batch.positions));
  for (int64_t i = 0; i < config_.num_hidden_layers; ++i) {
    x = kept(context, [this, x, &batch, i](const Context& c) { return block(c, x, batch, i); });
  }
  return norm_.forward(context, x, config_.rms_norm_eps);
}

Tensor Gpt2::forward(const Context& context, const ForwardBatch& batch, Tensor* hidden) const {
  const Tensor x = states(context, batch);
  if (hidden != nullptr) *hidden = x;
  if (batch.logit_rows.empty()) return head_.forward(context, x);
  MK_CHECK(!context.records(x), "gradients need the logits of all rows");
  return head_.forward(context, ops::gather_rows(context, x, batch.logit_rows));
}

// What config.json calls a setting, and what our table of GGUF's keys does.
const char* named(const ModelSettings& settings, const char* hf, const char* gguf) {
  return settings.is_gguf() ? gguf : hf;
}

Result<kernels::GeluForm> gelu_form(const ModelSettings& settings) {
  MK_ASSIGN(const std::string name, settings.text("activation_function", "gelu_new"));
  if (name == "gelu") return kernels::GeluForm::kErf;
  if (name == "gelu_new" || name == "gelu_pytorch_tanh") return kernels::GeluForm::kTanh;
  return fail(ErrorCode::kUsage,
              "activation_function is '{}', and minke has gelu, gelu_new and gelu_pytorch_tanh",
              name);
}

}  // namespace

Result<ModelConfig> gpt2_config(const ModelSettings& settings) {
  const auto size = [&](const char* hf, const char* gguf, int64_t high,
                        std::optional<int64_t> missing = {}) {
    return settings.size(named(settings, hf, gguf), 1, high, missing);
  };
  ModelConfig config;
  config.architecture = "gpt2";
  MK_ASSIGN(config.num_hidden_layers, size("n_layer", "num_hidden_layers", 1000));
  MK_ASSIGN(config.hidden_size, size("n_embd", "hidden_size", 1 << 20));
  MK_ASSIGN(config.num_attention_heads, size("n_head", "num_attention_heads", 1 << 12));
  MK_ASSIGN(config.max_position_embeddings,
            size("n_positions", "max_position_embeddings", 1 << 24));
  MK_ASSIGN(config.vocab_size, size("vocab_size", "vocab_size", 1 << 24));
  MK_ASSIGN(config.intermediate_size,
            size("n_inner", "intermediate_size", 1 << 22, 4 * config.hidden_size));
  MK_ASSIGN(config.rms_norm_eps, settings.number("layer_norm_epsilon", 1e-5));
  MK_ASSIGN(config.tie_word_embeddings, settings.flag("tie_word_embeddings", true));
  MK_ASSIGN(config.gpt2.gelu, gelu_form(settings));
  MK_ASSIGN(config.gpt2.has_bias, settings.flag("bias", true));
  config.gpt2.has_conv1d = !settings.is_gguf();
  constexpr std::string_view kRefused[] = {"scale_attn_by_inverse_layer_idx",
                                           "add_cross_attention"};
  MK_TRY(refuse_settings(settings, kRefused));
  MK_ASSIGN(const bool scaled, settings.flag("scale_attn_weights", true));
  if (!scaled) {
    return fail(ErrorCode::kUsage, "scale_attn_weights is false, which minke cannot run");
  }
  if (config.hidden_size % config.num_attention_heads != 0) {
    return fail(ErrorCode::kCorrupt,
                "gpt2 with {} heads cannot be run: its width, {}, is no multiple of them",
                config.num_attention_heads, config.hidden_size);
  }
  config.num_key_value_heads = config.num_attention_heads;
  config.head_dim = config.hidden_size / config.num_attention_heads;
  MK_ASSIGN(config.fp8_blocks, settings.fp8_blocks());
  return config;
}

Result<std::unique_ptr<Model>> load_gpt2(const Device& device, const WeightFile& file,
                                         const ModelConfig& config, const LoadOptions& options) {
  auto model = std::make_unique<Gpt2>(config);
  MK_TRY(model->load(device, file, options));
  return model;
}

}  // namespace minke
