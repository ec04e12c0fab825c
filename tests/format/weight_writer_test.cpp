// Goal: what is streamed into a file is what the readers read, whatever the pieces, and nothing is
// there before finish(). Method: round trips, and the in-memory writer as the oracle of GGUF.
#include "minke/format/weight_writer.h"

#include <gtest/gtest.h>

#include <cstring>

#include "minke/base/random.h"
#include "minke/format/gguf_writer.h"
#include "minke/format/safetensors.h"
#include "tests/hub/scratch_folder.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

std::vector<WeightDeclaration> declarations() {
  return {{"b", DType::kBf16, {3, 5}},
          {"a", DType::kF32, {2, 2, 3}},
          {"none", DType::kF32, {0, 4}},
          {"scalar", DType::kF16, {}},
          {"c", DType::kI8, {7}}};
}

std::string bytes_of(std::span<const WeightDeclaration> tensors) {
  uint64_t total = 0;
  for (const WeightDeclaration& tensor : tensors) total += tensor.bytes();
  std::string bytes(total, '\0');
  Random random(1);
  for (char& c : bytes) c = static_cast<char>(random.next());
  return bytes;
}

Result<void> write_in_pieces(WeightWriter& writer, const std::string& bytes, size_t piece_bytes) {
  auto rest = std::as_bytes(std::span(bytes));
  while (!rest.empty()) {
    const auto piece = rest.first(std::min(piece_bytes, rest.size()));
    MK_TRY(writer.write(piece));
    rest = rest.subspan(piece.size());
  }
  return writer.finish();
}

void expect_tensors(const WeightFile& file, std::span<const WeightDeclaration> tensors,
                    const std::string& bytes) {
  EXPECT_EQ(file.weights().size(), tensors.size());
  size_t at = 0;
  for (const WeightDeclaration& tensor : tensors) {
    const WeightInfo* found = file.find(tensor.name);
    ASSERT_NE(found, nullptr) << tensor.name;
    EXPECT_EQ(found->dtype, tensor.dtype);
    EXPECT_EQ(found->shape, tensor.shape);
    ASSERT_EQ(found->bytes.size(), tensor.bytes());
    EXPECT_EQ(std::memcmp(found->bytes.data(), bytes.data() + at, found->bytes.size()), 0)
        << tensor.name;
    at += found->bytes.size();
  }
}

size_t num_entries(const fs::path& folder) {
  return static_cast<size_t>(std::distance(fs::directory_iterator(folder), {}));
}

TEST(WeightWriter, GgufIsThatOfTheWriterInMemoryWhateverThePieces) {
  auto tensors = declarations();
  tensors.erase(tensors.begin() + 2);  // GGUF has no tensors of size 0
  tensors.push_back({"q", DType::kQ4_1, {2, 64}});
  const std::string bytes = bytes_of(tensors);
  GgufWriter expected;
  expected.add("general.architecture", "none");
  size_t at = 0;
  for (const WeightDeclaration& tensor : tensors) {
    expected.add_tensor(tensor.name, tensor.dtype, tensor.shape,
                        std::as_bytes(std::span(bytes)).subspan(at, tensor.bytes()));
    at += tensor.bytes();
  }
  const ScratchFolder folder;
  const fs::path path = folder.path() / "new" / "model.gguf";
  for (const size_t piece : {size_t{1}, size_t{7}, bytes.size()}) {
    auto writer = create_gguf(path, expected, tensors);
    ASSERT_TRUE(writer) << writer.error().message;
    EXPECT_EQ(writer->total_bytes(), bytes.size());
    ASSERT_TRUE(write_in_pieces(*writer, bytes, piece));
    EXPECT_EQ(read_file(path).value(), expected.serialize());
  }
  EXPECT_EQ(num_entries(path.parent_path()), 1u);
}

TEST(WeightWriter, CopiedMetadataKeepsOrderAndTypesAndTakesNewValues) {
  GgufWriter source(64);
  source.add("u8", uint8_t{200});
  source.add("f64", 1.5);
  source.add("split.count", uint16_t{1});
  source.add("flag", true);
  source.add("text", std::string_view("a\0b", 3));
  const std::vector<int16_t> numbers = {-1, 2};
  source.add_array("numbers", std::span<const int16_t>(numbers));
  source.add_array("texts", std::vector<std::string>{"", "x y"});
  source.add("u64", ~uint64_t{0});
  const std::string bytes = source.serialize();
  const auto file = GgufFile::parse(std::as_bytes(std::span(bytes)));
  ASSERT_TRUE(file) << file.error().message;

  GgufWriter copy;
  copy.copy(*file);
  GgufWriter same;
  for (const GgufEntry& entry : file->metadata()) same.add(entry.key, entry.value);
  same.remove("general.alignment");
  same.remove("split.count");
  same.remove("not there");
  EXPECT_EQ(copy.serialize(), same.serialize());

  copy.add("flag", uint32_t{7});
  copy.add("last", "one");
  const std::string copied = copy.serialize();
  const auto read = GgufFile::parse(std::as_bytes(std::span(copied)));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->metadata_json(8).dump(),
            R"({"u8":200,"f64":1.5,"flag":7,"text":"a\u0000b","numbers":[-1,2],)"
            R"("texts":["","x y"],"u64":1.8446744073709552e+19,"last":"one"})");
  EXPECT_EQ(read->find_value("u8")->type, GgufType::kU8);
  EXPECT_EQ(read->get_array("numbers")->element_type(), GgufType::kI16);
}

TEST(WeightWriter, SafetensorsIsReadBack) {
  const auto tensors = declarations();
  const std::string bytes = bytes_of(tensors);
  for (const size_t piece : {size_t{1}, size_t{7}, bytes.size()}) {
    const ScratchFolder folder;
    auto writer = create_safetensors(folder.path(), tensors);
    ASSERT_TRUE(writer) << writer.error().message;
    ASSERT_TRUE(write_in_pieces(*writer, bytes, piece));
    EXPECT_EQ(num_entries(folder.path()), 1u);
    const auto file = SafetensorsFile::open(folder.path() / "model.safetensors");
    ASSERT_TRUE(file) << file.error().message;
    expect_tensors(*file, tensors, bytes);
  }
}

TEST(WeightWriter, MoreThanAShardBecomesShardsWithAnIndex) {
  const auto tensors = declarations();  // 30, 48, 0, 2 and 7 bytes
  const std::string bytes = bytes_of(tensors);
  const std::pair<uint64_t, size_t> shards_of[] = {{87, 1}, {86, 2}, {77, 2}, {50, 3}, {1, 5}};
  for (const auto& [bytes_max, num_shards] : shards_of) {
    const ScratchFolder folder;
    auto writer = create_safetensors(folder.path(), tensors, bytes_max);
    ASSERT_TRUE(writer) << writer.error().message;
    ASSERT_TRUE(write_in_pieces(*writer, bytes, 11));
    if (num_shards == 1) continue;
    EXPECT_EQ(num_entries(folder.path()), num_shards + 1) << bytes_max;
    const auto file = SafetensorsFile::open(folder.path() / "model.safetensors.index.json");
    ASSERT_TRUE(file) << file.error().message;
    expect_tensors(*file, tensors, bytes);
    EXPECT_TRUE(
        fs::exists(folder.path() / fmt::format("model-00001-of-{:05}.safetensors", num_shards)));
  }
}

TEST(WeightWriter, WithoutFinishNothingIsLeftAndTheOldFileStays) {
  const ScratchFolder folder;
  const fs::path path = folder.path() / "model.gguf";
  ASSERT_TRUE(write_file_atomic(path, "old"));
  {
    const auto tensors = declarations();
    auto writer = create_gguf(path, GgufMetadata(), tensors);
    ASSERT_TRUE(writer);
    const std::string bytes = bytes_of(tensors);
    ASSERT_TRUE(writer->write(std::as_bytes(std::span(bytes)).first(40)));
    auto shards = create_safetensors(folder.path(), tensors, 1);
    ASSERT_TRUE(shards);
    ASSERT_TRUE(shards->write(std::as_bytes(std::span(bytes)).first(40)));
    EXPECT_GT(num_entries(folder.path()), 1u);
  }
  EXPECT_EQ(num_entries(folder.path()), 1u);
  EXPECT_EQ(read_file(path).value(), "old");
}

TEST(WeightWriter, AFullDiskIsAnErrorThatSaysSo) {
  const auto tensors = declarations();
  const auto writer = create_gguf("/dev/full", GgufMetadata(), tensors);
  ASSERT_FALSE(writer);
  EXPECT_EQ(writer.error().code, ErrorCode::kWillNotFit);
  EXPECT_NE(writer.error().message.find("/dev/full"), std::string::npos);
}

}  // namespace
}  // namespace minke
