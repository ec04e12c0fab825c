#include "minke/format/fp8_scales.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "minke/base/utf8.h"

namespace minke {
namespace {

constexpr std::string_view kSuffix = "_scale_inv";

int64_t num_blocks(int64_t size, int64_t block) { return size / block + (size % block != 0); }

Result<void> attach(WeightInfo& matrix, const WeightInfo& scales, const Fp8Blocks& blocks) {
  const bool is_matrix = matrix.dtype == DType::kF8E4M3 && matrix.shape.num_dims() == 2;
  if (!is_matrix || blocks.rows < 1 || blocks.cols < 1) {
    return fail(ErrorCode::kCorrupt,
                "tensor '{}' is {} {} with scales, which only matrices of f8_e4m3 have, in a "
                "checkpoint whose config.json says so in quantization_config",
                printable_name(matrix.name), dtype_info(matrix.dtype).name, matrix.shape.text());
  }
  const Shape expected{num_blocks(matrix.shape[0], blocks.rows),
                       num_blocks(matrix.shape[1], blocks.cols)};
  constexpr DType kFormats[] = {DType::kF32, DType::kF16, DType::kBf16, DType::kF8E8M0};
  const bool known =
      std::find(std::begin(kFormats), std::end(kFormats), scales.dtype) != std::end(kFormats);
  if (!(scales.shape == expected) || !known) {
    return fail(ErrorCode::kCorrupt,
                "tensor '{}' is {} {}, expected f32, f16, bf16 or f8_e8m0 {}: a scale for each {} "
                "x {} of {}",
                printable_name(scales.name), dtype_info(scales.dtype).name, scales.shape.text(),
                expected.text(), blocks.rows, blocks.cols, matrix.shape.text());
  }
  matrix.scales = {scales.bytes, scales.dtype, blocks.rows, blocks.cols};
  return {};
}

}  // namespace

Result<void> attach_fp8_scales(std::vector<WeightInfo>& weights, const Fp8Blocks& blocks) {
  std::map<std::string, WeightInfo, std::less<>> scales;  // by the name of their matrix
  std::erase_if(weights, [&](WeightInfo& info) {
    if (!info.name.ends_with(kSuffix)) return false;
    const std::string of = info.name.substr(0, info.name.size() - kSuffix.size());
    scales.emplace(of, std::move(info));
    return true;
  });
  for (WeightInfo& info : weights) {
    const auto found = scales.find(info.name);
    if (found != scales.end()) {
      MK_TRY(attach(info, found->second, blocks));
      scales.erase(found);
    } else if (info.dtype == DType::kF8E4M3) {
      return fail(ErrorCode::kCorrupt, "tensor '{}' is f8_e4m3 without its scales, '{}{}'",
                  printable_name(info.name), printable_name(info.name), kSuffix);
    }
  }
  if (scales.empty()) return {};
  return fail(ErrorCode::kCorrupt, "tensor '{}' has the scales of a tensor that is not there",
              printable_name(scales.begin()->second.name));
}

}  // namespace minke
