#include "minke/engine/prefix_cache.h"

#include <algorithm>

#include "minke/base/check.h"

namespace minke {

using kernels::kPageTokens;

PrefixCache::PrefixCache(BlockPool& pool)
    : pool_(pool), nodes_(static_cast<size_t>(pool.num_pages())) {}

PrefixCache::PageTokens PrefixCache::page_tokens(std::span<const int32_t> tokens, int64_t index) {
  PageTokens out;
  std::copy_n(tokens.begin() + index * kPageTokens, kPageTokens, out.begin());
  return out;
}

const PrefixCache::Children& PrefixCache::children_of(int32_t page) const {
  return page == kRoot ? roots_ : nodes_[page].children;
}

// The page with tokens [64 index, 64 index + 64) below `parent`, or kRoot.
int32_t PrefixCache::find(int32_t parent, std::span<const int32_t> tokens, int64_t index) const {
  const Children& children = children_of(parent);
  const auto found = children.find(page_tokens(tokens, index));
  return found == children.end() ? kRoot : found->second;
}

int64_t PrefixCache::match(std::span<const int32_t> tokens) const {
  const int64_t pages_max = (static_cast<int64_t>(tokens.size()) - 1) / kPageTokens;
  int64_t index = 0;
  for (int32_t page = kRoot; index < pages_max; ++index) {
    page = find(page, tokens, index);
    if (page == kRoot) break;
  }
  return index * kPageTokens;
}

int64_t PrefixCache::attach(std::span<const int32_t> tokens, std::vector<int32_t>& page_table) {
  MK_CHECK(page_table.empty(), "prefix cache: attach to a table of {} pages", page_table.size());
  const int64_t num_tokens = match(tokens);
  int32_t page = kRoot;
  for (int64_t index = 0; index < num_tokens / kPageTokens; ++index) {
    page = find(page, tokens, index);
    pool_.share(page);
    nodes_[page].last_use = ++clock_;
    page_table.push_back(page);
  }
  return num_tokens;
}

void PrefixCache::insert(std::span<const int32_t> tokens, int64_t num_computed,
                         std::vector<int32_t>& page_table) {
  int32_t parent = kRoot;
  for (int64_t index = 0; index < num_computed / kPageTokens; ++index) {
    const int32_t own = page_table[index];
    const int32_t known = find(parent, tokens, index);
    if (known == kRoot) {
      Children& children = parent == kRoot ? roots_ : nodes_[parent].children;
      const auto place = children.emplace(page_tokens(tokens, index), own).first;
      nodes_[own] = {parent, place, {}, 0, true};
      pool_.keep(own);
    } else if (known != own) {
      pool_.share(known);
      std::vector<int32_t> given_back = {own};
      pool_.release(given_back);
      page_table[index] = known;
    }
    parent = page_table[index];
    nodes_[parent].last_use = ++clock_;
  }
}

void PrefixCache::remove(int32_t page) {
  Node& node = nodes_[page];
  (node.parent == kRoot ? roots_ : nodes_[node.parent].children).erase(node.place);
  node = {};
  pool_.let_go(page);
}

// Whoever uses a page uses its ancestors too, so below an idle page all are idle, and some idle
// page ends a path.
bool PrefixCache::evict() {
  int32_t oldest = kRoot;
  for (int32_t page = 0; page < static_cast<int32_t>(nodes_.size()); ++page) {
    const Node& node = nodes_[page];
    if (!node.used || !node.children.empty() || !pool_.is_idle(page)) continue;
    if (oldest == kRoot || node.last_use < nodes_[oldest].last_use) oldest = page;
  }
  if (oldest == kRoot) return false;
  remove(oldest);
  return true;
}

void PrefixCache::clear() {
  for (int32_t page = 0; page < static_cast<int32_t>(nodes_.size()); ++page) {
    if (nodes_[page].used) pool_.let_go(page);
    nodes_[page] = {};
  }
  roots_.clear();
}

}  // namespace minke
