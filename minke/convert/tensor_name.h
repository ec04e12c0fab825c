#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

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

}  // namespace minke
