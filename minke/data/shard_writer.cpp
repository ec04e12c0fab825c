#include "minke/data/shard_writer.h"

#include <cstring>

#include "minke/base/check.h"
#include "minke/text/tokenizer.h"

namespace minke {

std::string vocabulary_hash(const Tokenizer& tokenizer) {
  std::string all;
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    const std::string_view bytes = tokenizer.token_bytes(id);
    all += fmt::format("{}{}:", tokenizer.is_control(id) ? "c" : "", bytes.size());
    all += bytes;
  }
  return hash128_hex(all);
}

Result<ShardWriter> ShardWriter::create(const std::filesystem::path& path, const ShardInfo& info) {
  MK_CHECK(info.tokenizer_hash.size() == sizeof(ShardFooter::tokenizer_hash) && info.vocab_size > 0,
           "shard: tokenizer hash '{}' of {} tokens", info.tokenizer_hash, info.vocab_size);
  MK_ASSIGN(AtomicFile file, AtomicFile::create(path));
  ShardWriter writer(
      std::move(file),
      {.kind = info.kind, .vocab_size = info.vocab_size, .tokenizer_hash = info.tokenizer_hash});
  MK_TRY(writer.write(std::as_bytes(std::span(kShardMagic))));
  return writer;
}

Result<void> ShardWriter::write(std::span<const std::byte> bytes) {
  hash_.add(bytes);
  file_bytes_ += bytes.size();
  return file_.write(bytes);
}

Result<void> ShardWriter::add(const TokenDocument& document) {
  MK_CHECK(!document.ids.empty() &&
               (document.loss.empty() || document.loss.size() == document.ids.size()),
           "shard: a document of {} tokens with {} mask bits", document.ids.size(),
           document.loss.size());
  for (const int32_t id : document.ids) {
    MK_CHECK(0 <= id && id < info_.vocab_size, "shard: token {} of {}", id, info_.vocab_size);
  }
  if (info_.vocab_size > 65536) {
    MK_TRY(write(std::as_bytes(std::span(document.ids))));
  } else {
    const std::vector<uint16_t> ids(document.ids.begin(), document.ids.end());
    MK_TRY(write(std::as_bytes(std::span(ids))));
  }
  add_mask(document);
  info_.num_tokens += static_cast<int64_t>(document.ids.size());
  info_.text_bytes += document.text_bytes;
  if (!document.continues) end_document();
  return {};
}

void ShardWriter::end_document() {
  ends_.push_back(static_cast<uint64_t>(info_.num_tokens));
  info_.num_documents += 1;
}

void ShardWriter::add_mask(const TokenDocument& document) {
  MK_CHECK(info_.kind != ShardKind::kText || document.loss.empty(), "shard: text with a mask");
  if (info_.kind == ShardKind::kText) {
    info_.num_targets += static_cast<int64_t>(document.ids.size());
    return;
  }
  auto bit = static_cast<size_t>(info_.num_tokens);
  for (size_t i = 0; i < document.ids.size(); ++i, ++bit) {
    if (bit % 8 == 0) mask_.push_back(0);
    if (!document.loss.empty() && !document.loss[i]) continue;
    mask_.back() |= static_cast<uint8_t>(1 << bit % 8);
    ++info_.num_targets;
  }
}

Result<void> ShardWriter::finish() {
  MK_CHECK(info_.num_tokens > 0, "shard: no documents");
  if (ends_.empty() || ends_.back() != static_cast<uint64_t>(info_.num_tokens)) end_document();
  constexpr std::byte kZeros[8] = {};
  MK_TRY(write(std::span(kZeros).first((8 - file_bytes_ % 8) % 8)));
  MK_TRY(write(std::as_bytes(std::span(ends_))));
  MK_TRY(write(std::as_bytes(std::span(mask_))));
  ShardFooter footer{};
  std::memcpy(footer.magic, kShardFooterMagic, sizeof(footer.magic));
  footer.file_bytes = file_bytes_ + sizeof(footer);
  footer.num_tokens = static_cast<uint64_t>(info_.num_tokens);
  footer.num_documents = static_cast<uint64_t>(info_.num_documents);
  footer.num_targets = static_cast<uint64_t>(info_.num_targets);
  footer.text_bytes = static_cast<uint64_t>(info_.text_bytes);
  footer.token_bytes = info_.vocab_size > 65536 ? 4 : 2;
  footer.kind = info_.kind;
  footer.vocab_size = static_cast<uint32_t>(info_.vocab_size);
  std::memcpy(footer.tokenizer_hash, info_.tokenizer_hash.data(), sizeof(footer.tokenizer_hash));
  const auto bytes = std::as_bytes(std::span(&footer, 1));
  hash_.add(bytes.first(sizeof(footer) - sizeof(footer.content_hash)));
  std::memcpy(footer.content_hash, hash_.finish().data(), sizeof(footer.content_hash));
  MK_TRY(file_.write(bytes));
  return file_.commit();
}

}  // namespace minke
