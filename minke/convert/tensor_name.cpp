#include "minke/convert/tensor_name.h"

#include <charconv>

namespace minke {
namespace {

// The number that `text` begins with, which is taken off; -1 when there is none.
int64_t take_number(std::string_view& text) {
  int64_t number = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || number < 0) return -1;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return number;
}

}  // namespace

TensorName TensorName::of(std::string_view gguf_name) {
  TensorName name;
  std::string_view rest = gguf_name;
  if (rest.starts_with("blk.")) {
    rest.remove_prefix(4);
    name.layer = take_number(rest);
    if (rest.starts_with(".")) rest.remove_prefix(1);
  }
  const size_t dot = rest.find('.');
  name.part = rest.substr(0, dot);
  if (dot == std::string_view::npos) return name;
  rest.remove_prefix(dot + 1);
  name.expert = take_number(rest);
  return name;
}

}  // namespace minke
