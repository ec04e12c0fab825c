#pragma once
#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "minke/engine/block_pool.h"
#include "minke/kernels/panel.h"

namespace minke {

/// Finds pages of keys and values again by the tokens that they were computed from. Pages form a
/// tree: a page's parent holds the 64 tokens before it, so a path from the root is the beginning of
/// a text, and requests with a common beginning share its pages.
///
///   "You are a helpful" - " assistant. User: ..." - "What is"      pages of one request
///                                                 \ "Who was"      a second one computes only this
///
/// Only full pages are in the tree. Nothing is ever written to one again, so there is no copy on
/// write: texts that part inside a page compute that page each for itself. Tokens are compared, not
/// hashes, so a match cannot be wrong. The bits of keys and values do not depend on how they were
/// computed, so neither do those of the answers.
class PrefixCache {
 public:
  /// Keeps pages of `pool`, which must outlive the cache.
  explicit PrefixCache(BlockPool& pool);

  /// How many tokens at the start of a text are cached: whole pages, and fewer than the text has,
  /// for the last token must be computed to know what comes next.
  int64_t match(std::span<const int32_t> tokens) const;

  /// Puts the pages of match() into an empty page table, as one more user of each; returns match().
  int64_t attach(std::span<const int32_t> tokens, std::vector<int32_t>& page_table);

  /// Takes the pages of the first `num_computed` tokens into the tree, as far as they are full.
  /// Where the tree has such a page already (two requests computed it at the same time), the page
  /// table gets that one and gives its own back.
  void insert(std::span<const int32_t> tokens, int64_t num_computed,
              std::vector<int32_t>& page_table);

  /// Frees an idle page, of those that end a path the one whose last use is longest ago. False when
  /// no page is idle.
  bool evict();
  /// Forgets everything (the weights have changed).
  void clear();

 private:
  static constexpr int32_t kRoot = -1;
  using PageTokens = std::array<int32_t, kernels::kPageTokens>;
  using Children = std::map<PageTokens, int32_t>;  // to page numbers

  struct Node {
    int32_t parent = kRoot;
    Children::iterator place;  // among the parent's children
    Children children;
    uint64_t last_use = 0;
    bool used = false;  // the page is in the tree
  };

  static PageTokens page_tokens(std::span<const int32_t> tokens, int64_t index);
  const Children& children_of(int32_t page) const;
  int32_t find(int32_t parent, std::span<const int32_t> tokens, int64_t index) const;
  void remove(int32_t page);

  BlockPool& pool_;
  std::vector<Node> nodes_;  // by page
  Children roots_;
  uint64_t clock_ = 0;  // rises with every use
};

}  // namespace minke
