// Goal: both ways of merging, the quadratic one for short pieces and the heap for long ones, give
// what the definition gives. Method: the definition itself over random merges, with pieces on both
// sides of the limit between the two.
#include <gtest/gtest.h>

#include <map>

#include "minke/base/random.h"
#include "minke/text/bpe.h"

namespace minke {
namespace {

struct Merges {
  std::map<std::pair<int32_t, int32_t>, std::pair<int, int32_t>> of;  // pair -> rank, result
  int32_t num_symbols = 4;                                            // 'a' to 'd' are 0 to 3
};

Merges random_merges(Random& random, size_t count) {
  Merges merges;
  for (int rank = 0; merges.of.size() < count; ++rank) {
    const auto left = static_cast<int32_t>(random.below(merges.num_symbols));
    const auto right = static_cast<int32_t>(random.below(merges.num_symbols));
    if (merges.of.try_emplace({left, right}, rank, merges.num_symbols).second) ++merges.num_symbols;
  }
  return merges;
}

/// As Sennrich et al. define it: again and again, join the pair of the lowest rank.
std::vector<int32_t> merge_by_definition(const Merges& merges, std::string_view text) {
  std::vector<int32_t> symbols;
  for (const char c : text) symbols.push_back(c >= 'a' && c <= 'd' ? c - 'a' : -1);
  while (true) {
    auto best = merges.of.end();
    size_t best_at = 0;
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      const auto found = merges.of.find({symbols[i], symbols[i + 1]});
      if (found == merges.of.end()) continue;
      if (best != merges.of.end() && found->second.first >= best->second.first) continue;
      best = found;
      best_at = i;
    }
    if (best == merges.of.end()) return symbols;
    symbols[best_at] = best->second.second;
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(best_at) + 1);
  }
}

TEST(TokenizerBpe, ShortAndLongPiecesMergeAsTheDefinitionSays) {
  Random random(3);
  Bpe::Scratch scratch;
  for (int round = 0; round < 300; ++round) {
    const Merges merges = random_merges(random, 1 + random.below(40));
    std::vector<std::pair<int, std::array<int32_t, 3>>> sorted;
    for (const auto& [pair, merge] : merges.of) {
      sorted.push_back({merge.first, {pair.first, pair.second, merge.second}});
    }
    std::sort(sorted.begin(), sorted.end());
    Bpe bpe;
    bpe.reserve(sorted.size() + 1);
    for (int i = 0; i < 4; ++i) bpe.set_byte(static_cast<uint8_t>('a' + i), i);
    for (const auto& [rank, m] : sorted) bpe.add_merge(m[0], m[1], m[2]);
    bpe.add_merge(sorted[0].second[0], sorted[0].second[1], 0);  // A second one does not count.
    for (const size_t size :
         {size_t{1}, size_t{2}, size_t{9}, Bpe::kShortMax, Bpe::kShortMax + 1, size_t{150}}) {
      std::string text(size, ' ');
      for (char& c : text) c = "aabbccddx"[random.below(9)];
      const auto& symbols = bpe.merge(text, scratch);
      std::vector<int32_t> ids;
      uint32_t end = 0;
      for (const BpeSymbol& symbol : symbols) {
        ids.push_back(symbol.id);
        EXPECT_EQ(symbol.begin, end) << "the symbols cover the piece";
        end = symbol.end;
      }
      EXPECT_EQ(end, size);
      ASSERT_EQ(ids, merge_by_definition(merges, text)) << text;
    }
  }
}

TEST(TokenizerBpe, AnEmptyPieceHasNoSymbols) {
  Bpe::Scratch scratch;
  EXPECT_TRUE(Bpe().merge("", scratch).empty());
}

}  // namespace
}  // namespace minke
