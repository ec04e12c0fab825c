// Goal: what the writer writes, the reader reads, with the types kept, in place and in the order of
// the calls; typed access refuses what is of another kind. Method: round trips.
#include "minke/format/gguf.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <limits>
#include <numeric>

#include "minke/format/gguf_writer.h"

namespace minke {
namespace {

std::span<const std::byte> as_bytes(const std::string& text) {
  return std::as_bytes(std::span(text));
}

template <class T>
std::span<const std::byte> as_bytes(const std::vector<T>& values) {
  return std::as_bytes(std::span(values));
}

template <class T>
void expect_number_round_trip(T lowest, T highest) {
  GgufWriter writer;
  writer.add("low", lowest);
  writer.add("high", highest);
  const std::vector<T> both = {lowest, highest};
  writer.add_array("both", std::span<const T>(both));
  const std::string bytes = writer.serialize();
  const auto file = GgufFile::parse(as_bytes(bytes));
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->find_value("low")->type, gguf_type_of<T>());
  const auto number = file->get_float("low");
  ASSERT_TRUE(number);
  EXPECT_EQ(*number, static_cast<double>(lowest));
  if constexpr (std::is_integral_v<T>) {
    const auto unsigned_value = file->get_uint("high");
    ASSERT_TRUE(unsigned_value);
    EXPECT_EQ(*unsigned_value, static_cast<uint64_t>(highest));
    EXPECT_EQ(file->get_uint("low").has_value(), lowest >= 0);
  } else {
    EXPECT_FALSE(file->get_uint("high"));
  }
  const auto array = file->get_array("both");
  ASSERT_TRUE(array);
  const auto numbers = array->template numbers<T>("both");
  ASSERT_TRUE(numbers);
  EXPECT_EQ(*numbers, both);
  EXPECT_FALSE(file->get_bool("low"));
  EXPECT_FALSE(file->get_string("low"));
}

TEST(Gguf, EveryNumberTypeKeepsItsTypeAndExtremeValues) {
  const auto check = []<class T>(T) {
    expect_number_round_trip<T>(std::numeric_limits<T>::lowest(), std::numeric_limits<T>::max());
  };
  check(uint8_t{});
  check(int8_t{});
  check(uint16_t{});
  check(int16_t{});
  check(uint32_t{});
  check(int32_t{});
  check(uint64_t{});
  check(int64_t{});
  check(float{});
  check(double{});
}

TEST(Gguf, StringsBoolsAndDefaultsAreReadByKey) {
  GgufWriter writer;
  writer.add("name", std::string_view("with \0 inside", 13));
  writer.add("yes", true);
  writer.add("no", false);
  const std::string bytes = writer.serialize();
  const auto file = GgufFile::parse(as_bytes(bytes));
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->get_string("name").value(), std::string_view("with \0 inside", 13));
  EXPECT_TRUE(file->get_bool("yes").value());
  EXPECT_FALSE(file->get_bool("no").value());
  EXPECT_EQ(file->get_uint_or("none", 7).value(), 7u);
  EXPECT_EQ(file->get_float_or("none", 0.5).value(), 0.5);
  EXPECT_EQ(file->get_string_or("none", "x").value(), "x");
  EXPECT_TRUE(file->get_bool_or("none", true).value());
  EXPECT_FALSE(file->get_uint_or("name", 7)) << "a value of another kind is an error, no default";
  const auto missing = file->get_uint("none");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().message, "gguf: metadata key 'none' is missing");
}

TEST(Gguf, StringArraysIterateInPlace) {
  const std::vector<std::string> texts = {"one", "", "drei", std::string(1000, 'x'), "\xff\xfe"};
  GgufWriter writer;
  writer.add_array("texts", texts);
  writer.add_array("empty", std::vector<std::string>{});
  const std::string bytes = writer.serialize();
  const auto file = GgufFile::parse(as_bytes(bytes));
  ASSERT_TRUE(file) << file.error().message;
  const GgufArray array = file->get_array("texts").value();
  std::vector<std::string> read;
  for (const std::string_view text : array.strings()) {
    EXPECT_TRUE(text.empty() ||
                (text.data() >= bytes.data() && text.data() < bytes.data() + bytes.size()));
    read.emplace_back(text);
  }
  EXPECT_EQ(read, texts);
  EXPECT_EQ(array.size(), texts.size());
  for (const std::string_view text : file->get_array("empty")->strings()) FAIL() << text;
}

TEST(Gguf, TensorsComeBackWithShapeFormatAndBytes) {
  std::vector<float> floats(2 * 3 * 4);
  std::iota(floats.begin(), floats.end(), 0.0f);
  const std::vector<uint8_t> blocks(2 * 20, 0x5A);
  const std::vector<float> scalar = {2.5f};
  for (const uint32_t alignment : {8u, 32u, 256u}) {
    GgufWriter writer(alignment);
    writer.add_tensor("b", DType::kQ4_1, {1, 64}, as_bytes(blocks));
    writer.add_tensor("a", DType::kF32, {2, 3, 4}, as_bytes(floats));
    writer.add_tensor("s", DType::kF32, {}, as_bytes(scalar));
    const std::string bytes = writer.serialize();
    const auto file = GgufFile::parse(as_bytes(bytes));
    ASSERT_TRUE(file) << file.error().message;
    EXPECT_EQ(file->alignment(), alignment);
    ASSERT_EQ(file->weights().size(), 3u);
    EXPECT_EQ(file->weights()[0].name, "b") << "the file's order is kept";
    const WeightInfo* a = file->find("a");
    ASSERT_NE(a, nullptr);
    EXPECT_EQ(a->shape, (Shape{2, 3, 4}));
    EXPECT_EQ(a->dtype, DType::kF32);
    ASSERT_EQ(a->bytes.size(), floats.size() * 4);
    EXPECT_EQ(std::memcmp(a->bytes.data(), floats.data(), a->bytes.size()), 0);
    EXPECT_EQ((a->bytes.data() - as_bytes(bytes).data()) % alignment, 0);
    EXPECT_EQ(file->find("b")->shape, (Shape{1, 64}));
    EXPECT_EQ(file->find("s")->shape.num_dims(), 0);
    EXPECT_EQ(file->find("c"), nullptr);
  }
}

TEST(Gguf, MetadataJsonKeepsTheOrderAndShortensLongArrays) {
  GgufWriter writer;
  writer.add("z", uint32_t{1});
  writer.add("a", 0.5f);
  writer.add("big", std::numeric_limits<uint64_t>::max());
  writer.add_array("texts", std::vector<std::string>{"x", "y", "z"});
  const std::vector<int32_t> numbers = {1, 2};
  writer.add_array("numbers", std::span<const int32_t>(numbers));
  const std::string bytes = writer.serialize();
  const auto file = GgufFile::parse(as_bytes(bytes));
  ASSERT_TRUE(file);
  EXPECT_EQ(file->metadata_json(2).dump(),
            R"({"z":1,"a":0.5,"big":1.8446744073709552e+19,)"
            R"("texts":{"array_of":"string","count":3,"first":["x","y"]},"numbers":[1,2]})");
}

TEST(Gguf, AWrittenFileIsReadFromDiskAndKeepsItsViewsWhenMoved) {
  const auto folder = std::filesystem::path(testing::TempDir()) / "minke_gguf_test";
  const auto path = folder / "tiny.gguf";
  const std::vector<float> values = {1, 2, 3, 4};
  GgufWriter writer;
  writer.add("general.name", "tiny");
  writer.add_tensor("w", DType::kF32, {2, 2}, as_bytes(values));
  ASSERT_TRUE(writer.write(path));
  auto opened = GgufFile::open(path);
  ASSERT_TRUE(opened) << opened.error().message;
  const GgufFile file = std::move(*opened);
  EXPECT_EQ(file.get_string("general.name").value(), "tiny");
  file.drop(file.find("w")->bytes);
  file.drop_metadata();
  EXPECT_EQ(std::memcmp(file.find("w")->bytes.data(), values.data(), 16), 0);
  const auto none = GgufFile::open(folder / "none.gguf");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::kNotFound);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace minke
