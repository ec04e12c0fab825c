// Goal: every index is worked on once, by the threads there are, whatever count, grain and number
// of threads; results are visible to the caller. Method: many small tasks in a row, counted.
#include "minke/base/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <thread>

namespace minke {
namespace {

TEST(ThreadPool, RunCallsEachWorkerOnce) {
  for (const int num_threads : {1, 2, 3, 7}) {
    ThreadPool pool(num_threads);
    EXPECT_EQ(pool.num_threads(), num_threads);
    const auto caller = std::this_thread::get_id();
    for (int round = 0; round < 200; ++round) {
      std::vector<int> calls(static_cast<size_t>(num_threads), 0);
      pool.run([&](int worker) {
        ++calls[static_cast<size_t>(worker)];
        EXPECT_EQ(worker == 0, std::this_thread::get_id() == caller);
      });
      ASSERT_EQ(calls, std::vector<int>(static_cast<size_t>(num_threads), 1));
    }
  }
}

TEST(ThreadPool, ParallelForVisitsEveryIndexOnceInChunksOfTheGrain) {
  for (const int num_threads : {1, 2, 5}) {
    ThreadPool pool(num_threads);
    for (const int64_t count : {0, 1, 2, 7, 64, 1000}) {
      for (const int64_t grain : {1, 3, 64, 5000}) {
        std::vector<int> visits(static_cast<size_t>(count), 0);
        pool.parallel_for(count, grain, [&](int64_t begin, int64_t end, int worker) {
          EXPECT_TRUE(begin < end && end <= count && end - begin <= grain);
          EXPECT_TRUE(worker >= 0 && worker < num_threads);
          for (int64_t i = begin; i < end; ++i) ++visits[static_cast<size_t>(i)];
        });
        ASSERT_EQ(visits, std::vector<int>(static_cast<size_t>(count), 1));
      }
    }
  }
}

TEST(ThreadPool, SleepingWorkersWakeForTheNextTask) {
  ThreadPool pool(3);
  for (int round = 0; round < 5; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // Longer than they spin.
    std::atomic<int> sum = 0;
    pool.run([&](int worker) { sum += worker + 1; });
    EXPECT_EQ(sum, 6);
  }
}

TEST(ThreadPool, DenormalsAreFlushedAlikeInAllThreads) {
  ThreadPool pool(3);
  std::vector<float> products(3, -1.0f);
  std::thread([&] {
    flush_denormals();
    volatile float tiny = std::numeric_limits<float>::min();
    products[0] = tiny * 0.5f;
  }).join();
  pool.run([&](int worker) {
    volatile float tiny = std::numeric_limits<float>::min();
    if (worker > 0) products[static_cast<size_t>(worker)] = tiny * 0.5f;
  });
  EXPECT_EQ(products, std::vector<float>(3, 0.0f));
}

TEST(ThreadPool, AFunctionRefPassesArgumentsAndResults) {
  const int base = 10;
  const auto add = [&](int x) { return base + x; };
  const FunctionRef<int(int)> ref = add;
  EXPECT_EQ(ref(5), 15);
}

TEST(ThreadPool, ThereIsACpuToRunOn) { EXPECT_GE(available_cpus(), 1); }

}  // namespace
}  // namespace minke
