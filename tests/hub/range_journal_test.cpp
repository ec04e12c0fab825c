// Goal: a journal never says more than what is in the file, whoever was killed when. Method: each
// way in which journal and file can come apart.
#include "minke/hub/range_journal.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "minke/base/files.h"
#include "minke/base/random.h"
#include "minke/hub/file_digest.h"
#include "tests/hub/scratch_folder.h"

namespace minke {
namespace {

constexpr uint64_t kChunk = 100;

class Journal : public testing::Test {
 protected:
  void SetUp() override { fd_ = ::open(data_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644); }
  void TearDown() override { ::close(fd_); }
  RangeJournal open(const JournalKey& key, uint64_t chunk_bytes = kChunk) {
    return RangeJournal::open(journal_, fd_, key, chunk_bytes).value();
  }
  void write(uint64_t begin, uint64_t end) {
    const std::string bytes(end - begin, 'x');
    ASSERT_EQ(::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(begin)),
              static_cast<ssize_t>(bytes.size()));
  }

  ScratchFolder scratch_;
  std::filesystem::path data_ = scratch_.path() / "data";
  std::filesystem::path journal_ = scratch_.path() / "journal";
  JournalKey key_{250, "a hash"};
  int fd_ = -1;
};

TEST_F(Journal, GoesOnWhereAKilledProcessStopped) {
  {
    RangeJournal journal = open(key_);
    EXPECT_EQ(journal.num_chunks(), 3u);
    EXPECT_EQ(journal.chunk_end(2), 250u);
    write(0, 100);
    write(200, 230);
    ASSERT_TRUE(journal.mark(0, 100));
    ASSERT_TRUE(journal.begin_request(2));
    ASSERT_TRUE(journal.mark(2, 230));
    ASSERT_TRUE(journal.set_etag("\"tag\""));
  }  // without sync: as after kill -9
  RangeJournal journal = open(key_);
  EXPECT_TRUE(journal.is_complete(0));
  EXPECT_EQ(journal.position(1), 100u);
  EXPECT_EQ(journal.position(2), 230u);
  EXPECT_EQ(journal.bytes_done(), 130u);
  EXPECT_EQ(journal.contiguous_from(0), 100u);
  EXPECT_EQ(journal.lost_requests(2), 1u);
  EXPECT_EQ(journal.etag(), "\"tag\"");
}

TEST_F(Journal, ARequestThatEndsTakesBackItsOwnNoteOnly) {
  {
    RangeJournal journal = open(key_);
    EXPECT_FALSE(journal.has_lost_requests());
    ASSERT_TRUE(journal.begin_request(1));
  }
  RangeJournal journal = open(key_);
  EXPECT_TRUE(journal.has_lost_requests());
  ASSERT_TRUE(journal.begin_request(1));
  EXPECT_EQ(journal.lost_requests(1), 2u);
  ASSERT_TRUE(journal.end_request(1));
  EXPECT_EQ(journal.lost_requests(1), 1u);
  EXPECT_EQ(journal.lost_requests(0), 0u);
  write(100, 200);
  ASSERT_TRUE(journal.mark(1, 200));
  EXPECT_FALSE(journal.has_lost_requests()) << "a complete chunk will not be asked for";
  ASSERT_TRUE(journal.begin_request(0));
  ASSERT_TRUE(journal.reset());
  ASSERT_TRUE(journal.end_request(0)) << "a request that began before a reset may end after it";
  EXPECT_EQ(journal.lost_requests(0), 0u);
}

TEST_F(Journal, ClaimsNothingBeyondTheFilesEnd) {
  {
    RangeJournal journal = open(key_);
    write(0, 40);
    ASSERT_TRUE(journal.mark(0, 100));  // as if the end of the file had been lost
    ASSERT_TRUE(journal.mark(2, 250));
  }
  const RangeJournal journal = open(key_);
  EXPECT_EQ(journal.position(0), 40u);
  EXPECT_EQ(journal.position(2), 200u);
}

TEST_F(Journal, AfterAnotherBootOnlyWhatWasSyncedCounts) {
  {
    RangeJournal journal = open(key_);
    write(0, 250);
    ASSERT_TRUE(journal.mark(0, 60));
    ASSERT_TRUE(journal.sync(fd_, true));
    ASSERT_TRUE(journal.mark(0, 100));
    ASSERT_TRUE(journal.mark(1, 150));
  }
  EXPECT_EQ(open(key_).bytes_done(), 150u);
  // The header of another boot: its id changed, its checksum made anew by a journal of that key.
  std::string text = read_file(journal_).value();
  text[88] = text[88] == '0' ? '1' : '0';
  ASSERT_TRUE(write_file_atomic(journal_, text));
  EXPECT_EQ(open(key_).bytes_done(), 0u) << "a header that was changed must not be believed";
}

TEST_F(Journal, OfAnotherFileOrDamagedIsBegunAfresh) {
  const auto fill = [&] {
    RangeJournal journal = open(key_);
    write(0, 100);
    ASSERT_TRUE(journal.mark(0, 100));
  };
  fill();
  EXPECT_EQ(open({250, "another hash"}).bytes_done(), 0u);
  fill();
  EXPECT_EQ(open({251, "a hash"}).bytes_done(), 0u);
  fill();
  EXPECT_EQ(open(key_, 50).bytes_done(), 0u);
  fill();
  const std::string good = read_file(journal_).value();
  for (const size_t cut : {size_t{0}, size_t{10}, size_t{391}, good.size() - 1}) {
    ASSERT_TRUE(write_file_atomic(journal_, good.substr(0, cut)));
    EXPECT_EQ(open(key_).bytes_done(), 0u) << cut;
  }
}

TEST_F(Journal, NumbersThatCannotBeAreCut) {
  {
    RangeJournal journal = open(key_);
    write(0, 250);
  }
  std::string text = read_file(journal_).value();
  text.replace(392, text.size() - 392, text.size() - 392, '\xff');
  ASSERT_TRUE(write_file_atomic(journal_, text));
  const RangeJournal journal = open(key_);
  EXPECT_EQ(journal.bytes_done(), 250u);  // whole chunks, not more
  EXPECT_TRUE(journal.is_complete());
}

TEST_F(Journal, NoDamageMakesItClaimWhatCannotBe) {
  {
    RangeJournal journal = open(key_);
    write(0, 230);
    ASSERT_TRUE(journal.mark(0, 100));
    ASSERT_TRUE(journal.begin_request(1));
    ASSERT_TRUE(journal.mark(2, 230));
    ASSERT_TRUE(journal.set_etag("tag"));
  }
  const std::string good = read_file(journal_).value();
  Random random(5);
  for (int turn = 0; turn < 300; ++turn) {
    std::string text = good;
    for (uint64_t i = random.below(4) + 1; i > 0; --i) {
      text[random.below(text.size())] = static_cast<char>(random.below(256));
    }
    if (turn % 5 == 0) text.resize(random.below(2 * text.size()), '\x7f');
    ASSERT_TRUE(write_file_atomic(journal_, text));
    const RangeJournal journal = open(key_);
    ASSERT_EQ(journal.num_chunks(), 3u);
    uint64_t bytes_done = 0;
    for (size_t chunk = 0; chunk < 3; ++chunk) {
      ASSERT_GE(journal.position(chunk), journal.chunk_begin(chunk));
      ASSERT_LE(journal.position(chunk), chunk == 2 ? 230u : journal.chunk_end(chunk));
      bytes_done += journal.position(chunk) - journal.chunk_begin(chunk);
    }
    ASSERT_EQ(journal.bytes_done(), bytes_done);
  }
}

TEST_F(Journal, ResetForgetsAll) {
  RangeJournal journal = open(key_);
  write(0, 100);
  ASSERT_TRUE(journal.mark(0, 100));
  ASSERT_TRUE(journal.reset());
  EXPECT_EQ(journal.bytes_done(), 0u);
  EXPECT_EQ(open(key_).bytes_done(), 0u);
}

TEST_F(Journal, AnEmptyFileIsComplete) { EXPECT_TRUE(open({0, "x"}).is_complete()); }

TEST(FileDigest, GivesTheHashesOfGitAndSha256sum) {
  const ScratchFolder scratch;
  const auto path = scratch.path() / "file";
  ASSERT_TRUE(write_file_atomic(path, "hello\n"));
  const auto hashes = hash_file(path.string());
  ASSERT_TRUE(hashes);
  // git hash-object and sha256sum of the same file.
  EXPECT_EQ(hashes->git_sha1, "ce013625030ba8dba906f756967f9e9ca394464a");
  EXPECT_EQ(hashes->sha256, "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03");
  EXPECT_EQ(hash_file((scratch.path() / "none").string()).error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace minke
