#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "minke/ops/ops.h"

namespace minke {

struct Parameter;

/// What an adapter adds to a matrix W [rows, cols], as files have it: W + scale B A (LoRA, arXiv
/// 2106.09685).
struct LoraDelta {
  int64_t rank = 0;
  int64_t rows = 0;
  int64_t cols = 0;
  double scale = 1.0;    ///< lora_alpha / rank, or / sqrt(rank), times what the user wants of it
  std::vector<float> a;  ///< [rank, cols], row-major
  std::vector<float> b;  ///< [rows, rank], row-major
};

/// By GGUF's name of the matrix; several adapters' follow one another.
using LoraDeltas = std::map<std::string, std::vector<LoraDelta>, std::less<>>;

/// The same as it computes: adds scale (x A^T) B^T to columns [row, row + B's rows) of a product.
/// A and B are Parameters of f32 (f64 in tests), which a tape can watch, so that they can be
/// trained while what they are added to is frozen.
struct Lora {
  const Parameter* a = nullptr;  ///< [rank, cols]
  const Parameter* b = nullptr;  ///< [rows, rank]
  double scale = 1.0;
  int64_t row = 0;  ///< of the matrix that it is added to

  /// y [n, d], whose rows from first_row on are of x [m, cols], with the addend. Where nothing is
  /// recorded, y's own memory holds the sum.
  Tensor add_to(const Context& context, const Tensor& y, const Tensor& x,
                int64_t first_row = 0) const;
};

}  // namespace minke
