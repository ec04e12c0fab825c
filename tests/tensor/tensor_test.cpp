// Goal: tensors share memory exactly where they say, and the arena hands freed memory out again.
#include "minke/tensor/tensor.h"

#include <gtest/gtest.h>

#include <cstring>

#include "minke/base/random.h"
#include "minke/tensor/device.h"

namespace minke {
namespace {

TEST(ShapeTest, CountsElementsAndRows) {
  EXPECT_EQ(Shape({}).num_elements(), 1);
  EXPECT_EQ(Shape({}).back(), 1);
  EXPECT_EQ(Shape({2, 3, 5}).num_elements(), 30);
  EXPECT_EQ(Shape({2, 3, 5}).num_rows(), 6);
  EXPECT_EQ(Shape({7}).num_rows(), 1);
  EXPECT_EQ(Shape({0, 4}).num_elements(), 0);
  EXPECT_EQ(Shape({2, 3}).text(), "[2, 3]");
  EXPECT_FALSE(Shape({2, 3}) == Shape({3, 2}));
  EXPECT_FALSE(Shape({2}) == Shape({2, 1}));
}

TEST(TensorTest, ColumnsAndRowsAreWindowsOnTheSameMemory) {
  const Tensor x = Tensor::zeros(DType::kF32, {3, 4});
  for (int i = 0; i < 12; ++i) x.data<float>()[i] = static_cast<float>(i);
  const Tensor window = x.rows(1, 3).columns(1, 3);
  EXPECT_EQ(window.shape(), Shape({2, 2}));
  EXPECT_FALSE(window.contiguous());
  EXPECT_EQ(window.view().row<float>(1)[0], 9.0f);
  window.view().row<float>(0)[1] = -1.0f;
  EXPECT_EQ(x.data<float>()[6], -1.0f);
  EXPECT_TRUE(x.rows(2, 3).columns(1, 3).contiguous()) << "one row is contiguous at any width";
}

TEST(TensorTest, MemoryLivesAsLongAsItsLastWindow) {
  Arena arena;
  Tensor window;
  {
    const Tensor x = Tensor::empty(arena, DType::kF64, {8, 8});
    x.data<double>()[9] = 2.5;
    window = x.columns(1, 2);
  }
  EXPECT_GT(arena.bytes_in_use(), 0u);
  EXPECT_EQ(window.view().row<double>(1)[0], 2.5);
  window = Tensor();
  EXPECT_EQ(arena.bytes_in_use(), 0u);
}

TEST(TensorTest, WindowsAndReshapedTensorsHaveNoNameOnTheTape) {
  const Tensor x = Tensor::zeros(DType::kF32, {2, 6}).with_var(7);
  EXPECT_EQ(x.var(), 7u);
  EXPECT_EQ(x.columns(0, 3).var(), 0u);
  EXPECT_EQ(x.rows(0, 1).var(), 0u);
  EXPECT_EQ(x.reshaped({3, 4}).var(), 0u);
}

TEST(TensorDeathTest, WindowsOutsideTheMatrixAbort) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const Tensor x = Tensor::zeros(DType::kF32, {3, 4});
  EXPECT_DEATH(x.columns(2, 5), "columns");
  EXPECT_DEATH(x.rows(-1, 2), "rows");
  EXPECT_DEATH(x.reshaped({5}), "reshape");
  EXPECT_DEATH(x.columns(0, 2).reshaped({6}), "reshape");
}

TEST(ArenaTest, ReusesFreedBlocksSoThatARepeatedStepTakesNoNewMemory) {
  Arena arena;
  const auto step = [&] {
    const Tensor a = Tensor::empty(arena, DType::kF32, {100, 30});
    const Tensor b = Tensor::empty(arena, DType::kF32, {100, 31});
    EXPECT_NE(a.data<float>(), b.data<float>());
  };
  step();
  const size_t held = arena.bytes_held();
  for (int i = 0; i < 10; ++i) step();
  EXPECT_EQ(arena.bytes_held(), held);
  EXPECT_EQ(arena.bytes_in_use(), 0u);
  arena.trim();
  EXPECT_EQ(arena.bytes_held(), 0u);
}

TEST(ArenaTest, BlocksInUseNeverOverlapAndAreAligned) {
  Arena arena;
  Random random(3);
  struct Block {
    std::byte* data;
    size_t bytes;
    int mark;
  };
  std::vector<Block> blocks;
  for (int i = 0; i < 2000; ++i) {
    if (!blocks.empty() && random.below(2) == 0) {
      const size_t pick = random.below(blocks.size());
      const Block block = blocks[pick];
      for (const size_t at : {size_t{0}, block.bytes / 2, block.bytes - 1}) {
        ASSERT_EQ(static_cast<int>(block.data[at]), block.mark);
      }
      arena.release(block.data, block.bytes);
      blocks[pick] = blocks.back();
      blocks.pop_back();
      continue;
    }
    const size_t bytes = 1 + random.below(20000);
    auto* data = static_cast<std::byte*>(arena.allocate(bytes));
    ASSERT_EQ(reinterpret_cast<uintptr_t>(data) % 64, 0u);
    std::memset(data, i % 256, bytes);
    blocks.push_back({data, bytes, i % 256});
  }
  for (const Block& block : blocks) arena.release(block.data, block.bytes);
  EXPECT_EQ(arena.bytes_in_use(), 0u);
}

TEST(DeviceTest, TakesNamedKernelsAndRefusesUnknownOnes) {
  const auto device = Device::create({.num_threads = 2, .kernels = "ref"});
  ASSERT_TRUE(device.has_value());
  EXPECT_EQ((*device)->level(), CpuLevel::kRef);
  EXPECT_EQ((*device)->pool().num_threads(), 2);
  const auto unknown = Device::create({.kernels = "mmx"});
  ASSERT_FALSE(unknown.has_value());
  EXPECT_EQ(unknown.error().code, ErrorCode::kUsage);
  EXPECT_NE(unknown.error().message.find("mmx"), std::string::npos);
  DeviceConfig negative;
  negative.num_threads = -1;
  EXPECT_FALSE(Device::create(negative).has_value());
}

}  // namespace
}  // namespace minke
