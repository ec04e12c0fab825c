// Goal: a model is quantised as its mixture, rules and importance say, to the same bytes whatever
// the threads, and wrong input is told. Method: small GGUF files written here, read back and
// compared with the encoder row by row.
#include "minke/convert/quantize.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>

#include "minke/base/files.h"
#include "minke/base/random.h"
#include "minke/dtype/block_format.h"
#include "minke/format/gguf_writer.h"
#include "tests/golden/golden_path.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

class Quantize : public testing::Test {
 protected:
  Quantize() {
    folder_ = fs::temp_directory_path() / fmt::format("minke-quantize-{}", ::getpid());
    fs::create_directories(folder_);
  }
  ~Quantize() override { fs::remove_all(folder_); }

  // A llama of two layers without a tokenizer, in every kind of source format.
  fs::path write_source() {
    Random random(3);
    GgufWriter writer;
    writer.add("general.architecture", "llama");
    writer.add("general.name", "a small one");
    writer.add("llama.block_count", uint32_t{2});
    writer.add("llama.attention.head_count", uint32_t{4});
    const auto add = [&](const std::string& name, const Shape& shape, DType dtype) {
      std::vector<float> values(static_cast<size_t>(shape.num_elements()));
      for (float& x : values) x = static_cast<float>(random.normal());
      std::vector<std::byte> bytes(static_cast<size_t>(dtype_bytes(dtype, shape.num_elements())));
      const DTypeInfo& info = dtype_info(dtype);
      info.encode(values.data(), shape.num_elements() / info.block_size, bytes.data());
      writer.add_tensor(name, dtype, shape, bytes);
    };
    add("token_embd.weight", {37, 512}, DType::kF16);
    add("blk.0.attn_norm.weight", {512}, DType::kF32);
    add("blk.0.attn_v.weight", {128, 512}, DType::kBf16);
    add("blk.1.attn_v.weight", {128, 512}, DType::kF16);
    add("blk.1.ffn_down.weight", {512, 96}, DType::kF32);
    add("blk.1.ffn_up_exps.weight", {3, 64, 256}, DType::kF16);
    add("output.weight", {37, 512}, DType::kQ8_0);
    const fs::path path = folder_ / "source.gguf";
    EXPECT_TRUE(writer.write(path));
    return path;
  }

  QuantizeOptions options_for(std::string_view mixture, int num_threads = 2) {
    QuantizeOptions options;
    options.mixture = find_mixture(mixture);
    options.writing.num_threads = num_threads;
    return options;
  }

  fs::path folder_;
};

std::vector<float> decoded(const WeightInfo& info) {
  std::vector<float> values(static_cast<size_t>(info.shape.num_elements()));
  const DTypeInfo& dtype = dtype_info(info.dtype);
  dtype.decode(info.bytes.data(), info.shape.num_elements() / dtype.block_size, values.data());
  return values;
}

TEST_F(Quantize, EachTensorIsEncodedInItsFormat) {
  const fs::path source = write_source(), path = folder_ / "out.gguf";
  const auto report = quantize_model(source, path, options_for("Q4_K_S"));
  ASSERT_TRUE(report) << report.error().message;
  const auto before = GgufFile::open(source), after = GgufFile::open(path);
  ASSERT_TRUE(before && after);
  const std::map<std::string, DType> expected = {
      {"token_embd.weight", DType::kQ4_K},     {"blk.0.attn_norm.weight", DType::kF32},
      {"blk.0.attn_v.weight", DType::kQ5_K},   {"blk.1.attn_v.weight", DType::kQ5_K},
      {"blk.1.ffn_down.weight", DType::kQ5_0}, {"blk.1.ffn_up_exps.weight", DType::kQ4_K},
      {"output.weight", DType::kQ6_K}};
  ASSERT_EQ(after->weights().size(), expected.size());
  for (const WeightInfo& info : after->weights()) {
    ASSERT_EQ(info.dtype, expected.at(info.name)) << info.name;
    const std::vector<float> values = decoded(*before->find(info.name));
    std::vector<std::byte> bytes(info.bytes.size());
    const DTypeInfo& dtype = dtype_info(info.dtype);
    dtype.encode(values.data(), info.shape.num_elements() / dtype.block_size, bytes.data());
    EXPECT_EQ(std::memcmp(bytes.data(), info.bytes.data(), bytes.size()), 0) << info.name;
  }
  EXPECT_EQ(after->get_uint("general.file_type").value_or(0), 14u);
  EXPECT_EQ(after->get_uint("general.quantization_version").value_or(0), 2u);
  EXPECT_EQ(after->get_string("general.name").value_or(""), "a small one");
}

TEST_F(Quantize, TheReportCountsWhatIsInTheFile) {
  const fs::path source = write_source(), path = folder_ / "out.gguf";
  const auto report = quantize_model(source, path, options_for("Q8_0"));
  ASSERT_TRUE(report);
  const auto before = GgufFile::open(source), after = GgufFile::open(path);
  ASSERT_TRUE(before && after);
  uint64_t bytes = 0;
  double error = 0, weights = 0;
  for (const WeightInfo& info : after->weights()) {
    bytes += info.bytes.size();
    if (info.name == "output.weight" || info.name == "blk.0.attn_norm.weight") continue;  // copied
    const std::vector<float> x = decoded(*before->find(info.name)), y = decoded(info);
    for (size_t i = 0; i < x.size(); ++i) {
      error += std::pow(double{y[i]} - x[i], 2);
      weights += std::pow(double{x[i]}, 2);
    }
  }
  EXPECT_EQ(report->bytes, bytes);
  ASSERT_EQ(report->formats.size(), 2u);
  EXPECT_EQ(report->formats[0].dtype, DType::kQ8_0);
  EXPECT_EQ(report->formats[0].num_tensors, 6);
  EXPECT_NEAR(report->formats[0].squared_error, error, 1e-5 * error);
  EXPECT_NEAR(report->formats[0].squared_weights, weights, 1e-5 * weights);
}

TEST_F(Quantize, TheBytesDoNotDependOnTheThreads) {
  const fs::path source = write_source();
  std::string first;
  for (const int num_threads : {1, 2, 5}) {
    const fs::path path = folder_ / fmt::format("{}.gguf", num_threads);
    ASSERT_TRUE(quantize_model(source, path, options_for("Q3_K_M", num_threads)));
    const auto bytes = read_file(path);
    ASSERT_TRUE(bytes);
    if (first.empty()) first = *bytes;
    EXPECT_TRUE(*bytes == first) << num_threads << " threads";
  }
}

TEST_F(Quantize, ImportanceMovesTheErrorToWhereInputsAreSmall) {
  const fs::path source = write_source(), matrix = folder_ / "imatrix.gguf";
  InputSquares squares{256, {}, {10, 0, 4}};
  for (int i = 0; i < 3 * 256; ++i) squares.sums.push_back(i % 2 == 0 ? 100.0 : 1.0);
  Importance written;
  written.add("blk.1.ffn_up_exps.weight", squares);
  ASSERT_TRUE(written.write(matrix, "a text"));
  const auto importance = Importance::open(matrix);
  ASSERT_TRUE(importance) << importance.error().message;
  QuantizeOptions options = options_for("Q4_K_S");
  ASSERT_TRUE(quantize_model(source, folder_ / "without.gguf", options));
  options.importance = &*importance;
  options.importance_name = "imatrix.gguf";
  const auto report = quantize_model(source, folder_ / "with.gguf", options);
  ASSERT_TRUE(report) << report.error().message;
  const auto before = GgufFile::open(source), with = GgufFile::open(folder_ / "with.gguf"),
             without = GgufFile::open(folder_ / "without.gguf");
  ASSERT_TRUE(before && with && without);
  EXPECT_EQ(with->get_uint("quantize.imatrix.entries_count").value_or(0), 1u);
  double errors[2][2] = {};  // [with importance][small inputs]
  const std::vector<float> x = decoded(*before->find("blk.1.ffn_up_exps.weight"));
  for (const bool is_with : {false, true}) {
    const std::vector<float> y =
        decoded(*(is_with ? *with : *without).find("blk.1.ffn_up_exps.weight"));
    for (size_t i = 0; i < x.size(); ++i) {
      errors[is_with][i % 2] += std::pow(double{y[i]} - x[i], 2);
    }
  }
  EXPECT_LT(errors[true][false], 0.99 * errors[false][false]);
  EXPECT_GT(errors[true][true], errors[false][true]);
}

TEST_F(Quantize, ImportanceOfAnotherModelOrOfNoneIsAnError) {
  const fs::path source = write_source();
  Importance other;
  other.add("blk.0.attn_v.weight", {96, std::vector<double>(96, 1.0), {1}});
  QuantizeOptions options = options_for("Q4_0");
  options.importance = &other;
  const auto result = quantize_model(source, folder_ / "out.gguf", options);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kUsage);
  EXPECT_FALSE(fs::exists(folder_ / "out.gguf"));
  ASSERT_TRUE(write_file_atomic(folder_ / "broken", std::string("\x02\0\0\0\xff\xff\xff\x7fx", 9)));
  for (const fs::path& path : {source, folder_ / "broken"}) {
    const auto opened = Importance::open(path);
    ASSERT_FALSE(opened) << path;
    EXPECT_EQ(opened.error().code, ErrorCode::kCorrupt);
  }
}

TEST_F(Quantize, TheOlderFormOfImportanceIsRead) {
  std::string bytes;
  const auto add = [&](const auto& value) {
    bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
  };
  add(int32_t{1});
  add(int32_t{5});
  bytes += "x.wei";
  add(int32_t{2});  // calls
  add(int32_t{4});
  for (const float value : {2.0f, 4.0f, 0.0f, 2.0f}) add(value);
  ASSERT_TRUE(write_file_atomic(folder_ / "imatrix.dat", bytes));
  const auto importance = Importance::open(folder_ / "imatrix.dat");
  ASSERT_TRUE(importance) << importance.error().message;
  const auto weights = importance->weights("x.wei", 1, 4);
  ASSERT_TRUE(weights);
  EXPECT_NEAR((*weights)[1] / (*weights)[0], 2.0f, 0.01f);
  EXPECT_GT((*weights)[2], 0.0f);
  for (size_t cut = 0; cut < bytes.size(); ++cut) {
    ASSERT_TRUE(write_file_atomic(folder_ / "cut.dat", bytes.substr(0, cut)));
    EXPECT_FALSE(Importance::open(folder_ / "cut.dat")) << cut;
  }
}

TEST_F(Quantize, AFileOfAFolderStandsForTheFolder) {
  const fs::path source = golden_path("hf/llama");
  std::string of_folder;
  for (const char* name : {"", "model.safetensors", "config.json"}) {
    const fs::path path = folder_ / "out.gguf";
    QuantizeOptions options = options_for("Q8_0");
    options.overwrite = true;
    const auto report = quantize_model(source / name, path, options);
    ASSERT_TRUE(report) << name << ": " << report.error().message;
    const auto bytes = read_file(path);
    ASSERT_TRUE(bytes);
    if (of_folder.empty()) of_folder = *bytes;
    EXPECT_TRUE(*bytes == of_folder) << name;
  }
}

TEST_F(Quantize, ADestinationThatExistsIsKept) {
  const fs::path source = write_source(), path = folder_ / "out.gguf";
  ASSERT_TRUE(write_file_atomic(path, "GGUF: mine"));
  const auto refused = quantize_model(source, path, options_for("Q8_0"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUsage);
  EXPECT_EQ(read_file(path).value_or(""), "GGUF: mine");
  QuantizeOptions options = options_for("Q8_0");
  options.overwrite = true;
  options.writing.progress = [](uint64_t, uint64_t) { return false; };
  const auto stopped = quantize_model(source, path, options);
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, ErrorCode::kInterrupted);
  EXPECT_EQ(read_file(path).value_or(""), "GGUF: mine") << "a file is there whole or not at all";
  EXPECT_FALSE(quantize_model(source, source, options)) << "onto itself";
}

}  // namespace
}  // namespace minke
