#include "minke/data/token_shard.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "minke/base/check.h"
#include "minke/data/shard_hash.h"

namespace minke {
namespace {

static_assert(std::endian::native == std::endian::little, "shards are little endian");

constexpr uint64_t kVocabMax = uint64_t{1} << 31;
constexpr uint64_t kTextBytesMax = uint64_t{1} << 45;  // so that sums over shards do not overflow

template <class... Args>
tl::unexpected<Error> corrupt(const std::string& name, fmt::format_string<Args...> format,
                              Args&&... args) {
  return fail(ErrorCode::kCorrupt, "{}: {}; make it again with minke data prepare", name,
              fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace

Result<TokenShard> TokenShard::open(const std::filesystem::path& path) {
  MK_ASSIGN(MappedFile file, MappedFile::open(path));
  MK_ASSIGN(TokenShard shard, parse(file.bytes(), path.string()));
  shard.file_ = std::move(file);
  return shard;
}

Result<TokenShard> TokenShard::parse(std::span<const std::byte> bytes, std::string name) {
  TokenShard shard;
  shard.bytes_ = bytes;
  shard.name_ = std::move(name);
  MK_TRY(shard.check_layout());
  MK_TRY(shard.check_ends());
  return shard;
}

Result<void> TokenShard::check_layout() {
  constexpr size_t kBytesMin = sizeof(kShardMagic) + sizeof(ShardFooter);
  if (bytes_.size() < kBytesMin) {
    return corrupt(name_, "{} bytes when a token shard has at least {}", bytes_.size(), kBytesMin);
  }
  if (std::memcmp(bytes_.data(), kShardMagic, sizeof(kShardMagic)) != 0) {
    return corrupt(name_, "no token shard: it does not begin with MKTOKENS");
  }
  const size_t footer_at = bytes_.size() - sizeof(ShardFooter);
  std::memcpy(&footer_, bytes_.data() + footer_at, sizeof(footer_));
  if (std::memcmp(footer_.magic, kShardFooterMagic, sizeof(kShardFooterMagic)) != 0) {
    return corrupt(name_,
                   "cut short, or of another version: no MKSHARD1 where its footer should "
                   "be");
  }
  if (footer_.file_bytes != bytes_.size()) {
    return corrupt(name_, "{} bytes when its footer says {}", bytes_.size(), footer_.file_bytes);
  }
  if (footer_.kind > ShardKind::kPairs || footer_.vocab_size == 0 ||
      footer_.vocab_size >= kVocabMax ||
      footer_.token_bytes != (footer_.vocab_size > 65536 ? 4u : 2u)) {
    return corrupt(name_, "its footer has kind {}, {} tokens in the vocabulary, {} bytes a token",
                   static_cast<uint32_t>(footer_.kind), footer_.vocab_size, footer_.token_bytes);
  }
  // Each count is checked against the file's size first, so that no sum overflows.
  const uint64_t size = bytes_.size();
  const bool counts_fit = footer_.num_tokens <= size && footer_.num_documents <= size &&
                          footer_.num_targets <= footer_.num_tokens &&
                          footer_.text_bytes <= kTextBytesMax;
  const uint64_t ids_end =
      (sizeof(kShardMagic) + footer_.num_tokens * footer_.token_bytes + 7) / 8 * 8;
  const uint64_t mask_at = ids_end + footer_.num_documents * sizeof(uint64_t);
  const bool masked = footer_.kind != ShardKind::kText;
  const uint64_t end = mask_at + (masked ? (footer_.num_tokens + 7) / 8 : 0);
  if (!counts_fit || end != footer_at) {
    return corrupt(
        name_, "{} tokens in {} documents with {} targets of {} bytes do not fit its {} bytes",
        footer_.num_tokens, footer_.num_documents, footer_.num_targets, footer_.text_bytes, size);
  }
  ends_ = bytes_.data() + ids_end;
  if (masked) mask_ = bytes_.data() + mask_at;
  info_ = {.kind = footer_.kind,
           .vocab_size = static_cast<int32_t>(footer_.vocab_size),
           .tokenizer_hash = std::string(footer_.tokenizer_hash, sizeof(footer_.tokenizer_hash)),
           .num_tokens = static_cast<int64_t>(footer_.num_tokens),
           .num_documents = static_cast<int64_t>(footer_.num_documents),
           .num_targets = static_cast<int64_t>(footer_.num_targets),
           .text_bytes = static_cast<int64_t>(footer_.text_bytes)};
  return {};
}

Result<void> TokenShard::check_ends() const {
  uint64_t before = 0;
  for (int64_t i = 0; i < info_.num_documents; ++i) {
    const uint64_t end = end_of(i);
    if (end <= before || end > footer_.num_tokens) {
      return corrupt(name_, "document {} ends at token {}, after {} of {}", i, end, before,
                     footer_.num_tokens);
    }
    before = end;
  }
  if (before != footer_.num_tokens) {
    return corrupt(name_, "its documents end at token {} of {}", before, footer_.num_tokens);
  }
  if (info_.num_documents == 0) return corrupt(name_, "no documents");
  if (info_.kind == ShardKind::kPairs && info_.num_documents % 2 != 0) {
    return corrupt(name_, "{} answers are no pairs", info_.num_documents);
  }
  return {};
}

uint64_t TokenShard::end_of(int64_t document) const {
  uint64_t end;
  std::memcpy(&end, ends_ + document * static_cast<int64_t>(sizeof(end)), sizeof(end));
  return end;
}

TokenRange TokenShard::document(int64_t index) const {
  MK_CHECK(0 <= index && index < info_.num_documents, "shard: document {} of {}", index,
           info_.num_documents);
  const uint64_t begin = index > 0 ? end_of(index - 1) : 0;
  return {static_cast<int64_t>(begin), static_cast<int64_t>(end_of(index))};
}

int64_t TokenShard::document_of(int64_t token) const {
  MK_CHECK(0 <= token && token < info_.num_tokens, "shard: token {} of {}", token,
           info_.num_tokens);
  int64_t low = 0, high = info_.num_documents - 1;
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    if (end_of(middle) > static_cast<uint64_t>(token)) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

Result<void> TokenShard::read(TokenRange range, std::vector<int32_t>& ids) const {
  MK_CHECK(0 <= range.begin && range.begin <= range.end && range.end <= info_.num_tokens,
           "shard: tokens {}..{} of {}", range.begin, range.end, info_.num_tokens);
  const size_t width = footer_.token_bytes;
  const std::byte* at =
      bytes_.data() + sizeof(kShardMagic) + static_cast<size_t>(range.begin) * width;
  ids.reserve(ids.size() + static_cast<size_t>(range.size()));
  for (int64_t token = range.begin; token < range.end; ++token, at += width) {
    uint32_t id = 0;
    std::memcpy(&id, at, width);
    if (id >= footer_.vocab_size) {
      return corrupt(name_, "token {} is {} when the vocabulary has {}", token, id,
                     footer_.vocab_size);
    }
    ids.push_back(static_cast<int32_t>(id));
  }
  return {};
}

bool TokenShard::has_loss(int64_t token) const {
  MK_DCHECK(0 <= token && token < info_.num_tokens, "shard: token {} of {}", token,
            info_.num_tokens);
  return mask_ == nullptr || (std::to_integer<unsigned>(mask_[token / 8]) >> (token % 8) & 1) != 0;
}

int64_t TokenShard::count_targets() const {
  if (mask_ == nullptr) return info_.num_tokens;
  int64_t count = 0;
  for (int64_t i = 0; i < (info_.num_tokens + 7) / 8; ++i) {
    count += std::popcount(std::to_integer<unsigned>(mask_[i]));
  }
  return count;
}

Result<void> TokenShard::verify() const {
  ShardHash hash;
  hash.add(bytes_.first(bytes_.size() - sizeof(footer_.content_hash)));
  if (hash.finish() != std::string_view(footer_.content_hash, sizeof(footer_.content_hash))) {
    return corrupt(name_, "its bytes are not those that were written (hash)");
  }
  constexpr int64_t kBlockTokens = 1 << 20;
  std::vector<int32_t> ids;
  for (int64_t begin = 0; begin < info_.num_tokens; begin += kBlockTokens) {
    ids.clear();
    MK_TRY(read({begin, std::min(begin + kBlockTokens, info_.num_tokens)}, ids));
  }
  if (const int64_t count = count_targets(); count != info_.num_targets) {
    return corrupt(name_, "its mask has {} targets, its footer {}", count, info_.num_targets);
  }
  return {};
}

}  // namespace minke
