// Goal: the bound on memory is the least of the machine's and of all cgroups around the process.
// Method: folders that look like /proc and mounted cgroups.
#include "minke/base/memory.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/hub/scratch_folder.h"

namespace minke {
namespace {

class MemoryTest : public ::testing::Test {
 protected:
  void SetUp() override { write("proc/meminfo", "MemTotal: 4000 kB\nMemAvailable: 3000 kB\n"); }

  void write(const std::string& path, const std::string& text) const {
    const std::filesystem::path file = folder_.path() / path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  void mount(const std::string& type, const std::string& root, const std::string& options) const {
    write("proc/self/mountinfo",
          fmt::format("20 1 0:5 / /sys rw - sysfs sysfs rw\n"
                      "30 20 0:26 {} {} rw,nosuid shared:9 - {} cgroup rw,{}\n",
                      root, (folder_.path() / "cgroup").string(), type, options));
  }
  AvailableMemory available() const { return available_memory(folder_.path() / "proc"); }

  const ScratchFolder folder_;
};

TEST_F(MemoryTest, WithoutCgroupsItIsTheMachines) {
  EXPECT_EQ(available().bytes, 3000u * 1024);
  EXPECT_EQ(available().bound_by, "this machine");
  EXPECT_EQ(meminfo_bytes("MemTotal", folder_.path() / "proc"), 4000u * 1024);
  EXPECT_EQ(meminfo_bytes("MemTotal", folder_.path()), 0u);
}

TEST_F(MemoryTest, AnOuterGroupOfVersion2BindsAndCachedFilesAreNotCounted) {
  mount("cgroup2", "/", "nsdelegate");
  write("proc/self/cgroup", "0::/outer/inner\n");
  write("cgroup/outer/inner/memory.max", "max\n");
  write("cgroup/outer/inner/memory.high", "max\n");
  write("cgroup/outer/memory.max", "2000000\n");
  write("cgroup/outer/memory.current", "900000\n");
  write("cgroup/outer/memory.stat", "anon 200000\nfile 700000\nshmem 100000\n");
  EXPECT_EQ(available().bytes, 2000000u - 300000);
  EXPECT_EQ(available().bound_by, "the cgroup's memory.max");
}

TEST_F(MemoryTest, HighIsALimitToo) {
  mount("cgroup2", "/", "nsdelegate");
  write("proc/self/cgroup", "0::/a\n");
  write("cgroup/a/memory.max", "2000000\n");
  write("cgroup/a/memory.high", "1000000\n");
  EXPECT_EQ(available().bytes, 1000000u);
  EXPECT_EQ(available().bound_by, "the cgroup's memory.high");
}

TEST_F(MemoryTest, AContainersRootOfVersion1IsFoundBelowItsMount) {
  mount("cgroup", "/docker/17", "memory");
  write("proc/self/cgroup", "5:cpu,cpuacct:/docker/17\n4:memory:/docker/17/job\n0::/\n");
  write("cgroup/job/memory.limit_in_bytes", "9223372036854771712\n");
  write("cgroup/memory.limit_in_bytes", "1500000\n");
  write("cgroup/memory.usage_in_bytes", "500000\n");
  write("cgroup/memory.stat", "cache 1\ntotal_cache 400000\ntotal_shmem 0\n");
  EXPECT_EQ(available().bytes, 1400000u);
  EXPECT_EQ(available().bound_by, "the cgroup's memory.limit_in_bytes");
}

TEST_F(MemoryTest, AFullGroupLeavesNextToNothingAndIsNotUnknown) {
  mount("cgroup2", "/", "");
  write("proc/self/cgroup", "0::/\n");
  write("cgroup/memory.max", "1000\n");
  write("cgroup/memory.current", "5000\n");
  EXPECT_EQ(available().bytes, 1u);
}

TEST_F(MemoryTest, GarbledFilesCountAsNone) {
  write("proc/self/mountinfo", "\n - \n1 2 3 - cgroup2\nx - cgroup y\n");
  write("proc/self/cgroup", "0\n::\n:\nmemory\n");
  EXPECT_EQ(available().bytes, 3000u * 1024);
}

TEST(AvailableMemory, IsKnownHere) {
  EXPECT_GT(available_memory().bytes, 0u);
  EXPECT_LE(available_memory().bytes, meminfo_bytes("MemTotal"));
}

}  // namespace
}  // namespace minke
