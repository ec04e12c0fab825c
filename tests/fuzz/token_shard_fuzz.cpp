// Any bytes are a token shard: opening it ends with an Error, or with a shard whose documents,
// masks and batches can be read to the end, where each id is below the vocabulary's size or an
// Error. The hash is not asked for, because it would keep all but the seeds out.
#include <cstdint>
#include <cstdlib>

#include "minke/data/batch_sources.h"

namespace {

using minke::BatchOptions;
using minke::TokenBatch;
using minke::TokenDataset;
using minke::TokenShard;

void require(bool condition) {
  if (!condition) std::abort();
}

void check(const TokenBatch& batch, const minke::ShardInfo& info, const BatchOptions& options) {
  require(batch.num_rows() <= options.rows && batch.seq_len <= options.seq_len);
  require(batch.targets.size() == batch.tokens.size());
  require(batch.positions.size() == batch.tokens.size());
  for (const int32_t id : batch.tokens) require(0 <= id && id < info.vocab_size);
  for (const int32_t id : batch.targets) require(minke::kNoTarget <= id && id < info.vocab_size);
}

void read_all(const TokenDataset& dataset) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < dataset.info().num_documents; ++i) {
    const minke::TokenRange range = dataset.document(i);
    require(dataset.document_of(range.begin) == i);
    for (int64_t token = range.begin; token < range.end; ++token) dataset.has_loss(token);
    if (!dataset.read(range, ids)) ids.clear();
  }
}

void read_batches(TokenDataset dataset, TokenDataset same, const BatchOptions& options) {
  const minke::ShardInfo info = dataset.info();
  if (const auto source = minke::make_batches(std::move(dataset), options)) {
    for (int64_t step = 0; step < 4; ++step) {
      if (const auto batch = (*source)->batch(step)) check(*batch, info, options);
    }
  }
  if (const auto source = minke::make_pair_batches(std::move(same), options)) {
    const auto batch = (*source)->batch(0);
    if (!batch) return;
    check(batch->chosen, info, options);
    check(batch->rejected, info, options);
    require(batch->chosen.num_rows() == batch->rejected.num_rows());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto open = [&] { return TokenShard::parse(std::as_bytes(std::span(data, size)), "fuzz"); };
  auto shard = open();
  if (!shard) {
    require(!shard.error().message.empty() && shard.error().message.size() < 4096);
    return 0;
  }
  const auto dataset_of_two = [&] {
    std::vector<TokenShard> shards;
    shards.push_back(std::move(*open()));
    shards.push_back(std::move(*open()));
    auto dataset = TokenDataset::of_shards(std::move(shards));
    require(dataset.has_value());
    return std::move(*dataset);
  };
  read_all(dataset_of_two());
  for (const bool separate : {false, true}) {
    const BatchOptions options{.rows = 2, .seq_len = 7, .separate_documents = separate};
    read_batches(dataset_of_two(), dataset_of_two(), options);
  }
  return 0;
}
