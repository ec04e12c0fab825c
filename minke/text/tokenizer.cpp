#include "minke/text/tokenizer.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "minke/base/check.h"
#include "minke/text/tokenizer_data.h"

namespace minke {
namespace {

/// A piece of more bytes is cut, which bounds the memory of one merge to about 2 GB. Text in any
/// language has a break long before.
constexpr size_t kPieceBytesMax = size_t{64} << 20;

/// How many bytes from `at` on are trusted. Ask for ascending places.
class TrustedBytes {
 public:
  TrustedBytes(std::span<const TextRange> untrusted, size_t text_bytes)
      : untrusted_(untrusted), text_bytes_(text_bytes) {}

  size_t from(size_t at) {
    while (next_ < untrusted_.size() && (untrusted_[next_].end <= at || is_empty(next_))) ++next_;
    if (next_ == untrusted_.size()) return text_bytes_ - at;
    return untrusted_[next_].begin > at ? untrusted_[next_].begin - at : 0;
  }

 private:
  bool is_empty(size_t i) const { return untrusted_[i].begin >= untrusted_[i].end; }

  std::span<const TextRange> untrusted_;
  size_t text_bytes_;
  size_t next_ = 0;
};

}  // namespace

/// One call of encode(): cuts at special tokens, then into pieces, then merges each piece.
class TokenizerEncoder {
 public:
  TokenizerEncoder(const Tokenizer::Data& data, std::vector<int32_t>& ids)
      : data_(data), ids_(ids) {}

  void encode(std::string_view text, std::span<const TextRange> untrusted) {
    TrustedBytes trusted(untrusted, text.size());
    size_t begin = 0;
    for (size_t at = 0; at < text.size();) {
      const SpecialToken* found = nullptr;
      if (data_.special.may_start_with(text[at])) {
        found = data_.special.longest_match(text.substr(at), trusted.from(at));
      }
      if (found == nullptr) {
        ++at;
        continue;
      }
      encode_fragment(text.substr(begin, at - begin));
      ids_.push_back(found->id);
      at += found->text.size();
      begin = at;
    }
    encode_fragment(text.substr(begin));
  }

 private:
  void encode_fragment(std::string_view fragment) {
    pretokenize(*data_.pretokenizer, fragment, [this](std::string_view piece) {
      for (; piece.size() > kPieceBytesMax; piece.remove_prefix(kPieceBytesMax)) {
        encode_piece(piece.substr(0, kPieceBytesMax));
      }
      encode_piece(piece);
    });
  }

  void encode_piece(std::string_view piece) {
    if (data_.pretokenizer->ignore_merges) {
      if (const auto whole = data_.find_by_bytes(piece)) return ids_.push_back(*whole);
    }
    for (const BpeSymbol& symbol : data_.bpe.merge(piece, scratch_)) {
      if (symbol.id >= 0 && symbol.id < data_.vocab_size()) {
        ids_.push_back(symbol.id);
      } else {
        append_bytes(piece.substr(symbol.begin, symbol.end - symbol.begin));
      }
    }
  }

  void append_bytes(std::string_view bytes) {
    for (const char c : bytes) {
      const int32_t id = data_.token_of_byte[static_cast<uint8_t>(c)];
      if (id >= 0) ids_.push_back(id);
    }
  }

  const Tokenizer::Data& data_;
  std::vector<int32_t>& ids_;
  Bpe::Scratch scratch_;
};

Tokenizer::Tokenizer(std::unique_ptr<Data> data) : data_(std::move(data)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

std::vector<int32_t> Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  const TextRange all{0, text.size()};
  const auto untrusted = std::span(&all, options.parse_special ? 0 : 1);
  std::vector<int32_t> ids;
  TokenizerEncoder(*data_, ids).encode(text, untrusted);
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
  TokenizerEncoder(*data_, ids).encode(text.text, text.untrusted);
  return ids;
}

std::string Tokenizer::decode(std::span<const int32_t> ids) const {
  std::string text;
  for (const int32_t id : ids) text += token_bytes(id);
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
  if (const SpecialToken* token = data_->special.find(token_text)) return token->id;
  return data_->find_by_bytes(token_text);
}

const std::string& Tokenizer::chat_template() const { return data_->chat_template; }
bool Tokenizer::add_bos() const { return data_->add_bos; }
std::string_view Tokenizer::pretokenizer_name() const { return data_->pretokenizer->name; }

}  // namespace minke
