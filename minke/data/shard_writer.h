#pragma once
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "minke/base/atomic_file.h"
#include "minke/base/result.h"
#include "minke/data/shard_hash.h"
#include "minke/data/token_shard.h"

namespace minke {

class Tokenizer;

/// What tells tokenizers apart in shards: a hash of all tokens and of which are control tokens.
std::string vocabulary_hash(const Tokenizer& tokenizer);

/// A document as token ids.
struct TokenDocument {
  std::vector<int32_t> ids;
  std::vector<bool> loss;  ///< [ids] which are to be learned; empty: all
  int64_t text_bytes = 0;  ///< of UTF-8 that the learned ones stand for
  int64_t lost_bytes = 0;  ///< of UTF-8 that the tokenizer has no token for
  bool continues = false;  ///< the next one that is added goes on with this document
};

/// Writes one shard, document by document; there whole or not at all. Ids go to the disk at once,
/// masks and ends (8 bytes a document, a bit a token) wait in memory.
class ShardWriter {
 public:
  /// `info` needs kind, vocab_size and tokenizer_hash. Errors here and below: AtomicFile's.
  static Result<ShardWriter> create(const std::filesystem::path& path, const ShardInfo& info);

  /// The document must not be empty, its ids must be below vocab_size.
  Result<void> add(const TokenDocument& document);
  /// What has been added so far.
  const ShardInfo& info() const { return info_; }
  /// Puts the file in its place. At least one document must have been added. One that was to be
  /// continued ends here.
  Result<void> finish();

 private:
  ShardWriter(AtomicFile file, ShardInfo info) : file_(std::move(file)), info_(std::move(info)) {}
  void end_document();
  void add_mask(const TokenDocument& document);
  Result<void> write(std::span<const std::byte> bytes);

  AtomicFile file_;
  ShardInfo info_;
  ShardHash hash_;
  uint64_t file_bytes_ = 0;
  std::vector<uint64_t> ends_;
  std::vector<uint8_t> mask_;
};

}  // namespace minke
