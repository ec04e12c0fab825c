#pragma once
#include "minke/models/model.h"

namespace minke {

/// Of models that tests compute by hand: what a KV cache's pages need to know.
inline ModelConfig tiny_config(int64_t vocab_size) {
  ModelConfig config;
  config.architecture = "llama";
  config.num_hidden_layers = 2;
  config.num_attention_heads = 2;
  config.num_key_value_heads = 1;
  config.head_dim = 16;
  config.vocab_size = vocab_size;
  config.max_position_embeddings = 600;
  return config;
}

}  // namespace minke
