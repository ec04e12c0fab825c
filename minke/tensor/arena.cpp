#include "minke/tensor/arena.h"

#include <sys/mman.h>

#include <bit>

#include "minke/base/check.h"

namespace minke {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

// Rounds up to a quarter of a power of two (at most 25 % waste), at least 256 bytes.
size_t rounded_size(size_t bytes) {
  constexpr size_t kLeast = 256;
  if (bytes <= kLeast) return kLeast;
  const size_t step = std::bit_floor(bytes - 1) / 4;
  return (bytes + step - 1) / step * step;
}

size_t page_rounded(size_t bytes) {
  const size_t unit = bytes >= kHugePage ? kHugePage : 4096;
  return (bytes + unit - 1) / unit * unit;
}

}  // namespace

void* allocate_pages(size_t bytes) {
  const size_t size = page_rounded(bytes == 0 ? 1 : bytes);
  // One huge page more, so that the start can be aligned to one; the rest is given back.
  const size_t slack = size >= kHugePage ? kHugePage : 0;
  void* mapped =
      ::mmap(nullptr, size + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  MK_CHECK(mapped != MAP_FAILED, "out of memory: cannot map {} bytes", size);
  auto* base = static_cast<std::byte*>(mapped);
  if (slack == 0) return base;
  const size_t lead = (kHugePage - reinterpret_cast<uintptr_t>(base) % kHugePage) % kHugePage;
  if (lead > 0) ::munmap(base, lead);
  if (slack > lead) ::munmap(base + lead + size, slack - lead);
  ::madvise(base + lead, size, MADV_HUGEPAGE);
  return base + lead;
}

void free_pages(void* data, size_t bytes) {
  if (data != nullptr) ::munmap(data, page_rounded(bytes == 0 ? 1 : bytes));
}

Arena::~Arena() { trim(); }

void* Arena::allocate(size_t bytes) {
  const size_t size = rounded_size(bytes);
  bytes_in_use_ += size;
  std::vector<void*>& free_blocks = kept_[size];
  if (!free_blocks.empty()) {
    void* block = free_blocks.back();
    free_blocks.pop_back();
    return block;
  }
  bytes_held_ += size;
  return allocate_pages(size);
}

void Arena::release(void* data, size_t bytes) {
  const size_t size = rounded_size(bytes);
  bytes_in_use_ -= size;
  kept_[size].push_back(data);
}

void Arena::trim() {
  for (auto& [size, blocks] : kept_) {
    for (void* block : blocks) free_pages(block, size);
    bytes_held_ -= size * blocks.size();
    blocks.clear();
  }
}

}  // namespace minke
