#pragma once
#include <cstdint>
#include <string>

namespace minke::jinja {

/// Appends upper, lower or title case of one character, as Python's str methods map it: by
/// Unicode's full mappings, where one character may become several. (Only the final sigma, which
/// depends on its neighbours, stays a plain one.)
void append_upper(std::string& out, uint32_t c);
/// See append_upper.
void append_lower(std::string& out, uint32_t c);
/// See append_upper.
void append_title(std::string& out, uint32_t c);

/// Whether upper or lower case differ from the character itself.
bool is_cased(uint32_t c);

}  // namespace minke::jinja
