#include "minke/data/dataset.h"

#include <algorithm>

#include "minke/base/check.h"
#include "minke/base/utf8.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

/// Where `value` lies in ascending `before`, whose first is 0 and last is above `value`.
size_t place_of(const std::vector<int64_t>& before, int64_t value) {
  MK_CHECK(0 <= value && value < before.back(), "dataset: {} of {}", value, before.back());
  return static_cast<size_t>(std::ranges::upper_bound(before, value) - before.begin()) - 1;
}

Result<std::vector<fs::path>> shard_paths(const fs::path& folder, std::string_view split) {
  MK_ASSIGN(const Json file, read_dataset_file(folder));
  const Json* const splits = file.find("splits");
  const Json* const entry = splits != nullptr ? splits->find(split) : nullptr;
  const Json* const shards = entry != nullptr ? entry->find("shards") : nullptr;
  if (shards == nullptr || !shards->is_array() || shards->as_array().empty()) {
    return fail(ErrorCode::kNotFound,
                "{} has no {} split; minke data prepare --validation makes one", folder.string(),
                split);
  }
  std::vector<fs::path> paths;
  for (const Json& name : shards->as_array()) {
    if (!name.is_string() || name.as_string().empty() ||
        name.as_string().find('/') != std::string::npos) {
      return fail(ErrorCode::kCorrupt,
                  "{}: a shard's name is {}, expected that of a file beside it",
                  (folder / kDatasetFile).string(), printable_name(name.dump()));
    }
    paths.push_back(folder / name.as_string());
  }
  return paths;
}

}  // namespace

Result<Json> read_dataset_file(const fs::path& folder) {
  const fs::path path = folder / kDatasetFile;
  constexpr size_t kBytesMax = size_t{64} << 20;
  const Result<std::string> text = read_file(path, kBytesMax);
  if (!text && text.error().code == ErrorCode::kNotFound) {
    return fail(ErrorCode::kNotFound, "{} has no {}; minke data prepare makes such a folder",
                folder.string(), kDatasetFile);
  }
  if (!text) return pass_on(text);
  Result<Json> file = parse_json(*text);
  if (!file) return fail(ErrorCode::kCorrupt, "{}: {}", path.string(), file.error().message);
  const Json* const format = file->find("format");
  if (format == nullptr || *format != Json(kDatasetFormat)) {
    return fail(ErrorCode::kCorrupt, "{}: format is {}, expected \"{}\"", path.string(),
                format != nullptr ? printable_name(format->dump()) : "missing", kDatasetFormat);
  }
  return file;
}

Result<TokenDataset> TokenDataset::open(const fs::path& path, std::string_view split) {
  std::error_code error;
  std::vector<fs::path> paths = {path};
  if (fs::is_directory(path, error)) {
    MK_ASSIGN(paths, shard_paths(path, split));
  } else if (split != "train") {
    return fail(ErrorCode::kNotFound, "{} is one shard and has no {} split", path.string(), split);
  }
  std::vector<TokenShard> shards;
  for (const fs::path& one : paths) {
    MK_ASSIGN(TokenShard shard, TokenShard::open(one));
    shards.push_back(std::move(shard));
  }
  return of_shards(std::move(shards));
}

Result<TokenDataset> TokenDataset::of_shards(std::vector<TokenShard> shards) {
  MK_CHECK(!shards.empty(), "dataset: no shards");
  TokenDataset out;
  out.shards_ = std::move(shards);
  const ShardInfo& first = out.shards_.front().info();
  out.info_ = {
      .kind = first.kind, .vocab_size = first.vocab_size, .tokenizer_hash = first.tokenizer_hash};
  out.tokens_before_ = {0};
  out.documents_before_ = {0};
  for (const TokenShard& shard : out.shards_) {
    const ShardInfo& info = shard.info();
    if (info.kind != first.kind || info.vocab_size != first.vocab_size ||
        info.tokenizer_hash != first.tokenizer_hash) {
      return fail(ErrorCode::kCorrupt, "{} and {} were made with different tokenizers or formats",
                  out.shards_.front().name(), shard.name());
    }
    out.info_.num_tokens += info.num_tokens;
    out.info_.num_documents += info.num_documents;
    out.info_.num_targets += info.num_targets;
    out.info_.text_bytes += info.text_bytes;
    out.tokens_before_.push_back(out.info_.num_tokens);
    out.documents_before_.push_back(out.info_.num_documents);
  }
  return out;
}

size_t TokenDataset::shard_of_token(int64_t token) const { return place_of(tokens_before_, token); }

TokenRange TokenDataset::document(int64_t index) const {
  const size_t shard = place_of(documents_before_, index);
  const TokenRange range = shards_[shard].document(index - documents_before_[shard]);
  return {range.begin + tokens_before_[shard], range.end + tokens_before_[shard]};
}

int64_t TokenDataset::document_of(int64_t token) const {
  const size_t shard = shard_of_token(token);
  return documents_before_[shard] + shards_[shard].document_of(token - tokens_before_[shard]);
}

Result<void> TokenDataset::read(TokenRange range, std::vector<int32_t>& ids) const {
  while (range.begin < range.end) {
    const size_t shard = shard_of_token(range.begin);
    const int64_t first = tokens_before_[shard];
    const int64_t end = std::min(range.end, tokens_before_[shard + 1]);
    MK_TRY(shards_[shard].read({range.begin - first, end - first}, ids));
    range.begin = end;
  }
  return {};
}

bool TokenDataset::has_loss(int64_t token) const {
  const size_t shard = shard_of_token(token);
  return shards_[shard].has_loss(token - tokens_before_[shard]);
}

}  // namespace minke
