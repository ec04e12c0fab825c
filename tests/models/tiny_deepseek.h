#pragma once
#include <fstream>
#include <memory>
#include <string>

#include "minke/models/model_file.h"
#include "tests/hub/scratch_folder.h"
#include "tests/models/tiny_llama.h"

namespace minke {

/// Small models of the shape of DeepSeek-V3 with an MTP module, whose token v is followed by v + 1:
/// the head's row v + 1 is the embedding of v, and blocks add a random part of size `noise` to
/// that. The module sees the token before the one to guess, so it guesses as the model itself would
/// where there is no noise.
struct TinyDeepSeekShape {
  int64_t layers = 2;
  int64_t hidden = 64;
  int64_t vocab = 117;
  int64_t context = 512;
  int64_t mtp_modules = 1;     ///< in the file
  double noise = 0.0;          ///< of the blocks' outputs; around 1 little is left of v + 1
  double mtp_embedding = 1.0;  ///< what the module makes of the token's embedding; -1: it guesses
                               ///< what is least likely; 0: noise only
  DType matrices = DType::kF32;
};

/// Writes such a model, drawn from `seed`, as a GGUF file.
class TinyDeepSeekWriter {
 public:
  TinyDeepSeekWriter(const TinyDeepSeekShape& shape, uint64_t seed)
      : shape_(shape), random_(seed) {}

  /// The file's bytes.
  std::string write() {
    add_settings();
    const int64_t hidden = shape_.hidden;
    const std::vector<float> embedding = drawn({shape_.vocab, hidden}, 0.0, 1.0);
    add("token_embd", shape_.matrices, {shape_.vocab, hidden}, embedding);
    std::vector<float> head(embedding.size());
    for (size_t i = 0; i < head.size(); ++i) head[(i + hidden) % head.size()] = embedding[i];
    add("output", shape_.matrices, {shape_.vocab, hidden}, head);
    norm("output_norm", hidden);
    for (int64_t i = 0; i < shape_.layers + shape_.mtp_modules; ++i) {
      const std::string prefix = fmt::format("blk.{}.", i);
      add_attention(prefix);
      add_feed_forward(prefix, i > 0);
      if (i >= shape_.layers) add_module(prefix + "nextn.");
    }
    return writer_.serialize();
  }

 private:
  static constexpr int64_t kHeads = 4, kQRank = 32, kRank = 32, kNope = 16, kRope = 16, kValue = 16;
  static constexpr int64_t kExperts = 4, kExpertWidth = 32, kWidth = 96;

  void add_settings() {
    writer_.add("general.architecture", "deepseek2");
    const std::pair<const char*, int64_t> sizes[] = {
        {"block_count", shape_.layers + shape_.mtp_modules},
        {"nextn_predict_layers", shape_.mtp_modules},
        {"context_length", shape_.context},
        {"embedding_length", shape_.hidden},
        {"feed_forward_length", kWidth},
        {"attention.head_count", kHeads},
        {"attention.q_lora_rank", kQRank},
        {"attention.kv_lora_rank", kRank},
        {"attention.key_length", kNope + kRope},
        {"attention.value_length", kValue},
        {"rope.dimension_count", kRope},
        {"leading_dense_block_count", 1},
        {"expert_count", kExperts},
        {"expert_used_count", 2},
        {"expert_shared_count", 1},
        {"expert_feed_forward_length", kExpertWidth},
        {"expert_gating_func", 2}};
    for (const auto& [key, value] : sizes) {
      writer_.add(fmt::format("deepseek2.{}", key), static_cast<uint32_t>(value));
    }
    writer_.add("deepseek2.expert_weights_norm", true);
    writer_.add("deepseek2.attention.layer_norm_rms_epsilon", 1e-6f);
  }

  void add_attention(const std::string& prefix) {
    const int64_t hidden = shape_.hidden;
    norm(prefix + "attn_norm", hidden);
    matrix(prefix + "attn_q_a", {kQRank, hidden});
    norm(prefix + "attn_q_a_norm", kQRank);
    matrix(prefix + "attn_q_b", {kHeads * (kNope + kRope), kQRank});
    matrix(prefix + "attn_kv_a_mqa", {kRank + kRope, hidden});
    norm(prefix + "attn_kv_a_norm", kRank);
    matrix(prefix + "attn_kv_b", {kHeads * (kNope + kValue), kRank});
    matrix(prefix + "attn_output", {hidden, kHeads * kValue}, shape_.noise);
  }

  void add_feed_forward(const std::string& prefix, bool has_experts) {
    const int64_t hidden = shape_.hidden;
    norm(prefix + "ffn_norm", hidden);
    const char* suffix = has_experts ? "_shexp" : "";
    const int64_t width = has_experts ? kExpertWidth : kWidth;
    matrix(fmt::format("{}ffn_gate{}", prefix, suffix), {width, hidden});
    matrix(fmt::format("{}ffn_up{}", prefix, suffix), {width, hidden});
    matrix(fmt::format("{}ffn_down{}", prefix, suffix), {hidden, width}, shape_.noise);
    if (!has_experts) return;
    add(prefix + "ffn_gate_inp", DType::kF32, {kExperts, hidden},
        drawn({kExperts, hidden}, 0.0, 0.2));
    const std::vector<float> bias = drawn({kExperts}, 0.0, 0.1);
    writer_.add_tensor(prefix + "exp_probs_b.bias", DType::kF32, {kExperts},
                       std::as_bytes(std::span(bias)));
    matrix(prefix + "ffn_gate_exps", {kExperts, kExpertWidth, hidden});
    matrix(prefix + "ffn_up_exps", {kExperts, kExpertWidth, hidden});
    matrix(prefix + "ffn_down_exps", {kExperts, hidden, kExpertWidth}, shape_.noise);
  }

  void add_module(const std::string& prefix) {
    const int64_t hidden = shape_.hidden;
    norm(prefix + "enorm", hidden);
    norm(prefix + "hnorm", hidden);
    std::vector<float> projection = drawn({hidden, 2 * hidden}, 0.0, 0.2 * shape_.noise);
    for (int64_t d = 0; d < hidden; ++d) {
      projection[static_cast<size_t>(d * 2 * hidden + d)] +=
          static_cast<float>(shape_.mtp_embedding);
    }
    add(prefix + "eh_proj", shape_.matrices, {hidden, 2 * hidden}, projection);
    norm(prefix + "shared_head_norm", hidden);
  }

  std::vector<float> drawn(const Shape& dims, double centre, double spread) {
    std::vector<float> values(static_cast<size_t>(dims.num_elements()));
    for (float& value : values) value = static_cast<float>(centre + spread * random_.normal());
    return values;
  }
  void matrix(const std::string& name, const Shape& dims, double size = 1.0) {
    add(name, shape_.matrices, dims, drawn(dims, 0.0, 0.2 * size));
  }
  void norm(const std::string& name, int64_t size) {
    add(name, DType::kF32, {size}, drawn({size}, 1.0, 0.1));
  }
  void add(const std::string& name, DType dtype, const Shape& dims,
           const std::vector<float>& values) {
    std::vector<std::byte> bytes(static_cast<size_t>(dtype_bytes(dtype, dims.num_elements())));
    const DTypeInfo& info = dtype_info(dtype);
    info.encode(values.data(), dims.num_elements() / info.block_size, bytes.data());
    writer_.add_tensor(name + ".weight", dtype, dims, bytes);
  }

  const TinyDeepSeekShape shape_;
  Random random_;
  GgufWriter writer_;
};

/// A device and a model made from such a file.
struct TinyDeepSeek {
  std::unique_ptr<Device> device;
  std::unique_ptr<Model> model;

  static TinyDeepSeek make(const TinyDeepSeekShape& shape, const LoadOptions& options,
                           int num_threads = 1, uint64_t seed = 1) {
    const std::string bytes = TinyDeepSeekWriter(shape, seed).write();
    const ScratchFolder folder;
    std::ofstream(folder.path() / "tiny.gguf", std::ios::binary) << bytes;
    const auto file = ModelFile::open(folder.path() / "tiny.gguf");
    EXPECT_TRUE(file) << file.error().message;
    TinyDeepSeek made;
    made.device = std::make_unique<Device>(num_threads, false, supported_levels().front());
    auto model = load_model(*made.device, file->weights(), file->config(), options);
    EXPECT_TRUE(model) << model.error().message;
    made.model = std::move(*model);
    return made;
  }
};

}  // namespace minke
