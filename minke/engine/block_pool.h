#pragma once
#include <cstdint>
#include <vector>

namespace minke {

/// Hands out the pages of the KV cache, 64 tokens each. A page has as many users as page tables
/// hold it; each gives it back once. A page without users is free, unless it is kept: then it is
/// idle, its contents stay, and it can get users again.
class BlockPool {
 public:
  explicit BlockPool(int64_t num_pages);

  int64_t num_pages() const { return static_cast<int64_t>(pages_.size()); }
  int64_t num_free() const { return static_cast<int64_t>(free_.size()); }
  int64_t num_idle() const { return num_idle_; }

  /// Takes a free page, with one user; num_free() must be > 0.
  int32_t take();
  /// One user more for a page that has users or is kept.
  void share(int32_t page);
  /// Gives back all pages of a page table and empties it.
  void release(std::vector<int32_t>& page_table);

  /// Keeps a page that has users beyond the last of them.
  void keep(int32_t page);
  /// Ends that: the page is free at once if it is idle, else when its users have given it back.
  void let_go(int32_t page);

  bool is_idle(int32_t page) const { return pages_[page].users == 0 && pages_[page].kept; }

 private:
  struct Page {
    int32_t users = 0;
    bool kept = false;
  };
  void put_free(int32_t page);

  std::vector<Page> pages_;
  std::vector<int32_t> free_;  // a heap: the lowest page is taken first, which keeps touched memory
                               // small
  int64_t num_idle_ = 0;
};

}  // namespace minke
