// Goal: what is written in FP8 is what DeepSeek's checkpoints have, whatever it is made of, and is
// read back as that. Method: checkpoints of matrices with more than one block, cut off at their
// edges (tests/golden/hf); every number compared with one computed plainly here.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "minke/base/files.h"
#include "minke/convert/convert.h"
#include "minke/convert/hf_tensors.h"
#include "minke/dtype/fp8.h"
#include "minke/models/hf_folder.h"
#include "tests/golden/golden_path.h"
#include "tests/hub/scratch_folder.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

fs::path golden_folder(const std::string& name) { return golden_path("hf") / name; }

void convert(const fs::path& source, const fs::path& destination, std::optional<DType> type,
             Fp8ScaleFormat fp8 = Fp8ScaleFormat::kNone, int num_threads = 1) {
  ConvertOptions options;
  options.type = type;
  options.fp8 = fp8;
  options.writing.num_threads = num_threads;
  const auto report = convert_model(source, destination, options);
  ASSERT_TRUE(report) << source << ": " << report.error().message;
}

HfFolder opened(const fs::path& path) {
  auto folder = HfFolder::open(path);
  EXPECT_TRUE(folder) << folder.error().message;
  return std::move(*folder);
}

std::vector<float> values_of(const WeightInfo& info) {
  std::vector<float> values;
  append_decoded(info, 0, info.shape.num_rows(), values);
  return values;
}

// The smallest distance of |x| to a number that e4m3 has, so that the rounding is not ours.
float distance_to_e4m3(float x) {
  float best = INFINITY;
  for (int bits = 0; bits < 0x7F; ++bits) {
    best = std::min(best, std::abs(std::abs(x) - e4m3_to_f32(static_cast<uint8_t>(bits))));
  }
  return best;
}

// Checks one matrix against its weights before.
void check_matrix(const HfFolder& folder, const WeightInfo& before, Fp8ScaleFormat format) {
  const WeightInfo* weights = folder.weights.find(before.name);
  const WeightInfo* scales = folder.weights.find(before.name + "_scale_inv");
  ASSERT_TRUE(weights != nullptr && scales != nullptr) << before.name;
  const int64_t rows = before.shape[0], cols = before.shape[1], num_scales = (cols + 127) / 128;
  ASSERT_EQ(weights->dtype, DType::kF8E4M3);
  ASSERT_EQ(scales->dtype, DType::kF32);
  ASSERT_EQ(scales->shape, (Shape{(rows + 127) / 128, num_scales})) << before.name;
  const std::vector<float> x = values_of(before), s = values_of(*scales);
  std::vector<float> largest(s.size());
  for (int64_t i = 0; i < rows * cols; ++i) {
    const auto block = static_cast<size_t>(i / cols / 128 * num_scales + i % cols / 128);
    largest[block] = std::max(largest[block], std::abs(x[static_cast<size_t>(i)]));
    const float scaled = x[static_cast<size_t>(i)] / s[block];
    const float got = e4m3_to_f32(static_cast<uint8_t>(weights->bytes[static_cast<size_t>(i)]));
    ASSERT_EQ(std::abs(got - scaled), distance_to_e4m3(scaled)) << before.name << " " << i;
  }
  for (size_t block = 0; block < s.size(); ++block) {
    const float exact = largest[block] / 448.0f;
    if (format == Fp8ScaleFormat::kFloat) {
      EXPECT_EQ(s[block], exact);
    } else {
      EXPECT_EQ(std::exp2(std::ceil(std::log2(exact))), s[block]);
    }
  }
}

TEST(ConvertFp8, BlocksAreScaledByTheirLargestAndTheRestStays) {
  for (const char* name : {"qwen3-fp8", "deepseek-v3-fp8"}) {
    for (const Fp8ScaleFormat format : {Fp8ScaleFormat::kFloat, Fp8ScaleFormat::kUe8m0}) {
      const ScratchFolder scratch;
      const fs::path exact = scratch.path() / "f32", fp8 = scratch.path() / "fp8";
      convert(golden_folder(name), exact, DType::kF32);
      convert(exact, fp8, {}, format, 3);
      const HfFolder before = opened(exact), after = opened(fp8);
      int num_matrices = 0;
      for (const WeightInfo& info : before.weights.weights()) {
        if (is_fp8_matrix(info.name, info.shape)) {
          check_matrix(after, info, format);
          ++num_matrices;
          continue;
        }
        ASSERT_NE(after.weights.find(info.name), nullptr);
        EXPECT_EQ(after.weights.find(info.name)->dtype,
                  keeps_format(info.name) ? info.dtype : DType::kBf16);
      }
      EXPECT_GE(num_matrices, 14);
      const Json* settings = after.config.find("quantization_config");
      ASSERT_NE(settings, nullptr);
      EXPECT_EQ(settings->find("quant_method")->as_string(), "fp8");
      EXPECT_EQ(settings->find("scale_fmt") != nullptr, format == Fp8ScaleFormat::kUe8m0);
      EXPECT_EQ(after.config.find("dtype")->as_string(), "bfloat16");
    }
  }
}

void expect_same_files(const fs::path& a, const fs::path& b) {
  const HfFolder left = opened(a), right = opened(b);
  ASSERT_EQ(left.weights.weights().size(), right.weights.weights().size());
  for (const WeightInfo& info : left.weights.weights()) {
    const WeightInfo* other = right.weights.find(info.name);
    ASSERT_NE(other, nullptr) << info.name;
    if (keeps_format(info.name)) continue;  // the source's, which in GGUF is f32
    ASSERT_EQ(info.bytes.size(), other->bytes.size()) << info.name;
    EXPECT_EQ(std::memcmp(info.bytes.data(), other->bytes.data(), info.bytes.size()), 0)
        << info.name;
  }
}

TEST(ConvertFp8, AGgufFileGivesTheSameAsTheFolderItWasMadeOf) {
  const ScratchFolder scratch;
  const fs::path gguf = scratch.path() / "model.gguf";
  convert(golden_folder("deepseek-v3-fp8"), gguf, DType::kF32);
  convert(gguf, scratch.path() / "a", {}, Fp8ScaleFormat::kFloat, 4);
  convert(golden_folder("deepseek-v3-fp8"), scratch.path() / "b", {}, Fp8ScaleFormat::kFloat, 1);
  expect_same_files(scratch.path() / "a", scratch.path() / "b");
}

TEST(ConvertFp8, WhatIsInFp8WithPowersOfTwoStaysWhatItIs) {
  const ScratchFolder scratch;
  convert(golden_folder("qwen3-fp8"), scratch.path() / "a", {}, Fp8ScaleFormat::kUe8m0);
  convert(golden_folder("qwen3-fp8"), scratch.path() / "b", DType::kF32);
  convert(scratch.path() / "a", scratch.path() / "c", DType::kF32);
  const HfFolder before = opened(scratch.path() / "b"), after = opened(scratch.path() / "c");
  for (const WeightInfo& info : before.weights.weights()) {
    if (!is_fp8_matrix(info.name, info.shape)) continue;
    EXPECT_EQ(values_of(info), values_of(*after.weights.find(info.name))) << info.name;
  }
}

TEST(ConvertFp8, GgufHasNone) {
  const ScratchFolder scratch;
  ConvertOptions options;
  options.fp8 = Fp8ScaleFormat::kFloat;
  const auto refused = convert_model(golden_folder("qwen3"), scratch.path() / "a.gguf", options);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUsage);
}

TEST(ConvertFp8, TensorsLieWhereReadersOfNumbersCanViewThem) {
  const ScratchFolder scratch;
  convert(golden_folder("llama3"), scratch.path() / "a", {}, Fp8ScaleFormat::kFloat);
  const HfFolder folder = opened(scratch.path() / "a");
  for (const WeightInfo& info : folder.weights.weights()) {
    const auto size = static_cast<size_t>(dtype_bytes(info.dtype, 1));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(info.bytes.data()) % size, 0u) << info.name;
  }
}

}  // namespace
}  // namespace minke
