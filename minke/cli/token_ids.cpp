#include "minke/cli/token_ids.h"

#include <algorithm>
#include <charconv>

#include "minke/base/json.h"

namespace minke {

Result<std::vector<int32_t>> parse_token_ids(std::string_view text, int32_t vocab_size) {
  std::string inner;
  if (const Result<Json> json = parse_json(text); json && json->is_object()) {
    const Json* ids = json->find("ids");
    if (ids == nullptr) return fail(ErrorCode::kUsage, "the JSON object has no 'ids'");
    inner = ids->dump();
    text = inner;
  }
  std::vector<int32_t> ids;
  const std::string_view separators = " \t\r\n,[]";
  size_t at = 0;
  while ((at = text.find_first_not_of(separators, at)) != std::string_view::npos) {
    const size_t end = std::min(text.find_first_of(separators, at), text.size());
    const std::string_view word = text.substr(at, end - at);
    int32_t id = 0;
    const auto [stop, error] = std::from_chars(word.data(), word.data() + word.size(), id);
    if (error != std::errc() || stop != word.data() + word.size() || id < 0 || id >= vocab_size) {
      return fail(ErrorCode::kUsage, "'{}' is no token id, expected 0 to {}", word.substr(0, 40),
                  vocab_size - 1);
    }
    ids.push_back(id);
    at = end;
  }
  return ids;
}

}  // namespace minke
