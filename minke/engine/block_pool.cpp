#include "minke/engine/block_pool.h"

#include <algorithm>
#include <functional>

#include "minke/base/check.h"

namespace minke {

BlockPool::BlockPool(int64_t num_pages) : pages_(static_cast<size_t>(num_pages)) {
  MK_CHECK(num_pages > 0, "block pool: {} pages", num_pages);
  for (int64_t page = 0; page < num_pages; ++page) free_.push_back(static_cast<int32_t>(page));
  std::make_heap(free_.begin(), free_.end(), std::greater<>());
}

int32_t BlockPool::take() {
  MK_CHECK(!free_.empty(), "block pool: none of {} pages is free", num_pages());
  std::pop_heap(free_.begin(), free_.end(), std::greater<>());
  const int32_t page = free_.back();
  free_.pop_back();
  pages_[page].users = 1;
  return page;
}

void BlockPool::put_free(int32_t page) {
  free_.push_back(page);
  std::push_heap(free_.begin(), free_.end(), std::greater<>());
}

void BlockPool::share(int32_t page) {
  MK_CHECK(pages_[page].users > 0 || pages_[page].kept, "block pool: free page {} is shared", page);
  if (is_idle(page)) --num_idle_;
  ++pages_[page].users;
}

void BlockPool::release(std::vector<int32_t>& page_table) {
  for (const int32_t page : page_table) {
    MK_CHECK(page >= 0 && page < num_pages() && pages_[page].users > 0,
             "block pool: page {} is given back twice", page);
    if (--pages_[page].users > 0) continue;
    if (pages_[page].kept) {
      ++num_idle_;
    } else {
      put_free(page);
    }
  }
  page_table.clear();
}

void BlockPool::keep(int32_t page) {
  MK_CHECK(pages_[page].users > 0 && !pages_[page].kept, "block pool: page {} cannot be kept",
           page);
  pages_[page].kept = true;
}

void BlockPool::let_go(int32_t page) {
  MK_CHECK(pages_[page].kept, "block pool: page {} is not kept", page);
  if (is_idle(page)) {
    --num_idle_;
    put_free(page);
  }
  pages_[page].kept = false;
}

}  // namespace minke
