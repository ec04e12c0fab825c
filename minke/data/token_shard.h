#pragma once
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "minke/base/files.h"
#include "minke/base/result.h"
#include "minke/data/shard_format.h"

namespace minke {

/// What a shard says of itself.
struct ShardInfo {
  ShardKind kind = ShardKind::kText;
  int32_t vocab_size = 0;      ///< all ids are below
  std::string tokenizer_hash;  ///< vocabulary_hash() of the tokenizer
  int64_t num_tokens = 0;
  int64_t num_documents = 0;
  int64_t num_targets = 0;
  int64_t text_bytes = 0;
};

/// Tokens [begin, end) of a shard or a data set.
struct TokenRange {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t size() const { return end - begin; }
};

/// A token shard (shard_format.h), mapped and read as hostile: after open() every document lies in
/// the file; ids are checked when they are read, the hash by verify().
class TokenShard {
 public:
  /// kNotFound; kCorrupt, naming the file, when it is no shard, shortened or contradicts itself.
  static Result<TokenShard> open(const std::filesystem::path& path);
  /// The same of bytes in memory, which must outlive this; `name` is for messages.
  static Result<TokenShard> parse(std::span<const std::byte> bytes, std::string name);

  const ShardInfo& info() const { return info_; }
  const std::string& name() const { return name_; }

  /// The tokens of document i.
  TokenRange document(int64_t index) const;
  /// The document that has this token.
  int64_t document_of(int64_t token) const;
  /// Appends the ids of a range. kCorrupt for an id that is not below the vocabulary's size.
  Result<void> read(TokenRange range, std::vector<int32_t>& ids) const;
  /// Whether the token is to be learned.
  bool has_loss(int64_t token) const;

  /// Reads all of it: the hash, the ids, the number of targets. kCorrupt.
  Result<void> verify() const;

 private:
  Result<void> check_layout();
  Result<void> check_ends() const;
  uint64_t end_of(int64_t document) const;
  int64_t count_targets() const;

  MappedFile file_;
  std::span<const std::byte> bytes_;
  std::string name_;
  ShardInfo info_;
  ShardFooter footer_{};
  const std::byte* ends_ = nullptr;
  const std::byte* mask_ = nullptr;  // none in kText
};

}  // namespace minke
