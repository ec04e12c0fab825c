#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "minke/text/bpe.h"
#include "minke/text/pretokenizer.h"
#include "minke/text/special_tokens.h"
#include "minke/text/string_index.h"
#include "minke/text/tokenizer.h"

namespace minke {

/// What a Tokenizer is made of. Filled once by a loader, then only read.
struct Tokenizer::Data {
  std::string bytes;             // of all tokens, one after the other
  std::vector<uint32_t> begins;  // [vocab_size + 1] into `bytes`
  std::vector<bool> control;     // [vocab_size]
  StringIndex index;             // the tokens that merges can lead to, by their bytes
  Bpe bpe;  // symbol ids >= vocab_size are steps to a token, but none themselves
  std::array<int32_t, 256> token_of_byte{};  // -1 where the vocabulary lacks the byte
  SpecialTokens special;
  const Pretokenizer* pretokenizer = nullptr;

  std::vector<int32_t> end_of_generation;  // ascending
  std::optional<int32_t> bos;
  std::optional<int32_t> eos;
  std::optional<int32_t> eot;
  bool add_bos = false;
  std::string chat_template;

  int32_t vocab_size() const { return static_cast<int32_t>(control.size()); }
  std::string_view bytes_of(int32_t id) const {
    const auto i = static_cast<size_t>(id);
    return std::string_view(bytes).substr(begins[i], begins[i + 1] - begins[i]);
  }
  std::optional<int32_t> find_by_bytes(std::string_view token) const {
    return index.find(token, [this](int32_t id) { return bytes_of(id); });
  }
};

}  // namespace minke
