// Goal: blocks decode to the very bits of Python's gguf, and encoding loses no more than
// llama.cpp's quantisers do. Method: numbers that those made, with the scripts beside them in
// tests/golden/formats.
#include <gtest/gtest.h>

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "minke/base/json.h"
#include "minke/dtype/block_format.h"
#include "minke/dtype/half.h"

namespace minke {
namespace {

std::vector<Json> golden_lines(const std::string& name) {
  const char* source = std::getenv("MINKE_SOURCE_DIR");
  if (source == nullptr) return {};
  std::ifstream file(std::filesystem::path(source) / "tests/golden/formats" / name);
  std::vector<Json> lines;
  for (std::string text; std::getline(file, text);) {
    auto line = parse_json(text);
    if (!line) return {};
    lines.push_back(std::move(*line));
  }
  if (!lines.empty()) lines.erase(lines.begin());  // versions
  return lines;
}

std::vector<std::byte> bytes_of(const Json& hex) {
  const std::string& text = hex.as_string();
  std::vector<std::byte> bytes(text.size() / 2);
  for (size_t i = 0; i < bytes.size(); ++i) {
    unsigned value = 0;
    std::from_chars(text.data() + 2 * i, text.data() + 2 * i + 2, value, 16);
    bytes[i] = static_cast<std::byte>(value);
  }
  return bytes;
}

std::map<std::string, DType, std::less<>> formats_by_name() {
  std::map<std::string, DType, std::less<>> formats;
  for (const BlockFormat& format : kBlockFormats) {
    formats.emplace(dtype_info(format.dtype).name, format.dtype);
  }
  return formats;
}

TEST(FormatsGolden, BlocksDecodeToTheBitsOfPythonsGguf) {
  const std::vector<Json> lines = golden_lines("decode.jsonl");
  const auto formats = formats_by_name();
  ASSERT_EQ(lines.size(), formats.size()) << "every block format has a line";
  for (const Json& line : lines) {
    const std::string& name = line.find("format")->as_string();
    ASSERT_TRUE(formats.contains(name)) << name;
    const DTypeInfo& info = dtype_info(formats.at(name));
    const std::vector<std::byte> blocks = bytes_of(*line.find("blocks"));
    const std::vector<std::byte> expected = bytes_of(*line.find("values"));
    std::vector<float> values(expected.size() / sizeof(float));
    const auto num_blocks = static_cast<int64_t>(values.size()) / info.block_size;
    ASSERT_EQ(blocks.size(), static_cast<size_t>(num_blocks * info.block_bytes)) << name;
    info.decode(blocks.data(), num_blocks, values.data());
    for (size_t i = 0; i < values.size(); ++i) {
      float wanted;
      std::memcpy(&wanted, expected.data() + 4 * i, 4);
      ASSERT_EQ(std::memcmp(&values[i], &wanted, 4), 0)
          << name << " element " << i << " is " << values[i] << ", gguf has " << wanted;
    }
  }
}

double squared_error(const DTypeInfo& info, const std::vector<float>& row) {
  const int64_t num_blocks = static_cast<int64_t>(row.size()) / info.block_size;
  std::vector<std::byte> blocks(static_cast<size_t>(num_blocks * info.block_bytes));
  std::vector<float> back(row.size());
  info.encode(row.data(), num_blocks, blocks.data());
  info.decode(blocks.data(), num_blocks, back.data());
  double error = 0;
  for (size_t i = 0; i < row.size(); ++i) error += std::pow(double{back[i]} - row[i], 2);
  return error;
}

TEST(FormatsGolden, EncodingLosesNoMoreThanLlamaCpps) {
  const std::vector<Json> lines = golden_lines("encode.jsonl");
  ASSERT_GE(lines.size(), 8u);
  const auto formats = formats_by_name();
  for (const Json& line : lines) {
    const std::vector<std::byte> halves = bytes_of(*line.find("values"));
    std::vector<float> row(halves.size() / 2);
    for (size_t i = 0; i < row.size(); ++i) {
      uint16_t half;
      std::memcpy(&half, halves.data() + 2 * i, 2);
      row[i] = f16_to_f32(half);
    }
    ASSERT_EQ(line.find("errors")->as_object().size(), 10u);
    for (const auto& [name, error] : line.find("errors")->as_object()) {
      EXPECT_LE(squared_error(dtype_info(formats.at(name)), row), error.as_double())
          << name << " of row " << line.find("row")->as_string();
    }
  }
}

}  // namespace
}  // namespace minke
