// Goal: the cache finds exactly what was computed before and still holds it, and pages are never
// lost or doubly used. Method: written-down cases, and random work against a list of texts.
#include "minke/engine/prefix_cache.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "minke/base/random.h"

namespace minke {
namespace {

constexpr int64_t kPage = kernels::kPageTokens;

// `pages` pages of tokens that differ by `seed`, and `rest` tokens more.
std::vector<int32_t> text_of(int64_t pages, int32_t seed, int64_t rest = 1) {
  return std::vector<int32_t>(static_cast<size_t>(pages * kPage + rest), seed);
}

// What an engine does with a text: attaches, computes the rest, and takes it into the cache.
std::vector<int32_t> compute(BlockPool& pool, PrefixCache& cache,
                             const std::vector<int32_t>& tokens) {
  std::vector<int32_t> table;
  cache.attach(tokens, table);
  const auto num_tokens = static_cast<int64_t>(tokens.size());
  while (static_cast<int64_t>(table.size()) * kPage < num_tokens) {
    if (pool.num_free() == 0) EXPECT_TRUE(cache.evict());
    table.push_back(pool.take());
  }
  cache.insert(tokens, num_tokens, table);
  return table;
}

TEST(PrefixCacheTest, FindsWholePagesAndLeavesTheLastTokenToCompute) {
  BlockPool pool(8);
  PrefixCache cache(pool);
  std::vector<int32_t> table = compute(pool, cache, text_of(3, 7));
  EXPECT_EQ(cache.match(text_of(3, 7)), 3 * kPage);
  EXPECT_EQ(cache.match(text_of(3, 7, 0)),
            2 * kPage);  // ends with a page: its last must be computed
  EXPECT_EQ(cache.match(text_of(5, 7)), 3 * kPage);
  EXPECT_EQ(cache.match(text_of(3, 8)), 0);
  std::vector<int32_t> parting = text_of(3, 7);
  parting[kPage + 5] = 9;
  EXPECT_EQ(cache.match(parting), kPage);
  std::vector<int32_t> shared;
  EXPECT_EQ(cache.attach(parting, shared), kPage);
  EXPECT_EQ(shared, std::vector<int32_t>{table[0]});
  pool.release(shared);
  pool.release(table);
  EXPECT_EQ(pool.num_idle(), 3);
  EXPECT_EQ(pool.num_free(), 5);
}

TEST(PrefixCacheTest, PagesComputedTwiceBecomeOne) {
  BlockPool pool(8);
  PrefixCache cache(pool);
  const std::vector<int32_t> tokens = text_of(2, 1);
  std::vector<int32_t> first = {pool.take(), pool.take(), pool.take()};
  std::vector<int32_t> second = {pool.take(), pool.take(), pool.take()};
  cache.insert(tokens, 2 * kPage + 1, first);
  cache.insert(tokens, 2 * kPage + 1, second);
  EXPECT_EQ(first[0], second[0]);
  EXPECT_EQ(first[1], second[1]);
  EXPECT_NE(first[2], second[2]);
  EXPECT_EQ(pool.num_free(), 8 - 4);
  pool.release(first);
  EXPECT_EQ(pool.num_idle(), 0);  // the second one still uses them
  pool.release(second);
  EXPECT_EQ(pool.num_idle(), 2);
  EXPECT_EQ(pool.num_free(), 6);
}

TEST(PrefixCacheTest, EvictsTheLongestUnusedAndLeavesFirst) {
  BlockPool pool(6);
  PrefixCache cache(pool);
  std::vector<int32_t> old_text = compute(pool, cache, text_of(2, 1));
  pool.release(old_text);
  std::vector<int32_t> new_text = compute(pool, cache, text_of(2, 2));
  pool.release(new_text);
  ASSERT_TRUE(cache.evict());
  EXPECT_EQ(cache.match(text_of(2, 1)), kPage);
  EXPECT_EQ(cache.match(text_of(2, 2)), 2 * kPage);
  ASSERT_TRUE(cache.evict());
  EXPECT_EQ(cache.match(text_of(2, 1)), 0);
  std::vector<int32_t> in_use;
  cache.attach(text_of(2, 2), in_use);
  EXPECT_FALSE(cache.evict());  // what a sequence uses stays
  pool.release(in_use);
  EXPECT_TRUE(cache.evict());
  EXPECT_TRUE(cache.evict());
  EXPECT_FALSE(cache.evict());
  EXPECT_EQ(pool.num_free(), 6);
}

TEST(PrefixCacheTest, ClearForgetsAllButWhatIsInUse) {
  BlockPool pool(6);
  PrefixCache cache(pool);
  std::vector<int32_t> table = compute(pool, cache, text_of(2, 1));
  std::vector<int32_t> other = compute(pool, cache, text_of(1, 2));
  pool.release(other);
  cache.clear();
  EXPECT_EQ(cache.match(text_of(2, 1)), 0);
  EXPECT_EQ(pool.num_idle(), 0);
  EXPECT_EQ(pool.num_free(), 3);
  pool.release(table);
  EXPECT_EQ(pool.num_free(), 6);
}

// Texts over two "letters" a page, so that they share beginnings often. A shadow of each page's
// contents shows that a match is always what was computed.
TEST(PrefixCacheTest, RandomWorkNeverLosesOrMixesPages) {
  constexpr int64_t kPages = 24;
  BlockPool pool(kPages);
  PrefixCache cache(pool);
  Random random(5);
  struct Running {
    std::vector<int32_t> tokens, table;
  };
  std::vector<Running> running;
  std::vector<std::vector<int32_t>> contents(kPages);  // of a page: all tokens up to its end
  int64_t num_hits = 0;
  for (int turn = 0; turn < 4000; ++turn) {
    if (running.size() == 4 || (!running.empty() && random.below(2) == 0)) {
      const auto which = static_cast<size_t>(random.below(running.size()));
      pool.release(running[which].table);
      running.erase(running.begin() + static_cast<int64_t>(which));
      continue;
    }
    Running next;
    for (uint64_t page = 1 + random.below(4); page > 0; --page) {
      next.tokens.insert(next.tokens.end(), kPage, static_cast<int32_t>(random.below(2)));
    }
    next.tokens.push_back(0);
    const int64_t hit = cache.match(next.tokens);
    num_hits += hit > 0;
    next.table = compute(pool, cache, next.tokens);
    for (size_t i = 0; i + 1 < next.table.size(); ++i) {
      const std::vector<int32_t> all(next.tokens.begin(),
                                     next.tokens.begin() + static_cast<int64_t>(i + 1) * kPage);
      std::vector<int32_t>& held = contents[next.table[i]];
      if (static_cast<int64_t>(i) * kPage < hit) {
        ASSERT_EQ(held, all);
      }
      held = all;
    }
    running.push_back(std::move(next));
    int64_t in_use = 0;
    std::vector<bool> seen(kPages, false);
    for (const Running& one : running) {
      for (const int32_t page : one.table) {
        in_use += !seen[page];
        seen[page] = true;
      }
    }
    ASSERT_EQ(pool.num_free() + pool.num_idle() + in_use, kPages);
  }
  EXPECT_GT(num_hits, 500);
  for (Running& one : running) pool.release(one.table);
  while (cache.evict()) {
  }
  EXPECT_EQ(pool.num_free(), kPages);
}

}  // namespace
}  // namespace minke
