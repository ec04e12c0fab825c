// What config.json says of weights that were quantised before they were published.
#include "minke/base/utf8.h"
#include "minke/models/model_settings.h"

namespace minke {
namespace {

constexpr int64_t kBlockMax = 1 << 16;

}  // namespace

Result<Fp8Blocks> ModelSettings::fp8_blocks() const {
  constexpr std::string_view kField = "quantization_config";
  const Json* value = is_gguf_ ? nullptr : find(kField);
  if (value == nullptr) return Fp8Blocks{};
  if (!value->is_object()) return wrong(kField, "an object");
  MK_ASSIGN(const ModelSettings given, from_json(*value));
  MK_ASSIGN(const std::string method, given.text("quant_method"));
  MK_ASSIGN(const std::string number, given.text("fmt", "e4m3"));
  MK_ASSIGN(const std::string scales, given.text("scale_fmt", "float"));
  if (method != "fp8" || number != "e4m3" || (scales != "float" && scales != "ue8m0")) {
    return fail(ErrorCode::kUsage,
                "the weights are quantised by '{}' ({}, scales {}), of which minke has fp8 (e4m3, "
                "scales float or ue8m0) only",
                printable_name(method), printable_name(number), printable_name(scales));
  }
  MK_ASSIGN(const auto block, given.sizes("weight_block_size", 1, kBlockMax));
  if (block.size() != 2) return given.wrong("weight_block_size", "two sizes, as in [128, 128]");
  return Fp8Blocks{block[0], block[1]};
}

}  // namespace minke
