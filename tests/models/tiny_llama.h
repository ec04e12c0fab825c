#pragma once
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "minke/base/random.h"
#include "minke/format/gguf_writer.h"
#include "minke/models/model.h"
#include "tests/base/checked_build.h"

namespace minke {

/// The shape of the small random Llamas that tests make. Odd on purpose: grouped heads (3 to 1), a
/// vocabulary that is no multiple of the panel height, a feed-forward wider than a block.
struct TinyLlamaShape {
  int64_t layers = 2;
  int64_t hidden = 96;
  int64_t heads = 6;
  int64_t kv_heads = 2;
  int64_t head_dim = 16;
  int64_t ffn = 160;
  int64_t vocab = 117;
  int64_t context = 512;
  DType matrices = DType::kF32;
};

/// The bytes of a GGUF file with such a model, drawn from `seed`.
inline std::string tiny_llama_gguf(const TinyLlamaShape& shape, uint64_t seed) {
  GgufWriter writer;
  writer.add("general.architecture", "llama");
  writer.add("llama.block_count", static_cast<uint32_t>(shape.layers));
  writer.add("llama.context_length", static_cast<uint32_t>(shape.context));
  writer.add("llama.embedding_length", static_cast<uint32_t>(shape.hidden));
  writer.add("llama.feed_forward_length", static_cast<uint32_t>(shape.ffn));
  writer.add("llama.attention.head_count", static_cast<uint32_t>(shape.heads));
  writer.add("llama.attention.head_count_kv", static_cast<uint32_t>(shape.kv_heads));
  writer.add("llama.rope.dimension_count", static_cast<uint32_t>(shape.head_dim));
  writer.add("llama.rope.freq_base", 10000.0f);
  writer.add("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  Random random(seed);
  const auto add = [&](const std::string& name, DType dtype, const Shape& dims, float centre,
                       float spread) {
    std::vector<float> values(static_cast<size_t>(dims.num_elements()));
    for (float& value : values) value = centre + spread * static_cast<float>(random.normal());
    std::vector<std::byte> bytes(static_cast<size_t>(dtype_bytes(dtype, dims.num_elements())));
    const DTypeInfo& info = dtype_info(dtype);
    info.encode(values.data(), dims.num_elements() / info.block_size, bytes.data());
    writer.add_tensor(name, dtype, dims, bytes);
  };
  const DType m = shape.matrices;
  const int64_t q = shape.heads * shape.head_dim, kv = shape.kv_heads * shape.head_dim;
  add("token_embd.weight", m, {shape.vocab, shape.hidden}, 0.0f, 1.0f);
  for (int64_t i = 0; i < shape.layers; ++i) {
    const std::string prefix = "blk." + std::to_string(i) + ".";
    add(prefix + "attn_norm.weight", DType::kF32, {shape.hidden}, 1.0f, 0.1f);
    add(prefix + "attn_q.weight", m, {q, shape.hidden}, 0.0f, 0.2f);
    add(prefix + "attn_k.weight", m, {kv, shape.hidden}, 0.0f, 0.2f);
    add(prefix + "attn_v.weight", m, {kv, shape.hidden}, 0.0f, 0.2f);
    add(prefix + "attn_output.weight", m, {shape.hidden, q}, 0.0f, 0.2f);
    add(prefix + "ffn_norm.weight", DType::kF32, {shape.hidden}, 1.0f, 0.1f);
    add(prefix + "ffn_gate.weight", m, {shape.ffn, shape.hidden}, 0.0f, 0.2f);
    add(prefix + "ffn_up.weight", m, {shape.ffn, shape.hidden}, 0.0f, 0.2f);
    add(prefix + "ffn_down.weight", m, {shape.hidden, shape.ffn}, 0.0f, 0.2f);
  }
  add("output_norm.weight", DType::kF32, {shape.hidden}, 1.0f, 0.1f);
  return writer.serialize();
}

/// A device and a model made from such a file.
struct TinyLlama {
  std::unique_ptr<Device> device;
  std::unique_ptr<Model> model;

  static TinyLlama make(const TinyLlamaShape& shape, Precision precision, int num_threads,
                        CpuLevel level, uint64_t seed = 1) {
    const std::string bytes = tiny_llama_gguf(shape, seed);
    const auto file = GgufFile::parse(std::as_bytes(std::span(bytes)));
    EXPECT_TRUE(file) << file.error().message;
    const auto config = config_from_gguf(*file);
    EXPECT_TRUE(config) << config.error().message;
    TinyLlama made;
    made.device = std::make_unique<Device>(num_threads, false, level);
    auto model = load_model(*made.device, *file, *config, {precision, 0});
    EXPECT_TRUE(model) << model.error().message;
    made.model = std::move(*model);
    return made;
  }
};

/// The kernel levels that this CPU can run, the best first. In checked builds that one only: the
/// tests of the kernels run all of them there, too.
inline std::vector<CpuLevel> supported_levels() {
  std::vector<CpuLevel> levels;
  for (const CpuLevel level : kCpuLevels) {
    if (cpu_level_supported(level)) levels.push_back(level);
    if (kCheckedBuild && !levels.empty()) break;
  }
  return levels;
}

}  // namespace minke
