#include "minke/text/tokenizer_encoder.h"

#include <algorithm>

#include "minke/base/utf8.h"
#include "minke/text/char_class.h"
#include "minke/text/normal_form.h"

namespace minke {
namespace {

/// A piece of more bytes is cut, which bounds the memory of one merge to about 2 GB. Text in any
/// language has a break long before.
constexpr size_t kPieceBytesMax = size_t{64} << 20;

constexpr std::string_view kEscapedSpace = "\u2581";

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

size_t without_trailing_space(std::string_view text, size_t begin, size_t end) {
  const size_t kept = split_trailing_space(text.substr(0, end), begin);
  if (begin == end) return end;
  if (kept < end) return kept;
  return (char_at(text, begin).kind & char_class::kSpace) != 0 ? begin : end;
}

}  // namespace

void TokenizerEncoder::encode(std::string_view text, std::span<const TextRange> untrusted) {
  TrustedBytes trusted(untrusted, text.size());
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const SpecialToken* found = nullptr;
    if (data_.special.may_start_with(text[at])) {
      found = data_.special.longest_match(text, at, trusted.from(at));
    }
    if (found == nullptr) {
      ++at;
      continue;
    }
    const size_t end = found->lstrip ? without_trailing_space(text, begin, at) : at;
    encode_fragment(text.substr(begin, end - begin), begin == 0);
    ids_.push_back(found->id);
    at += found->text.size();
    if (found->rstrip) at = run_end(text, at, char_class::kSpace);
    begin = at;
  }
  encode_fragment(text.substr(begin), begin == 0);
  if (!data_.fuse_unknown || !data_.unknown) return;
  const auto both_unknown = [this](int32_t a, int32_t b) { return a == b && a == *data_.unknown; };
  ids_.erase(std::unique(ids_.begin(), ids_.end(), both_unknown), ids_.end());
}

void TokenizerEncoder::encode_fragment(std::string_view fragment, bool is_first) {
  if (!fragment.empty()) encode_pieces(normalized(fragment, is_first));
}

/// The fragment as the merges want it; where nothing changes, itself.
std::string_view TokenizerEncoder::normalized(std::string_view fragment, bool is_first) {
  const bool compose = data_.nfc && !is_surely_nfc(fragment);
  const bool escaped =
      data_.of_characters && fragment.find(kEscapedSpace) != std::string_view::npos;
  bool prefix = data_.prefix == SpacePrefix::kEachFragment ||
                (data_.prefix == SpacePrefix::kFirst && is_first);
  if (data_.prefix_unless_space) {
    prefix = prefix && !fragment.starts_with(' ') &&
             !(data_.of_characters && fragment.starts_with(kEscapedSpace));
  }
  if (!compose && !escaped && !prefix) return fragment;
  std::string& out = normalized_.emplace_back();
  out.reserve(fragment.size() + 1);
  if (prefix) out += ' ';
  if (compose) {
    append_nfc(out, fragment);
  } else {
    out += fragment;
  }
  if (escaped) {
    size_t end = 0;
    for (size_t at = 0; at < out.size(); ++end) {
      const bool is_space = std::string_view(out).substr(at).starts_with(kEscapedSpace);
      out[end] = is_space ? ' ' : out[at];
      at += is_space ? kEscapedSpace.size() : 1;
    }
    out.resize(end);
  }
  return out;
}

void TokenizerEncoder::encode_pieces(std::string_view text) {
  pretokenize(data_.pretokenizer, text, [this](std::string_view piece) {
    if (data_.of_characters) return encode_at_joints(piece);
    for (; piece.size() > kPieceBytesMax; piece.remove_prefix(kPieceBytesMax)) {
      encode_piece(piece.substr(0, kPieceBytesMax));
    }
    encode_piece(piece);
  });
}

/// Cuts where no merge joins.
void TokenizerEncoder::encode_at_joints(std::string_view piece) {
  if (data_.pretokenizer.ignore_merges) {
    if (const auto whole = data_.find_by_bytes(piece)) return ids_.push_back(*whole);
  }
  size_t begin = 0;
  uint32_t before = Joints::kNone;
  for (size_t at = 0; at < piece.size();) {
    uint32_t code_point = static_cast<unsigned char>(piece[at]);
    size_t bytes = 1;
    if (code_point >= 0x80) {
      const Utf8Char c = utf8_next(piece.substr(at));
      code_point = c.valid ? c.code_point : Joints::kNone;
      bytes = static_cast<size_t>(c.bytes);
    }
    if (at > begin && (!data_.joints.joins(before, code_point) || at - begin > kPieceBytesMax)) {
      encode_piece(piece.substr(begin, at - begin));
      begin = at;
    }
    before = code_point;
    at += bytes;
  }
  if (begin < piece.size()) encode_piece(piece.substr(begin));
}

void TokenizerEncoder::encode_piece(std::string_view piece) {
  if (piece.size() > PieceCache::kPieceBytesMax) return merge_piece(piece);
  PieceCache::Entry& entry = cache_.slot(piece);
  if (entry.holds(piece)) {
    for (size_t i = entry.ids_begin; i < entry.ids_begin + entry.num_ids; ++i) {
      ids_.push_back(ids_[i]);
    }
    return;
  }
  const size_t ids_begin = ids_.size();
  merge_piece(piece);
  entry = {piece.data(), static_cast<uint32_t>(piece.size()),
           static_cast<uint32_t>(ids_.size() - ids_begin), ids_begin};
}

void TokenizerEncoder::merge_piece(std::string_view piece) {
  if (data_.of_characters) return merge_characters(piece);
  if (data_.pretokenizer.ignore_merges) {
    if (const auto whole = data_.find_by_bytes(piece)) return ids_.push_back(*whole);
  }
  std::string without_missing;
  if (data_.drops_missing_bytes) {
    const auto is_missing = [this](char c) {
      return data_.token_of_byte[static_cast<uint8_t>(c)] < 0;
    };
    if (std::any_of(piece.begin(), piece.end(), is_missing)) {
      without_missing = piece;
      std::erase_if(without_missing, is_missing);
      piece = without_missing;
    }
  }
  for (const BpeSymbol& symbol : data_.bpe.merge(piece, scratch_)) {
    if (symbol.id >= 0 && symbol.id < data_.vocab_size()) {
      ids_.push_back(symbol.id);
    } else {
      append_fallback(piece.substr(symbol.begin, symbol.end - symbol.begin));
    }
  }
}

void TokenizerEncoder::merge_characters(std::string_view piece) {
  auto& symbols = scratch_.symbols;
  symbols.clear();
  for (uint32_t at = 0; at < piece.size();) {
    const auto first = static_cast<uint8_t>(piece[at]);
    const Utf8Char c = utf8_next(piece.substr(at));
    const uint32_t end = at + static_cast<uint32_t>(c.bytes);
    int32_t symbol = -1;
    if (first < 0x80) {
      symbol = data_.bpe.symbol_of_byte(first);
    } else if (c.valid) {
      const auto found = data_.symbol_of_char.find(c.code_point);
      if (found != data_.symbol_of_char.end()) symbol = found->second;
    }
    symbols.push_back({symbol, at, end});
    at = end;
  }
  append_characters(piece, data_.bpe.merge_symbols(scratch_));
}

/// The ids of merged characters. One that has no symbol becomes bytes or, when the vocabulary lacks
/// one of them, the unknown token.
void TokenizerEncoder::append_characters(std::string_view piece,
                                         const std::vector<BpeSymbol>& symbols) {
  for (const BpeSymbol& symbol : symbols) {
    if (symbol.id >= 0 && symbol.id < data_.vocab_size()) {
      ids_.push_back(symbol.id);
      continue;
    }
    std::string_view left = piece.substr(symbol.begin, symbol.end - symbol.begin);
    while (!left.empty()) {
      const std::string_view c = left.substr(0, static_cast<size_t>(utf8_next(left).bytes));
      left.remove_prefix(c.size());
      const bool has_bytes = std::all_of(c.begin(), c.end(), [this](char byte) {
        return data_.token_of_byte[static_cast<uint8_t>(byte)] >= 0;
      });
      if (has_bytes || !data_.unknown) {
        append_fallback(c);
      } else {
        ids_.push_back(*data_.unknown);
      }
    }
  }
}

void TokenizerEncoder::append_fallback(std::string_view bytes) {
  for (const char c : bytes) {
    const int32_t id = data_.token_of_byte[static_cast<uint8_t>(c)];
    if (id >= 0) ids_.push_back(id);
  }
}

}  // namespace minke
