#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "minke/base/json.h"
#include "minke/format/fp8_scales.h"
#include "minke/format/gguf.h"
#include "minke/nn/rope_table.h"

namespace minke {

/// A model's settings by the names of Hugging Face's config.json, whether they come from one or
/// from GGUF's metadata. Reads are checked: kCorrupt, naming the setting as the file calls it, what
/// it is and what it should be.
class ModelSettings {
 public:
  /// `config` must be an object (kCorrupt else).
  static Result<ModelSettings> from_json(Json config);
  /// The metadata of architecture `name`; what GGUF keeps elsewhere is added: vocab_size is the
  /// rows of the embedding, tie_word_embeddings says that there is no head.
  static Result<ModelSettings> from_gguf(const GgufFile& file, std::string_view name);

  bool is_gguf() const { return is_gguf_; }
  bool has(std::string_view field) const { return find(field) != nullptr; }

  /// A whole number in [low, high]; `missing` where there is none or it is null.
  Result<int64_t> size(std::string_view field, int64_t low, int64_t high,
                       std::optional<int64_t> missing = {}) const;
  /// A finite number.
  Result<double> number(std::string_view field, std::optional<double> missing = {}) const;
  Result<bool> flag(std::string_view field, std::optional<bool> missing = {}) const;
  Result<std::string> text(std::string_view field, std::optional<std::string> missing = {}) const;
  /// rope_theta and the scaling, from rope_parameters (transformers 5), rope_theta and
  /// rope_scaling, or GGUF's rope.*.
  struct Rope {
    double theta = 10000.0;
    RopeScaling scaling;
    double mscale_all_dim = 0.0;  ///< DeepSeek's, which the scores' scale takes
  };
  Result<Rope> rope(int64_t max_position_embeddings) const;
  /// A list of up to 1024 whole numbers in [low, high]; empty where there is none or it is null.
  Result<std::vector<int64_t>> sizes(std::string_view field, int64_t low, int64_t high) const;
  /// How the weights are quantised, by config.json's quantization_config: not at all, or in FP8 in
  /// blocks; kUsage for other methods, which are named.
  Result<Fp8Blocks> fp8_blocks() const;

 private:
  explicit ModelSettings(Json config) : config_(std::move(config)) {}
  const Json* find(std::string_view field) const;
  /// The setting as the file calls it.
  std::string shown(std::string_view field) const;
  tl::unexpected<Error> wrong(std::string_view field, std::string_view expected) const;

  Json config_;  // an object
  std::string architecture_;
  bool is_gguf_ = false;
};

/// kUsage for the first of `flags` that is true.
Result<void> refuse_settings(const ModelSettings& settings,
                             std::span<const std::string_view> flags);

/// kUsage where `field` is there and is not `expected`, which is all that the architecture has.
Result<void> expect_text(const ModelSettings& settings, std::string_view field,
                         const std::string& expected);

}  // namespace minke
