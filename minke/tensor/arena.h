#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

namespace minke {

/// Memory for tensors: freed blocks are kept by size and handed out again, so that a step after the
/// first one asks the system for nothing. Sizes are rounded up to limit their number (a quarter of
/// a power of two). Blocks are 64-byte aligned; large ones are advised to be huge pages.
///
/// Not thread-safe: only the thread that computes on the device allocates.
class Arena {
 public:
  Arena() = default;
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  /// Uninitialised memory of at least `bytes`. Aborts when the system has none.
  void* allocate(size_t bytes);
  /// Takes back what allocate(bytes) gave.
  void release(void* data, size_t bytes);

  size_t bytes_in_use() const { return bytes_in_use_; }
  size_t bytes_held() const { return bytes_held_; }  ///< in use and kept
  /// Gives all kept blocks back to the system.
  void trim();

 private:
  std::map<size_t, std::vector<void*>> kept_;  // rounded size -> free blocks
  size_t bytes_in_use_ = 0;
  size_t bytes_held_ = 0;
};

/// Page-aligned zeroed memory straight from the system, huge pages advised; pages are touched on
/// first use. Aborts when the system refuses. Returned with free_pages(data, bytes).
void* allocate_pages(size_t bytes);
void free_pages(void* data, size_t bytes);

}  // namespace minke
