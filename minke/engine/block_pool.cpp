#include "minke/engine/block_pool.h"

#include <algorithm>
#include <functional>

#include "minke/base/check.h"

namespace minke {

// free_ is a heap with the lowest page on top.
BlockPool::BlockPool(int64_t num_pages) : in_use_(static_cast<size_t>(num_pages), false) {
  MK_CHECK(num_pages > 0, "block pool: {} pages", num_pages);
  for (int64_t page = num_pages - 1; page >= 0; --page) {
    free_.push_back(static_cast<int32_t>(page));
  }
  std::make_heap(free_.begin(), free_.end(), std::greater<>());
}

int32_t BlockPool::take() {
  MK_CHECK(!free_.empty(), "block pool: none of {} pages is free", num_pages());
  std::pop_heap(free_.begin(), free_.end(), std::greater<>());
  const int32_t page = free_.back();
  free_.pop_back();
  in_use_[page] = true;
  return page;
}

void BlockPool::release(std::vector<int32_t>& page_table) {
  for (const int32_t page : page_table) {
    MK_CHECK(page >= 0 && page < num_pages() && in_use_[page],
             "block pool: page {} is given back twice", page);
    in_use_[page] = false;
    free_.push_back(page);
    std::push_heap(free_.begin(), free_.end(), std::greater<>());
  }
  page_table.clear();
}

}  // namespace minke
