#pragma once
#include <string>
#include <string_view>

namespace minke {

/// Text as it stands in an element or in a quoted attribute: & < > " and ' are written as entities,
/// so that nothing of a config or a sample becomes markup.
std::string html_text(std::string_view text);

}  // namespace minke
