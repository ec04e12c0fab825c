// Goal: a shard gives back what was written, and no bytes whatever lead outside of it. Method:
// round trips of drawn documents; every byte of a small shard changed, every length of it cut.
#include "minke/data/token_shard.h"

#include <gtest/gtest.h>

#include "minke/base/random.h"
#include "tests/data/shards.h"

namespace minke {
namespace {

using test::Folder;
using test::info_of;

std::vector<TokenDocument> drawn_documents(uint64_t seed, int32_t vocab_size, bool masked) {
  Random random(seed);
  std::vector<TokenDocument> documents(2 + 2 * random.below(10));
  for (TokenDocument& document : documents) {
    const size_t length = 1 + random.below(40);
    for (size_t i = 0; i < length; ++i) {
      document.ids.push_back(static_cast<int32_t>(random.below(static_cast<uint64_t>(vocab_size))));
      if (masked) document.loss.push_back(random.below(2) == 1);
    }
    document.text_bytes = static_cast<int64_t>(random.below(100));
  }
  return documents;
}

TEST(TokenShard, GivesBackWhatWasWritten) {
  const Folder folder;
  for (const ShardKind kind : {ShardKind::kText, ShardKind::kExamples, ShardKind::kPairs}) {
    for (const int32_t vocab_size : {3, 65536, 65537, 200000}) {
      const auto documents =
          drawn_documents(static_cast<uint64_t>(vocab_size), vocab_size, kind != ShardKind::kText);
      test::write_shard(folder / "a.mkt", info_of(kind, vocab_size), documents);
      const auto shard = TokenShard::open(folder / "a.mkt");
      ASSERT_TRUE(shard) << shard.error().message;
      ASSERT_TRUE(shard->verify());
      ASSERT_EQ(shard->info().num_documents, static_cast<int64_t>(documents.size()));
      int64_t text_bytes = 0;
      for (size_t i = 0; i < documents.size(); ++i) {
        const TokenRange range = shard->document(static_cast<int64_t>(i));
        std::vector<int32_t> ids;
        ASSERT_TRUE(shard->read(range, ids));
        EXPECT_EQ(ids, documents[i].ids);
        for (int64_t token = range.begin; token < range.end; ++token) {
          EXPECT_EQ(shard->document_of(token), static_cast<int64_t>(i));
          const auto at = static_cast<size_t>(token - range.begin);
          EXPECT_EQ(shard->has_loss(token), documents[i].loss.empty() || documents[i].loss[at]);
        }
        text_bytes += documents[i].text_bytes;
      }
      EXPECT_EQ(shard->info().text_bytes, text_bytes);
    }
  }
}

TEST(TokenShard, OfAnyChangedByteIsRefusedOrSafe) {
  const Folder folder;
  const auto documents = drawn_documents(5, 300, true);
  test::write_shard(folder / "a.mkt", info_of(ShardKind::kExamples, 300), documents);
  const auto file = read_file(folder / "a.mkt");
  ASSERT_TRUE(file);
  for (size_t at = 0; at < file->size(); ++at) {
    for (const char flip : {'\x01', '\x80', '\xff'}) {
      std::string bytes = *file;
      bytes[at] = static_cast<char>(bytes[at] ^ flip);
      const auto shard = TokenShard::parse(std::as_bytes(std::span(bytes)), "flipped");
      if (!shard) {
        EXPECT_EQ(shard.error().code, ErrorCode::kCorrupt);
        continue;
      }
      const auto verified = shard->verify();
      ASSERT_FALSE(verified) << "byte " << at;
      EXPECT_EQ(verified.error().code, ErrorCode::kCorrupt);
      std::vector<int32_t> ids;
      for (int64_t i = 0; i < shard->info().num_documents; ++i) {
        if (!shard->read(shard->document(i), ids)) break;
      }
    }
  }
}

TEST(TokenShard, CutShortOrJoinedIsRefused) {
  const Folder folder;
  test::write_shard(folder / "a.mkt", info_of(ShardKind::kText), drawn_documents(1, 1000, false));
  const auto file = read_file(folder / "a.mkt");
  ASSERT_TRUE(file);
  for (size_t size = 0; size < file->size(); ++size) {
    EXPECT_FALSE(TokenShard::parse(std::as_bytes(std::span(*file)).first(size), "cut"));
  }
  const std::string twice = *file + *file;
  EXPECT_FALSE(TokenShard::parse(std::as_bytes(std::span(twice)), "twice"));
}

TEST(TokenShard, OfNoShardSaysSo) {
  const Folder folder;
  ASSERT_TRUE(write_file_atomic(folder / "x.txt", std::string(500, 'x')));
  const auto shard = TokenShard::open(folder / "x.txt");
  ASSERT_FALSE(shard);
  EXPECT_NE(shard.error().message.find("no token shard"), std::string::npos);
  EXPECT_EQ(TokenShard::open(folder / "none").error().code, ErrorCode::kNotFound);
}

TEST(ShardWriter, LeavesNothingWithoutFinish) {
  const Folder folder;
  {
    auto writer = ShardWriter::create(folder / "a.mkt", info_of(ShardKind::kText));
    ASSERT_TRUE(writer);
    ASSERT_TRUE(writer->add({.ids = {1, 2, 3}, .loss = {}, .text_bytes = 3}));
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

}  // namespace
}  // namespace minke
