#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "minke/base/result.h"
#include "minke/dtype/dtype.h"
#include "minke/format/weight_writer.h"

namespace minke {

/// What a file can be quantised to. Most are mixtures: the tensors that matter more get more bits.
enum class Mixture : uint8_t {
  kF32,
  kF16,
  kBf16,
  kQ8_0,
  kQ6_K,
  kQ5_K_M,
  kQ5_K_S,
  kQ4_K_M,
  kQ4_K_S,
  kQ5_1,
  kQ5_0,
  kQ4_1,
  kQ4_0,
  kQ3_K_L,
  kQ3_K_M,
  kQ3_K_S,
  kQ2_K,
};

/// A row of the table of mixtures.
struct MixtureInfo {
  Mixture mixture;
  std::string_view name;    ///< as llama.cpp's tools call it, "Q4_K_M"
  uint32_t file_type;       ///< general.file_type
  DType dtype;              ///< of most tensors
  std::string_view also{};  ///< another name, "Q4_K"
};

/// All mixtures, from the most bits to the fewest.
std::span<const MixtureInfo> mixtures();
/// The one of that name in any case, or nullptr.
const MixtureInfo* find_mixture(std::string_view name);

/// What the rules ask of a model. Counts that a file lacks are 0.
struct QuantizedModel {
  std::string architecture;  ///< general.architecture
  int64_t num_layers = 0;
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;
  int64_t num_experts = 0;
  bool has_importance = false;
};

/// Whether a mixture changes a tensor at all: matrices are, but not norms, gates of experts and
/// other small tensors that a model is sensitive to.
bool is_quantizable(std::string_view name, const Shape& shape);

/// `wanted`, or the next larger format that divides rows of so many elements: q4_k becomes q5_0,
/// q5_k q5_1, q6_k q8_0, smaller ones q4_0; f16 where 32 does not divide them either.
DType fitting_dtype(DType wanted, int64_t cols);

/// The format of each tensor (under GGUF's names, in any order): the same that llama.cpp's
/// llama-quantize chooses. What is not quantised keeps its format.
std::vector<DType> choose_dtypes(const MixtureInfo& mixture, const QuantizedModel& model,
                                 std::span<const WeightDeclaration> tensors);

/// A user's wish: tensors whose name the pattern matches get that format.
struct DTypeRule {
  std::string pattern;  ///< as of file names: * any text, ? any character, [abc] one of these
  DType dtype = DType::kF32;

  /// "blk.*.ffn_down.weight=Q6_K". kUsage for another form, or a format minke does not write.
  static Result<DTypeRule> parse(std::string_view text);
};

/// Applies the rules to the formats that were chosen, the first match of each tensor; those that
/// are not quantised are left alone. kUsage for a rule that matches no tensor that is.
Result<void> apply_rules(std::span<const DTypeRule> rules,
                         std::span<const WeightDeclaration> tensors, std::span<DType> dtypes);

}  // namespace minke
