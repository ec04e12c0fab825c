#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "minke/models/model.h"

namespace minke {

/// A tensor's name in GGUF taken apart: "blk.3.ffn_up_exps.17.weight" is layer 3, part
/// "ffn_up_exps", expert 17. In files experts are one tensor, "blk.3.ffn_up_exps.weight"; the names
/// of single ones are those of models/hf_names.h.
struct TensorName {
  int64_t layer = -1;   ///< -1: of no layer
  std::string part;     ///< without layer, expert and suffix
  int64_t expert = -1;  ///< -1: of no single expert

  static TensorName of(std::string_view gguf_name);
};

/// The layers that a model's tensors are of: its own, then those of its MTP modules.
inline int64_t num_blocks(const ModelConfig& config) {
  return config.num_hidden_layers + config.num_nextn_predict_layers;
}

}  // namespace minke
