#include "minke/models/decoder.h"

#include <algorithm>

namespace minke {
namespace {

// The rows of x whose logits the batch wants. Under a tape they must be all.
Tensor rows_with_logits(const Context& context, const Tensor& x, const ForwardBatch& batch) {
  if (batch.logit_rows.empty()) return x;
  MK_CHECK(!context.records(x), "gradients need the logits of all rows");
  return ops::gather_rows(context, x, batch.logit_rows);
}

// What row i + depth of its sequence has, for each row; `beyond` at the sequences' ends.
std::vector<int32_t> ahead(const ForwardBatch& batch, std::span<const int32_t> values,
                           int64_t depth, int32_t beyond) {
  std::vector<int32_t> out(values.size(), beyond);
  const auto num_rows = static_cast<int64_t>(values.size());
  int64_t begin = 0;
  for (size_t sequence = 0; begin < num_rows; ++sequence) {
    const int64_t length = batch.lengths.empty() ? batch.seq_len : int64_t{batch.lengths[sequence]};
    for (int64_t row = begin; row + depth < begin + length; ++row) {
      out[static_cast<size_t>(row)] = values[static_cast<size_t>(row + depth)];
    }
    begin += length;
  }
  return out;
}

}  // namespace

// GGUF's Llama 3.1 has what its rope frequencies are divided by as a tensor.
Result<void> Decoder::read_rope_divisors(const WeightFile& file) {
  const WeightInfo* info = file.find("rope_freqs.weight");
  if (info == nullptr) return {};
  const int64_t count = rope_dim() / 2;
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

Result<void> Decoder::load(const Device& device, const WeightFile& file,
                           const LoadOptions& options) {
  ParameterLoader loader(device, file, store_, options.precision, options.panels, options.adapters);
  MK_CHECK(!options.trains_weights || options.precision == Precision::kF32,
           "decoder: weights are trained in f32");
  if (options.trains_weights) loader.decode_matrices();
  MK_ASSIGN(auto embedding,
            loader.matrices({{"token_embd.weight", config_.vocab_size}}, config_.hidden_size));
  embedding_ = embedding.front();
  for (int64_t i = 0; i < config_.num_hidden_layers; ++i) {
    MK_TRY(load_block(loader, fmt::format("blk.{}.", i), options.precision));
  }
  MK_ASSIGN(norm_, loader.vector("output_norm.weight", config_.hidden_size));
  head_weights_ = embedding;
  if (!config_.tie_word_embeddings) {
    MK_ASSIGN(head_weights_,
              loader.matrices({{"output.weight", config_.vocab_size}}, config_.hidden_size));
  }
  head_ = Linear(head_weights_, options.precision, {norm_, config_.rms_norm_eps});
  MK_TRY(load_mtp(loader, options));
  const int64_t positions =
      options.context_tokens > 0 ? options.context_tokens : config_.max_position_embeddings;
  MK_TRY(read_rope_divisors(file));
  rope_ = rope_table(positions, rope_dim(), config_.rope_theta, config_.rope_scaling);
  return {};
}

// The modules that are wanted and there: many files have the setting and not the weights.
Result<void> Decoder::load_mtp(ParameterLoader& loader, const LoadOptions& options) {
  const int64_t hidden = config_.hidden_size;
  const auto prefix = [&](int64_t k) {
    return fmt::format("blk.{}.", config_.num_hidden_layers + k);
  };
  int64_t& count = config_.num_nextn_predict_layers;
  count = std::min(count, options.mtp_modules);
  if (!loader.has(prefix(0) + "nextn.eh_proj.weight")) count = 0;
  for (int64_t k = 0; k < count; ++k) {
    const std::string name = prefix(k) + "nextn.";
    MK_TRY(load_block(loader, prefix(k), options.precision));
    MtpModule& module = mtp_.emplace_back();
    MK_ASSIGN(module.embedding_norm, loader.vector(name + "enorm.weight", hidden));
    MK_ASSIGN(module.hidden_norm, loader.vector(name + "hnorm.weight", hidden));
    MK_ASSIGN(auto projection, loader.matrices({{name + "eh_proj.weight", hidden}}, 2 * hidden));
    module.projection = Linear(std::move(projection), options.precision);
    module.norm = norm_;
    if (loader.has(name + "shared_head_norm.weight")) {
      MK_ASSIGN(module.norm, loader.vector(name + "shared_head_norm.weight", hidden));
    }
    module.head = Linear(head_weights_, options.precision, {module.norm, config_.rms_norm_eps});
  }
  return {};
}

kernels::RopeArgs Decoder::rope_args(const ForwardBatch& batch) const {
  return {batch.positions.data(), rope_.data<float>(), rope_dim(), config_.rope_style, false};
}

void Decoder::check_positions(const ForwardBatch& batch) const {
  for (const int32_t position : batch.positions) {
    MK_CHECK(position >= 0 && position < rope_.size(0), "decoder: position {} of {}", position,
             rope_.size(0));
  }
}

Tensor Decoder::normed(const Context& context, const Tensor& x, const Parameter* weight) const {
  return ops::rms_norm(context, x, weight->tensor(context), config_.rms_norm_eps);
}

Tensor Decoder::kept_block(const Context& context, const Tensor& x, const ForwardBatch& batch,
                           int64_t index) const {
  return kept(context,
              [this, x, &batch, index](const Context& c) { return block(c, x, batch, index); });
}

Tensor Decoder::states(const Context& context, const ForwardBatch& batch) const {
  check_positions(batch);
  Tensor x = ops::embedding(context, embedding_->weight(context), batch.tokens);  // [n, hidden]
  for (int64_t i = 0; i < config_.num_hidden_layers; ++i) x = kept_block(context, x, batch, i);
  return x;
}

Tensor Decoder::loss(const Context& context, const ForwardBatch& batch,
                     std::span<const int32_t> targets, double divisor) const {
  const Tensor x = states(context, batch);
  Tensor loss = head_.cross_entropy(context, x, targets, divisor);
  if (batch.mtp_weight == 0.0 || mtp_.empty()) return loss;
  const double mtp_divisor = divisor * static_cast<double>(mtp_.size()) / batch.mtp_weight;
  Tensor hidden = normed(context, x, norm_);
  for (int64_t depth = 1; depth <= static_cast<int64_t>(mtp_.size()); ++depth) {
    const MtpModule& module = mtp_[static_cast<size_t>(depth - 1)];
    const auto tokens = ahead(batch, batch.tokens, depth, 0);
    const Tensor y = mtp_states(context, batch, tokens, depth, hidden);
    const auto targets_ahead = ahead(batch, targets, depth, -1);
    loss =
        ops::add(context, loss, module.head.cross_entropy(context, y, targets_ahead, mtp_divisor));
    hidden = normed(context, y, module.norm);
  }
  return loss;
}

Tensor Decoder::log_probs(const Context& context, const ForwardBatch& batch,
                          std::span<const int32_t> targets) const {
  return head_.log_probs(context, states(context, batch), targets);
}

Tensor Decoder::forward(const Context& context, const ForwardBatch& batch, Tensor* hidden) const {
  const Tensor x = states(context, batch);
  if (hidden != nullptr) *hidden = normed(context, x, norm_);
  return head_.forward(context, rows_with_logits(context, x, batch));
}

Tensor Decoder::mtp_states(const Context& context, const ForwardBatch& batch,
                           std::span<const int32_t> tokens, int64_t depth,
                           const Tensor& hidden) const {
  check_positions(batch);
  MK_CHECK(depth >= 1 && depth <= static_cast<int64_t>(mtp_.size()), "decoder: depth {} of {}",
           depth, mtp_.size());
  const MtpModule& module = mtp_[static_cast<size_t>(depth - 1)];
  const Tensor embedded = ops::embedding(context, embedding_->weight(context), tokens);
  const Tensor both =
      ops::concat_columns(context, normed(context, embedded, module.embedding_norm),
                          normed(context, hidden, module.hidden_norm));  // [n, 2 hidden]
  const Tensor x = module.projection.forward(context, both);
  return kept_block(context, x, batch, config_.num_hidden_layers + depth - 1);
}

Tensor Decoder::forward_mtp(const Context& context, const ForwardBatch& batch, int64_t depth,
                            Tensor& hidden) const {
  const Tensor x = mtp_states(context, batch, batch.tokens, depth, hidden);
  const MtpModule& module = mtp_[static_cast<size_t>(depth - 1)];
  hidden = normed(context, x, module.norm);
  return module.head.forward(context, rows_with_logits(context, x, batch));
}

std::vector<LayerLoads> Decoder::expert_loads() const {
  std::vector<LayerLoads> loads;
  const int64_t num_layers = config_.num_hidden_layers + static_cast<int64_t>(mtp_.size());
  for (int64_t i = 0; i < num_layers; ++i) {
    if (const ExpertLoads* of_layer = loads_of(i)) loads.push_back({i, of_layer->rows()});
  }
  return loads;
}

Result<ModelConfig> decoder_config(const ModelSettings& settings, std::string_view architecture,
                                   std::optional<double> rms_norm_eps) {
  ModelConfig config;
  config.architecture = architecture;
  MK_ASSIGN(config.num_hidden_layers, settings.size("num_hidden_layers", 1, 1000));
  MK_ASSIGN(config.hidden_size, settings.size("hidden_size", 1, 1 << 20));
  MK_ASSIGN(config.intermediate_size, settings.size("intermediate_size", 1, 1 << 22));
  MK_ASSIGN(config.num_attention_heads, settings.size("num_attention_heads", 1, 1 << 12));
  MK_ASSIGN(config.max_position_embeddings, settings.size("max_position_embeddings", 1, 1 << 24));
  MK_ASSIGN(config.vocab_size, settings.size("vocab_size", 1, 1 << 24));
  MK_ASSIGN(config.rms_norm_eps, settings.number("rms_norm_eps", rms_norm_eps));
  MK_ASSIGN(config.tie_word_embeddings, settings.flag("tie_word_embeddings", false));
  MK_ASSIGN(const auto rope, settings.rope(config.max_position_embeddings));
  config.rope_theta = rope.theta;
  config.rope_scaling = rope.scaling;
  MK_ASSIGN(config.fp8_blocks, settings.fp8_blocks());
  return config;
}

}  // namespace minke
