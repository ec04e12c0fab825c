#pragma once
#include <algorithm>
#include <cstddef>
#include <span>
#include <string>

#include "minke/base/hash128.h"
#include "minke/data/shard_format.h"

namespace minke {

/// The hash of bytes that come piece by piece: that of the hashes of their blocks of
/// kShardHashBlockBytes.
class ShardHash {
 public:
  void add(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const size_t part = std::min(bytes.size(), kShardHashBlockBytes - block_.size());
      block_.append(reinterpret_cast<const char*>(bytes.data()), part);
      bytes = bytes.subspan(part);
      if (block_.size() == kShardHashBlockBytes) close_block();
    }
  }
  /// 32 hex digits.
  std::string finish() {
    close_block();
    return hash128_hex(hashes_);
  }

 private:
  void close_block() {
    hashes_ += hash128_hex(block_);
    block_.clear();
  }
  std::string block_;
  std::string hashes_;
};

}  // namespace minke
