// Goal: a safetensors file or folder of shards gives the tensors that its header names, and a
// header that lies an error that names the tensor. Method: files made here byte by byte.
#include "minke/format/safetensors.h"

#include <gtest/gtest.h>

#include <cstring>

#include "minke/base/random.h"
#include "tests/hub/scratch_folder.h"

namespace minke {
namespace {

std::string file_of(std::string_view header, std::string_view data) {
  const uint64_t length = header.size();
  std::string out(8, '\0');
  std::memcpy(out.data(), &length, 8);
  return out.append(header).append(data);
}

Result<SafetensorsFile> parse(const std::string& file) {
  return SafetensorsFile::parse(std::as_bytes(std::span(file)), "f");
}

std::string error_of(std::string_view header, std::string_view data) {
  const std::string file = file_of(header, data);
  const auto parsed = parse(file);
  EXPECT_FALSE(parsed) << header;
  if (parsed) return "";
  EXPECT_EQ(parsed.error().code, ErrorCode::kCorrupt);
  return parsed.error().message;
}

TEST(Safetensors, GivesTheTensorsOfItsHeader) {
  const std::string file = file_of(
      R"({"__metadata__": {"format": "pt"},
          "b": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [4, 16]},
          "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
          "scalar": {"dtype": "F16", "shape": [], "data_offsets": [16, 18]},
          "none": {"dtype": "F32", "shape": [0, 7], "data_offsets": [18, 18]},
          "ids": {"dtype": "I64", "shape": [1], "data_offsets": [18, 26]},
          "deep": {"dtype": "I8", "shape": [1, 1, 1, 1, 1], "data_offsets": [18, 19]}}   )",
      std::string("\0\0\x80\x3F"
                  "012345678901"
                  "\0\x3C"
                  "12345678",
                  26));
  const auto parsed = parse(file);
  ASSERT_TRUE(parsed) << parsed.error().message;
  ASSERT_EQ(parsed->weights().size(), 4u);
  const WeightInfo* a = parsed->find("a");
  ASSERT_NE(a, nullptr);
  EXPECT_EQ(a->dtype, DType::kF32);
  float value;
  std::memcpy(&value, a->bytes.data(), 4);
  EXPECT_EQ(value, 1.0f);
  const WeightInfo* b = parsed->find("b");
  ASSERT_NE(b, nullptr);
  EXPECT_EQ(b->shape, (Shape{2, 3}));
  EXPECT_EQ(b->bytes.size(), 12u);
  EXPECT_EQ(static_cast<char>(b->bytes[11]), '1');
  EXPECT_EQ(parsed->find("scalar")->shape.num_elements(), 1);
  EXPECT_TRUE(parsed->find("none")->bytes.empty());
  EXPECT_EQ(parsed->find("__metadata__"), nullptr);
  EXPECT_EQ(parsed->find("c"), nullptr);
  EXPECT_EQ(parsed->skipped(),
            (std::vector<std::string>{"ids (I64 [1])", "deep (I8 [1, 1, 1, 1, 1])"}));
  parsed->drop(b->bytes);  // nothing is mapped
}

TEST(Safetensors, HeadersThatLieNameTheTensor) {
  const auto with = [](std::string_view dtype, std::string_view shape, std::string_view offsets) {
    return error_of(fmt::format(R"({{"w": {{"dtype": "{}", "shape": {}, "data_offsets": {}}}}})",
                                dtype, shape, offsets),
                    "12345678");
  };
  for (const std::string& message :
       {with("F32", "[2]", "[0, 16]"), with("F32", "[3]", "[0, 8]"), with("F32", "[2]", "[8, 0]"),
        with("F32", "[-2]", "[0, 8]"), with("F32", "[2.0]", "[0, 8]"), with("F32", "2", "[0, 8]"),
        with("F32", "[2]", "[0]"), with("F32", "[2]", "[0, 8, 8]"), with("F99", "[2]", "[0, 8]"),
        with("F32", "[4611686018427387904, 4]", "[0, 0]"),
        with("F32", "[18446744073709551616]", "[0, 0]"), with("F32", "[2]", "[\"0\", 8]"),
        with("F32", "[2]", "[-8, 0]")}) {
    EXPECT_NE(message.find("f: tensor 'w': "), std::string::npos) << message;
  }
  EXPECT_NE(error_of(R"({"w": 3})", "").find("tensor 'w'"), std::string::npos);
  EXPECT_NE(error_of("[]", "").find("no JSON object"), std::string::npos);
  EXPECT_NE(error_of("{\"w\": ", "").find("no JSON object"), std::string::npos);
}

TEST(Safetensors, WhatIsNoSuchFileSaysSo) {
  for (const std::string& bytes :
       {std::string(), std::string("1234567"), std::string("version https://git-lfs.github.com"),
        std::string(8, '\xff'), std::string("\x10\0\0\0\0\0\0\0{}", 10)}) {
    const auto parsed = parse(bytes);
    ASSERT_FALSE(parsed);
    EXPECT_EQ(parsed.error().code, ErrorCode::kCorrupt);
    EXPECT_NE(parsed.error().message.find("f: no safetensors file"), std::string::npos);
  }
}

class SafetensorsShards : public testing::Test {
 protected:
  void write(const std::string& name, const std::string& content) const {
    ASSERT_TRUE(write_file_atomic(folder_.path() / name, content));
  }
  static std::string shard(const std::string& tensor, const std::string& data) {
    return file_of(
        fmt::format(R"({{"{}": {{"dtype": "I8", "shape": [{}], "data_offsets": [0, {}]}}}})",
                    tensor, data.size(), data.size()),
        data);
  }
  Result<SafetensorsFile> open() const {
    return SafetensorsFile::open(folder_.path() / "model.safetensors.index.json");
  }
  ScratchFolder folder_;
};

TEST_F(SafetensorsShards, AreOneFile) {
  write("model-1.safetensors", shard("a", "12"));
  write("model-2.safetensors", shard("b", "345"));
  write("model.safetensors.index.json",
        R"({"metadata": {"total_size": 5}, "weight_map": {"a": "model-1.safetensors",
            "b": "model-2.safetensors"}})");
  const auto file = open();
  ASSERT_TRUE(file) << file.error().message;
  ASSERT_EQ(file->weights().size(), 2u);
  EXPECT_EQ(static_cast<char>(file->find("b")->bytes[2]), '5');
  file->drop(file->find("b")->bytes);
  EXPECT_EQ(static_cast<char>(file->find("b")->bytes[2]), '5') << "read again from the file";
}

TEST_F(SafetensorsShards, ErrorsNameTheShard) {
  write("model-1.safetensors", shard("a", "12"));
  write("model-2.safetensors", shard("a", "12"));
  const auto index = [](const std::string& name) {
    return fmt::format(R"({{"weight_map": {{"a": "model-1.safetensors", "b": "{}"}}}})", name);
  };
  write("model.safetensors.index.json", index("model-3.safetensors"));
  EXPECT_EQ(open().error().code, ErrorCode::kNotFound);
  EXPECT_NE(open().error().message.find("model-3.safetensors"), std::string::npos);
  write("model.safetensors.index.json", index("model-2.safetensors"));
  EXPECT_NE(open().error().message.find("two of its files have a tensor 'a'"), std::string::npos);
  for (const char* name :
       {"../x.safetensors", "/etc/x.safetensors", "", "model.bin", "a\\u0000.safetensors"}) {
    write("model.safetensors.index.json", index(name));
    EXPECT_EQ(open().error().code, ErrorCode::kCorrupt) << name;
    EXPECT_NE(open().error().message.find("weight_map says 'b'"), std::string::npos) << name;
  }
  for (const char* text : {"", "[]", "{}", R"({"weight_map": {}})", R"({"weight_map": []})"}) {
    write("model.safetensors.index.json", text);
    EXPECT_EQ(open().error().code, ErrorCode::kCorrupt) << text;
  }
}

}  // namespace
}  // namespace minke
