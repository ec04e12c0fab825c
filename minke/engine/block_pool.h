#pragma once
#include <cstdint>
#include <vector>

namespace minke {

/// Hands out the pages of the KV cache, 64 tokens each. A page has one owner; owners return every
/// page they took.
class BlockPool {
 public:
  explicit BlockPool(int64_t num_pages);

  int64_t num_pages() const { return static_cast<int64_t>(in_use_.size()); }
  int64_t num_free() const { return static_cast<int64_t>(free_.size()); }

  /// Takes a free page; num_free() must be > 0.
  int32_t take();
  /// Gives back all pages of a page table and empties it.
  void release(std::vector<int32_t>& page_table);

 private:
  std::vector<int32_t> free_;  // the lowest page is taken first, which keeps touched memory small
  std::vector<bool> in_use_;
};

}  // namespace minke
