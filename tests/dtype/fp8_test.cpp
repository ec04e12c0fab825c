// Goal: FP8 bytes and f32 convert as in PyTorch, and what FP8 cannot hold becomes its largest.
// Method: numbers of tests/golden/formats/fp8.py, and e4m3 by its definition.
#include "minke/dtype/fp8.h"

#include <gtest/gtest.h>

#include <charconv>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

#include "minke/base/json.h"
#include "minke/dtype/dtype.h"
#include "tests/golden/golden_path.h"

namespace minke {
namespace {

class Fp8 : public testing::Test {
 protected:
  void SetUp() override {
    std::ifstream file(golden_path("formats/fp8.json"));
    std::stringstream text;
    text << file.rdbuf();
    auto parsed = parse_json(text.str());
    ASSERT_TRUE(parsed) << parsed.error().message;
    golden_ = std::move(*parsed);
  }

  std::vector<std::byte> bytes(std::string_view name) const {
    const std::string& hex = golden_.find(name)->as_string();
    std::vector<std::byte> out(hex.size() / 2);
    for (size_t i = 0; i < out.size(); ++i) {
      unsigned value = 0;
      std::from_chars(hex.data() + 2 * i, hex.data() + 2 * i + 2, value, 16);
      out[i] = static_cast<std::byte>(value);
    }
    return out;
  }
  std::vector<float> floats(std::string_view name) const {
    const std::vector<std::byte> raw = bytes(name);
    std::vector<float> out(raw.size() / sizeof(float));
    std::memcpy(out.data(), raw.data(), raw.size());
    return out;
  }

  Json golden_;
};

std::vector<float> decoded(DType dtype) {
  std::vector<std::byte> every(256);
  for (size_t i = 0; i < every.size(); ++i) every[i] = static_cast<std::byte>(i);
  std::vector<float> values(every.size());
  dtype_info(dtype).decode(every.data(), 256, values.data());
  return values;
}

void expect_same_bits(const std::vector<float>& found, const std::vector<float>& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    if (std::isnan(expected[i])) {
      EXPECT_TRUE(std::isnan(found[i])) << i;
    } else {
      EXPECT_EQ(std::bit_cast<uint32_t>(found[i]), std::bit_cast<uint32_t>(expected[i])) << i;
    }
  }
}

TEST_F(Fp8, AllBytesDecodeAsInPyTorch) {
  const std::vector<float> e4m3 = floats("e4m3"), e8m0 = floats("e8m0");
  expect_same_bits(decoded(DType::kF8E4M3), e4m3);
  expect_same_bits(decoded(DType::kF8E8M0), e8m0);
  EXPECT_TRUE(std::isnan(e4m3[0x7F]) && std::isnan(e4m3[0xFF]) && std::isnan(e8m0[0xFF]));
}

TEST_F(Fp8, NumbersEncodeAsInPyTorch) {
  const std::vector<float> values = floats("values");
  const std::vector<std::byte> expected = bytes("codes");
  ASSERT_GT(values.size(), 1000u);
  std::vector<std::byte> codes(values.size());
  dtype_info(DType::kF8E4M3)
      .encode(values.data(), static_cast<int64_t>(values.size()), codes.data());
  for (size_t i = 0; i < values.size(); ++i) {
    EXPECT_EQ(codes[i], expected[i]) << std::hexfloat << values[i];
  }
}

TEST_F(Fp8, EveryNumberComesBack) {
  for (int bits = 0; bits < 256; ++bits) {
    const auto code = static_cast<uint8_t>(bits);
    EXPECT_EQ(f32_to_e4m3(e4m3_to_f32(code)), code);
  }
}

TEST_F(Fp8, WhatIsTooLargeBecomesTheLargest) {
  for (const float value : {448.0f, 449.0f, 464.0f, 480.0f, 1e30f, HUGE_VALF}) {
    EXPECT_EQ(e4m3_to_f32(f32_to_e4m3(value)), kE4m3Max) << value;
    EXPECT_EQ(e4m3_to_f32(f32_to_e4m3(-value)), -kE4m3Max) << value;
  }
  EXPECT_TRUE(std::isnan(e4m3_to_f32(f32_to_e4m3(std::nanf("")))));
}

}  // namespace
}  // namespace minke
