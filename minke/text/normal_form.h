#pragma once
#include <string>
#include <string_view>

namespace minke {

/// Whether nothing in the text can change under NFC, as a quick look tells; true for nearly all
/// text that people type.
bool is_surely_nfc(std::string_view text);

/// Appends the text in Unicode's normal form C (Unicode 15). Bytes that are not UTF-8 stay as they
/// are, and nothing composes across them.
void append_nfc(std::string& out, std::string_view text);

}  // namespace minke
