#pragma once
#include <cstdint>
#include <vector>

#include "minke/tensor/tensor.h"

namespace minke {

/// How a model's rotary frequencies were changed for texts longer than it was first trained on. The
/// names are those of Hugging Face's rope_parameters.
struct RopeScaling {
  enum class Type {
    kDefault,  ///< not at all
    kLinear,   ///< all frequencies / factor
    kLlama3,   ///< Llama 3.1: low ones / factor, high ones kept, between them a blend
    kYarn,     ///< YaRN (Peng et al. 2023): the same with a ramp over the dimensions
  };
  Type type = Type::kDefault;
  double factor = 1.0;
  int64_t original_max_position_embeddings = 0;
  double low_freq_factor = 1.0;   ///< llama3
  double high_freq_factor = 4.0;  ///< llama3
  double beta_fast = 32.0;        ///< yarn
  double beta_slow = 1.0;         ///< yarn
  double attention_factor = 1.0;  ///< cosines and sines are multiplied by it
  /// Of each frequency, which is divided by it; empty: none (GGUF's rope_freqs.weight). Used with
  /// kDefault.
  std::vector<float> divisors;
};

/// YaRN's 0.1 mscale ln(factor) + 1; 1 where factor <= 1 (DeepSeek's yarn_get_mscale).
double yarn_mscale(double factor, double mscale);

/// The frequencies theta^(-2i / head_dim), scaled: head_dim/2 of them, rounded to f32 as
/// transformers does. attention_factor is none of their business.
std::vector<float> rope_frequencies(int64_t head_dim, double theta,
                                    const RopeScaling& scaling = {});

/// The cosines and sines of rotary embedding for positions 0 .. num_positions - 1: row p holds
/// head_dim/2 cosines, then as many sines, of p * theta^(-2i / head_dim) (RoFormer, eq. 15), the
/// frequencies scaled. Frequencies and angles are rounded to f32 first, as transformers does, so
/// that the two agree.
Tensor rope_table(int64_t num_positions, int64_t head_dim, double theta,
                  const RopeScaling& scaling = {});

}  // namespace minke
