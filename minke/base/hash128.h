#pragma once
#include <cstddef>
#include <span>
#include <string>

namespace minke {

/// XXH3's 128 bits of `bytes` as 32 lower-case hex digits: tells contents apart that nobody made to
/// collide, at memory's speed.
std::string hash128_hex(std::span<const std::byte> bytes);
inline std::string hash128_hex(const std::string& text) {
  return hash128_hex(std::as_bytes(std::span(text)));
}

}  // namespace minke
