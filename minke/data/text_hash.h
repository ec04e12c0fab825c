#pragma once
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string_view>

#include "minke/base/hash128.h"

namespace minke {

/// 64 bits that tell texts apart, the same on every machine.
inline uint64_t text_hash(std::string_view text) {
  constexpr int kHexDigits = 16;
  return std::strtoull(hash128_hex(std::as_bytes(std::span(text))).substr(0, kHexDigits).c_str(),
                       nullptr, 16);
}

}  // namespace minke
