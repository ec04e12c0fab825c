#include "minke/text/tokenizer.h"

#include <algorithm>
#include <utility>

#include "minke/base/check.h"
#include "minke/text/tokenizer_data.h"
#include "minke/text/tokenizer_encoder.h"

namespace minke {

Tokenizer::Tokenizer(std::unique_ptr<TokenizerData> data) : data_(std::move(data)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

std::vector<int32_t> Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  const TextRange all{0, text.size()};
  const auto untrusted = std::span(&all, options.parse_special ? 0 : 1);
  std::vector<int32_t> ids;
  TokenizerEncoder(*data_, text.size(), ids).encode(text, untrusted);
  return ids;
}

std::vector<int32_t> Tokenizer::encode(const MarkedText& text) const {
  size_t end = 0;
  for (const TextRange& range : text.untrusted) {
    MK_CHECK(end <= range.begin && range.begin <= range.end && range.end <= text.text.size(),
             "tokenizer: untrusted range {}..{} after {} in {} bytes", range.begin, range.end, end,
             text.text.size());
    end = range.end;
  }
  std::vector<int32_t> ids;
  TokenizerEncoder(*data_, text.text.size(), ids).encode(text.text, text.untrusted);
  return ids;
}

std::string Tokenizer::decode(std::span<const int32_t> ids) const {
  std::string text;
  bool has_prefix = data_->prefix != SpacePrefix::kNone;  // the next token begins a prefixed text
  for (const int32_t id : ids) {
    std::string_view bytes = token_bytes(id);
    const bool special = !bytes.empty() && data_->special_id[static_cast<size_t>(id)];
    if (has_prefix && !special && bytes.starts_with(' ')) bytes.remove_prefix(1);
    has_prefix = special && data_->prefix == SpacePrefix::kEachFragment;
    text += bytes;
  }
  return text;
}

std::string_view Tokenizer::token_bytes(int32_t id) const {
  return id >= 0 && id < vocab_size() ? data_->bytes_of(id) : std::string_view();
}

bool Tokenizer::is_control(int32_t id) const {
  return id >= 0 && id < vocab_size() && data_->control[static_cast<size_t>(id)];
}

int32_t Tokenizer::vocab_size() const { return data_->vocab_size(); }
std::optional<int32_t> Tokenizer::bos() const { return data_->bos; }
std::optional<int32_t> Tokenizer::eos() const { return data_->eos; }
std::optional<int32_t> Tokenizer::eot() const { return data_->eot; }

bool Tokenizer::is_end_of_generation(int32_t id) const {
  return std::binary_search(data_->end_of_generation.begin(), data_->end_of_generation.end(), id);
}

const std::vector<int32_t>& Tokenizer::end_of_generation_ids() const {
  return data_->end_of_generation;
}

std::optional<int32_t> Tokenizer::find(std::string_view token_text) const {
  return data_->find(token_text);
}

const std::string& Tokenizer::chat_template() const { return data_->chat_template; }
bool Tokenizer::add_bos() const { return data_->add_bos; }
std::string_view Tokenizer::pretokenizer_name() const { return data_->pretokenizer.name; }

}  // namespace minke
