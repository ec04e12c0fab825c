// Goal: a model whose weights lie in a packed file has the bits of one in memory, and a packed file
// of other bytes, another precision or other kernels is never used.
// Method: small random models of DeepSeek's and Llama's shape; the file damaged, the source
// changed.
#include "minke/models/packed_model.h"

#include <fstream>

#include "tests/models/cached_logits.h"
#include "tests/models/tiny_deepseek.h"
#include "tests/models/tiny_llama.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

class PackedModelTest : public ::testing::Test {
 protected:
  void write_source(uint64_t seed, DType matrices = DType::kQ8_0) const {
    TinyDeepSeekShape shape;
    shape.matrices = matrices;
    shape.noise = 0.7;
    std::ofstream(source(), std::ios::binary) << TinyDeepSeekWriter(shape, seed).write();
  }
  fs::path source() const { return folder_.path() / "tiny.gguf"; }
  ModelFile open() const {
    auto file = ModelFile::open(source());
    EXPECT_TRUE(file) << file.error().message;
    return std::move(*file);
  }
  static std::vector<float> logits_of(const Device& device, const Model& model) {
    const std::vector<int32_t> tokens = {5, 17, 99, 4, 4, 63, 20, 1};
    return cached_logits(device, model, tokens, 3, DType::kF16, 5);
  }
  std::vector<float> in_memory(const ModelFile& file, LoadOptions options) const {
    const auto model = load_model(device_, file.weights(), file.config(), options);
    EXPECT_TRUE(model) << model.error().message;
    return logits_of(device_, **model);
  }
  Result<std::unique_ptr<Model>> load(const Device& device, const ModelFile& file,
                                      const LoadOptions& options, uint64_t memory_bytes = 0) {
    packed_ = false;
    const auto seen = [this](uint64_t bytes) {
      packed_ = packed_ || bytes > 0;
      return true;
    };
    return load_packed_model(device, file, options, {folder(), memory_bytes}, seen);
  }
  std::vector<float> packed_logits(const Device& device, const ModelFile& file,
                                   const LoadOptions& options, uint64_t memory_bytes = 0) {
    const auto model = load(device, file, options, memory_bytes);
    EXPECT_TRUE(model) << model.error().message;
    return model ? logits_of(device, **model) : std::vector<float>();
  }
  fs::path folder() const { return folder_.path() / "packed"; }

  const ScratchFolder folder_;
  const Device device_{3, false, supported_levels().front()};
  bool packed_ = false;  // by the last load
};

TEST_F(PackedModelTest, HasTheBitsOfMemoryWithAnyThreadsAndMemory) {
  for (const DType dtype : {DType::kQ8_0, DType::kBf16, DType::kF32}) {
    write_source(1, dtype);
    const ModelFile file = open();
    const auto precision = dtype == DType::kQ8_0 ? Precision::kInt8 : Precision::kF32;
    for (const bool latents : {false, true}) {
      const LoadOptions options{precision, 64, latents, 1};
      const std::vector<float> expected = in_memory(file, options);
      EXPECT_EQ(packed_logits(device_, file, options), expected);
      EXPECT_TRUE(packed_);
      for (const int threads : {1, 2}) {
        const Device device(threads, false, device_.level());
        EXPECT_EQ(packed_logits(device, file, options, threads * 10'000), expected);
        EXPECT_FALSE(packed_) << "made once";
      }
    }
  }
}

TEST_F(PackedModelTest, AnMtpModuleMayBeWantedLater) {
  write_source(1);
  const ModelFile file = open();
  ASSERT_TRUE(load(device_, file, {Precision::kInt8, 64, {}, 0}));
  EXPECT_TRUE(packed_);
  const auto model = load(device_, file, {Precision::kInt8, 64, {}, 1});
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_FALSE(packed_);
  EXPECT_EQ((*model)->config().num_nextn_predict_layers, 1);
}

TEST_F(PackedModelTest, MatricesLieInTheMapAndCannotBeTrained) {
  write_source(1, DType::kF32);
  const ModelFile file = open();
  const auto model = load(device_, file, {Precision::kF32, 64});
  ASSERT_TRUE(model) << model.error().message;
  for (const Parameter& parameter : (*model)->parameters().parameters()) {
    EXPECT_EQ(parameter.value.read_only(), parameter.rows > 0) << parameter.names.front();
    EXPECT_EQ(parameter.trainable(), parameter.rows == 0) << parameter.names.front();
  }
}

TEST_F(PackedModelTest, AChangedSourceIsPackedAnewInTheSamePlace) {
  write_source(1);
  const LoadOptions options{Precision::kInt8, 64};
  const std::vector<float> before = packed_logits(device_, open(), options);
  write_source(2);
  const ModelFile changed = open();
  const std::vector<float> after = packed_logits(device_, changed, options);
  EXPECT_TRUE(packed_);
  EXPECT_NE(before, after);
  EXPECT_EQ(after, in_memory(changed, options));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder()), fs::directory_iterator()), 1);
}

TEST_F(PackedModelTest, OldTimesDoNotHideOtherContent) {
  write_source(1);
  const auto time = fs::last_write_time(source());
  const LoadOptions options{Precision::kInt8, 64};
  const std::string identity = packed_identity(device_, open(), options);
  EXPECT_EQ(packed_identity(device_, open(), options), identity);
  write_source(2);
  fs::last_write_time(source(), time);
  EXPECT_NE(packed_identity(device_, open(), options), identity);
}

TEST_F(PackedModelTest, PrecisionsAndKernelsHaveFilesOfTheirOwn) {
  write_source(1);
  const ModelFile file = open();
  const Device ref(1, false, CpuLevel::kRef);
  const LoadOptions int8{Precision::kInt8, 64}, f32{Precision::kF32, 64};
  std::set<fs::path> paths = {packed_path(device_, file, int8, folder()),
                              packed_path(device_, file, f32, folder())};
  std::set<std::string> identities = {packed_identity(device_, file, int8),
                                      packed_identity(device_, file, f32)};
  EXPECT_EQ(paths.size(), 2u);
  EXPECT_EQ(identities.size(), 2u);
  if (device_.level() == CpuLevel::kRef) return;
  EXPECT_TRUE(paths.insert(packed_path(ref, file, int8, folder())).second);
  EXPECT_TRUE(identities.insert(packed_identity(ref, file, int8)).second);
}

// Also when it has the right name, which a hash of 64 bits cannot promise.
TEST_F(PackedModelTest, AFileOfOtherKernelsOrDamagedIsMadeAnew) {
  write_source(1);
  const ModelFile file = open();
  const LoadOptions options{Precision::kInt8, 64}, f32{Precision::kF32, 64};
  const std::vector<float> expected = packed_logits(device_, file, options);
  ASSERT_TRUE(load(device_, file, f32));
  const fs::path path = packed_path(device_, file, options, folder());
  fs::copy_file(packed_path(device_, file, f32, folder()), path,
                fs::copy_options::overwrite_existing);
  EXPECT_EQ(packed_logits(device_, file, options), expected);
  EXPECT_TRUE(packed_);
  fs::resize_file(path, fs::file_size(path) - 64);
  EXPECT_EQ(packed_logits(device_, file, options), expected);
  EXPECT_TRUE(packed_);
  EXPECT_EQ(packed_logits(device_, file, options), expected);
  EXPECT_FALSE(packed_);
}

TEST_F(PackedModelTest, ACorruptSourceIsTheSameErrorAndLeavesNothing) {
  TinyDeepSeekShape shape;
  shape.layers = 3;
  std::string bytes = TinyDeepSeekWriter(shape, 1).write();
  const std::string name = "blk.2.ffn_down_shexp.weight";
  const size_t at = bytes.find(name);
  ASSERT_NE(at, std::string::npos);
  bytes[at + 4] = '9';  // a tensor of the last layer is missing
  std::ofstream(source(), std::ios::binary) << bytes;
  const ModelFile file = open();
  const LoadOptions options{Precision::kF32, 64};
  const auto expected = load_model(device_, file.weights(), file.config(), options);
  const auto model = load(device_, file, options);
  ASSERT_FALSE(expected);
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(model.error().message, expected.error().message);
  EXPECT_TRUE(fs::is_empty(folder()));
}

TEST_F(PackedModelTest, ASourceThatChangesWhileItIsPackedIsRefused) {
  write_source(1);
  const ModelFile file = open();
  const auto touch = [this](uint64_t bytes) {
    if (bytes > 0) fs::last_write_time(source(), fs::file_time_type::clock::now());
    return true;
  };
  const auto model = load_packed_model(device_, file, {Precision::kInt8, 64}, {folder(), 0}, touch);
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code, ErrorCode::kFailed);
  EXPECT_NE(model.error().message.find("changed while"), std::string::npos);
  EXPECT_TRUE(fs::is_empty(folder()));
}

TEST_F(PackedModelTest, CanBeInterrupted) {
  write_source(1);
  const ModelFile file = open();
  const auto stop = [](uint64_t bytes) { return bytes < 20'000; };
  const auto model = load_packed_model(device_, file, {Precision::kInt8, 64}, {folder(), 0}, stop);
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code, ErrorCode::kInterrupted);
  EXPECT_TRUE(fs::is_empty(folder()));
}

}  // namespace
}  // namespace minke
