#pragma once
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "minke/base/json.h"
#include "minke/base/result.h"
#include "minke/data/token_shard.h"

namespace minke {

/// In a folder that `minke data prepare` made: its shards by split, and how they were made.
inline constexpr std::string_view kDatasetFile = "dataset.json";
/// Its member "format".
inline constexpr std::string_view kDatasetFormat = "minke-data-1";

/// The shards of one split as one row of documents and tokens.
class TokenDataset {
 public:
  /// A folder that `minke data prepare` made, or a single shard (whose split is "train"). kNotFound
  /// when there is nothing there or no such split; kCorrupt when the shards are, or do not belong
  /// together.
  static Result<TokenDataset> open(const std::filesystem::path& path,
                                   std::string_view split = "train");
  /// At least one shard. kCorrupt when kinds or tokenizers differ.
  static Result<TokenDataset> of_shards(std::vector<TokenShard> shards);

  /// Of all shards together.
  const ShardInfo& info() const { return info_; }
  std::span<const TokenShard> shards() const { return shards_; }

  /// Document i of all, in tokens of all.
  TokenRange document(int64_t index) const;
  /// The document that has this token.
  int64_t document_of(int64_t token) const;
  /// Appends the ids of a range, which may reach over shards. kCorrupt.
  Result<void> read(TokenRange range, std::vector<int32_t>& ids) const;
  bool has_loss(int64_t token) const;

 private:
  size_t shard_of_token(int64_t token) const;

  std::vector<TokenShard> shards_;
  std::vector<int64_t> tokens_before_;     // [shards + 1]
  std::vector<int64_t> documents_before_;  // [shards + 1]
  ShardInfo info_;
};

/// dataset.json of a folder; kNotFound, or kCorrupt when it is not what it should be.
Result<Json> read_dataset_file(const std::filesystem::path& folder);

}  // namespace minke
