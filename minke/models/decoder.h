#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "minke/models/expert_loads.h"
#include "minke/models/model.h"
#include "minke/models/model_settings.h"
#include "minke/nn/expert_loads.h"
#include "minke/nn/linear.h"

namespace minke {

/// What is around the blocks of a decoder: embedding, table of the rope, and a normed head, tied to
/// the embedding or not. An architecture's class says what a block is.
class Decoder : public Model {
 public:
  /// See load_model().
  Result<void> load(const Device& device, const WeightFile& file, const LoadOptions& options);
  using Model::forward;
  Tensor forward(const Context& context, const ForwardBatch& batch, Tensor* hidden) const final;
  Tensor forward_mtp(const Context& context, const ForwardBatch& batch, int64_t depth,
                     Tensor& hidden) const final;
  Tensor loss(const Context& context, const ForwardBatch& batch, std::span<const int32_t> targets,
              double divisor) const final;
  Tensor log_probs(const Context& context, const ForwardBatch& batch,
                   std::span<const int32_t> targets) const final;
  /// See expert_loads().
  std::vector<LayerLoads> expert_loads() const;

 protected:
  explicit Decoder(ModelConfig config) : Model(std::move(config)) {}
  /// Loads the next block, those of MTP modules after the others, whose tensors' names begin with
  /// `prefix`.
  virtual Result<void> load_block(ParameterLoader& loader, const std::string& prefix,
                                  Precision precision) = 0;
  /// Block `index` of x [n, hidden] -> [n, hidden]. x may be overwritten.
  virtual Tensor block(const Context& context, const Tensor& x, const ForwardBatch& batch,
                       int64_t index) const = 0;
  /// The counters of block `index`'s gate; null for a block without experts.
  virtual const ExpertLoads* loads_of(int64_t index) const = 0;
  /// How the batch's rows are rotated.
  kernels::RopeArgs rope_args(const ForwardBatch& batch) const;

 private:
  /// Dimensions of a head that are rotated.
  int64_t rope_dim() const {
    return config_.mla.kv_lora_rank > 0 ? config_.mla.qk_rope_head_dim : config_.head_dim;
  }
  Result<void> read_rope_divisors(const WeightFile& file);
  Result<void> load_mtp(ParameterLoader& loader, const LoadOptions& options);
  /// The states of all rows before the final norm [n, hidden].
  Tensor states(const Context& context, const ForwardBatch& batch) const;
  /// Of MTP module `depth` - 1 the states before its norm, for these tokens at the batch's
  /// positions.
  Tensor mtp_states(const Context& context, const ForwardBatch& batch,
                    std::span<const int32_t> tokens, int64_t depth, const Tensor& hidden) const;
  /// block(), kept for backward as set_recompute() says.
  Tensor kept_block(const Context& context, const Tensor& x, const ForwardBatch& batch,
                    int64_t index) const;
  Tensor normed(const Context& context, const Tensor& x, const Parameter* weight) const;
  void check_positions(const ForwardBatch& batch) const;

  // What is around an MTP module's block. Embedding and head are the model's.
  struct MtpModule {
    const Parameter* embedding_norm = nullptr;  // enorm
    const Parameter* hidden_norm = nullptr;     // hnorm
    Linear projection;                          // eh_proj, of both one beside the other
    const Parameter* norm = nullptr;            // shared_head.norm
    Linear head;                                // of inputs with that norm
  };

  const Parameter* embedding_ = nullptr;
  const Parameter* norm_ = nullptr;
  std::vector<const Parameter*> head_weights_;
  Linear head_;  // of normed inputs
  std::vector<MtpModule> mtp_;
  Tensor rope_;  // [positions, rope_dim], see rope_table()
};

/// The settings that all decoders have. `rms_norm_eps`: where the file has none.
Result<ModelConfig> decoder_config(const ModelSettings& settings, std::string_view architecture,
                                   std::optional<double> rms_norm_eps = {});

}  // namespace minke
