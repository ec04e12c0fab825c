// Goal: the scheduler keeps its promises under any load. Method: a seeded simulator drives the real
// plan_step() and the real BlockPool with random arrivals until all sequences ended.
#include "minke/engine/scheduler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>

#include "minke/base/random.h"
#include "minke/engine/block_pool.h"

namespace minke {
namespace {

struct SimulatedSequence {
  int id = 0;
  int64_t num_final = 0;  // tokens at which it ends
  SequenceState state;
  std::vector<int32_t> pages;
};

struct Simulation {
  Random random;
  BlockPool pool;
  ScheduleLimits limits;
  std::deque<SimulatedSequence> running, waiting;
  std::vector<int> admitted_order;
  int num_ended = 0;
  int num_preempted = 0;

  void arrive(int id, int64_t prompt, int64_t generate) {
    SimulatedSequence sequence;
    sequence.id = id;
    sequence.num_final = prompt + generate;
    sequence.state.num_tokens = prompt;
    waiting.push_back(std::move(sequence));
  }

  static std::vector<SequenceState> states(const std::deque<SimulatedSequence>& sequences) {
    std::vector<SequenceState> out;
    for (const SimulatedSequence& sequence : sequences) out.push_back(sequence.state);
    return out;
  }

  void step() {
    const SchedulePlan plan = plan_step(states(running), states(waiting), pool.num_free(), limits);
    ASSERT_TRUE(plan.num_preempted == 0 || plan.num_admitted == 0);
    num_preempted += plan.num_preempted;
    for (int i = 0; i < plan.num_preempted; ++i) {
      pool.release(running.back().pages);
      running.back().state.num_computed = running.back().state.num_pages = 0;
      waiting.push_front(std::move(running.back()));
      running.pop_back();
    }
    for (int i = 0; i < plan.num_admitted; ++i) {
      running.push_back(std::move(waiting.front()));
      waiting.pop_front();
    }
    ASSERT_LE(running.size(), static_cast<size_t>(limits.sequences_max));
    ASSERT_EQ(plan.num_rows.size(), running.size());
    int total_rows = 0;
    for (size_t i = 0; i < running.size(); ++i) {
      SimulatedSequence& sequence = running[i];
      total_rows += plan.num_rows[i];
      const bool generates = sequence.state.num_tokens - sequence.state.num_computed == 1;
      if (generates) {
        ASSERT_EQ(plan.num_rows[i], 1) << "a generating sequence was starved";
      }
      sequence.state.num_computed += plan.num_rows[i];
      ASSERT_LE(sequence.state.num_computed, sequence.state.num_tokens);
      while (sequence.state.num_pages < pages_for(sequence.state.num_computed)) {
        ASSERT_GT(pool.num_free(), 0) << "the plan promised pages that do not exist";
        sequence.pages.push_back(pool.take());
        ++sequence.state.num_pages;
      }
      if (sequence.state.num_computed == sequence.state.num_tokens) ++sequence.state.num_tokens;
    }
    ASSERT_GT(total_rows, 0) << "a step without progress";
    ASSERT_LE(total_rows, limits.chunk_tokens);
    for (SimulatedSequence& sequence : running) {
      if (sequence.state.num_tokens > sequence.num_final) {
        pool.release(sequence.pages);
        ++num_ended;
      }
    }
    std::erase_if(running, [](const SimulatedSequence& sequence) {
      return sequence.state.num_tokens > sequence.num_final;
    });
  }
};

TEST(Scheduler, ends_every_sequence_under_random_loads) {
  int preemptions = 0;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    Random random(seed);
    const int64_t num_pages = 4 + static_cast<int64_t>(random.below(30));
    Simulation simulation{
        Random(seed),
        BlockPool(num_pages),
        {1 + static_cast<int>(random.below(8)), 8 + static_cast<int>(random.below(200))},
        {},
        {},
        {},
        0,
        0};
    const int count = 1 + static_cast<int>(random.below(20));
    int arrived = 0;
    for (int step = 0; step < 20000 && simulation.num_ended < count; ++step) {
      while (arrived < count && (random.below(4) == 0 || simulation.running.empty())) {
        const int64_t most = num_pages * 64;
        const int64_t prompt = 1 + static_cast<int64_t>(random.below(most - 1));
        simulation.arrive(arrived++, prompt, 1 + static_cast<int64_t>(random.below(most - prompt)));
      }
      if (simulation.running.empty() && simulation.waiting.empty()) continue;
      ASSERT_NO_FATAL_FAILURE(simulation.step()) << "seed " << seed;
    }
    EXPECT_EQ(simulation.num_ended, count) << "seed " << seed;
    EXPECT_EQ(simulation.pool.num_free(), num_pages) << "seed " << seed << ": pages leaked";
    preemptions += simulation.num_preempted;
  }
  EXPECT_GT(preemptions, 0) << "the loads never ran out of pages, so preemption was not tried";
}

TEST(Scheduler, preempts_the_youngest_and_never_the_oldest) {
  // Two sequences fill four pages; the older one needs a fifth.
  const std::vector<SequenceState> running = {{129, 128, 2}, {100, 99, 2}};
  const SchedulePlan plan = plan_step(running, {}, 0, {8, 512});
  EXPECT_EQ(plan.num_preempted, 1);
  EXPECT_EQ(plan.num_rows, (std::vector<int>{1}));
}

TEST(Scheduler, serves_those_who_generate_before_prompts) {
  const std::vector<SequenceState> running = {{400, 0, 0}, {65, 64, 1}};
  const SchedulePlan plan = plan_step(running, {}, 100, {8, 64});
  EXPECT_EQ(plan.num_rows, (std::vector<int>{63, 1}));
}

TEST(BlockPool, hands_out_each_page_once_the_lowest_first) {
  BlockPool pool(3);
  std::vector<int32_t> pages = {pool.take(), pool.take(), pool.take()};
  EXPECT_EQ(pages, (std::vector<int32_t>{0, 1, 2}));
  EXPECT_EQ(pool.num_free(), 0);
  std::vector<int32_t> middle = {1};
  pool.release(middle);
  EXPECT_TRUE(middle.empty());
  EXPECT_EQ(pool.take(), 1);
}

TEST(BlockPoolDeathTest, aborts_when_a_page_is_given_back_twice) {
  BlockPool pool(2);
  std::vector<int32_t> pages = {pool.take()};
  std::vector<int32_t> copy = pages;
  pool.release(pages);
  EXPECT_DEATH(pool.release(copy), "given back twice");
}

}  // namespace
}  // namespace minke
