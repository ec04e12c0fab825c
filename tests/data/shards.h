#pragma once
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "minke/data/dataset.h"
#include "minke/data/shard_writer.h"

namespace minke::test {

/// A folder of its own, removed at the end.
class Folder {
 public:
  Folder() {
    std::string name = std::filesystem::temp_directory_path() / "minke-data-XXXXXX";
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    path_ = name;
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline ShardInfo info_of(ShardKind kind, int32_t vocab_size = 1000) {
  ShardInfo info;
  info.kind = kind;
  info.vocab_size = vocab_size;
  info.tokenizer_hash = std::string(32, 'a');
  return info;
}

inline void write_shard(const std::filesystem::path& path, const ShardInfo& info,
                        const std::vector<TokenDocument>& documents) {
  auto writer = ShardWriter::create(path, info);
  ASSERT_TRUE(writer) << writer.error().message;
  for (const TokenDocument& document : documents) ASSERT_TRUE(writer->add(document));
  ASSERT_TRUE(writer->finish());
}

}  // namespace minke::test
