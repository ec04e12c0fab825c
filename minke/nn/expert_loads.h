#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

namespace minke {

/// How many rows a gate sent to each of its experts: counters that only rise. One thread adds while
/// any may read; a reader sees each counter as it was at some moment.
class ExpertLoads {
 public:
  ExpertLoads() = default;
  explicit ExpertLoads(size_t num_experts)
      : size_(num_experts), rows_(std::make_unique<std::atomic<int64_t>[]>(num_experts)) {}

  /// `expert` is below the number of experts.
  void add(size_t expert, int64_t rows) const {
    rows_[expert].fetch_add(rows, std::memory_order_relaxed);
  }
  /// Of each expert.
  std::vector<int64_t> rows() const {
    std::vector<int64_t> out(size_);
    for (size_t i = 0; i < size_; ++i) out[i] = rows_[i].load(std::memory_order_relaxed);
    return out;
  }

 private:
  size_t size_ = 0;
  std::unique_ptr<std::atomic<int64_t>[]> rows_;
};

}  // namespace minke
