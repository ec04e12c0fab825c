// Goal: a file that is cut, flipped or lies gives a kCorrupt that names the field, at once and
// without memory for what it claims. Method: files made by hand from numbers, each prefix and each
// flipped bit of a valid one. Meant to run under AddressSanitizer too.
#include <gtest/gtest.h>

#include <chrono>

#include "minke/base/random.h"
#include "minke/format/gguf.h"
#include "minke/format/gguf_writer.h"

namespace minke {
namespace {

/// Bytes of a file, put together one field after the other.
class Bytes {
 public:
  template <class T>
    requires std::is_arithmetic_v<T>
  Bytes& add(T value) {
    out_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  Bytes& text(std::string_view text) {
    add(uint64_t{text.size()});
    out_ += text;
    return *this;
  }
  Bytes& raw(std::string_view bytes) {
    out_ += bytes;
    return *this;
  }
  Bytes& zeros(size_t count) {
    out_.append(count, '\0');
    return *this;
  }
  const std::string& string() const { return out_; }

 private:
  std::string out_;
};

Bytes header(uint64_t tensors, uint64_t entries, uint32_t version = 3) {
  return Bytes().raw("GGUF").add(version).add(tensors).add(entries);
}

Error error_of(const std::string& file) {
  // An exact copy on the heap, so that AddressSanitizer sees a read one byte too far.
  const std::vector<char> copy(file.begin(), file.end());
  const auto parsed = GgufFile::parse(std::as_bytes(std::span(copy)), "f");
  return parsed ? Error{ErrorCode::kFailed, "no error"} : parsed.error();
}

void expect_corrupt(const Bytes& file, std::string_view message) {
  const Error error = error_of(file.string());
  EXPECT_EQ(error.code, ErrorCode::kCorrupt) << error.message;
  EXPECT_NE(error.message.find(message), std::string::npos) << error.message;
}

std::string valid_file() {
  GgufWriter writer(64);
  writer.add("general.architecture", "llama");
  writer.add("llama.block_count", uint32_t{2});
  writer.add("flag", true);
  writer.add_array("tokens", std::vector<std::string>{"a", "bc", ""});
  const std::vector<float> scores = {1, 2, 3};
  writer.add_array("scores", std::span<const float>(scores));
  const std::vector<std::byte> blocks(2 * 34, std::byte{1});
  writer.add_tensor("blk.0.w", DType::kQ8_0, {2, 32}, blocks);
  const std::vector<float> values(16, 1.5f);  // 64 bytes: no padding after them
  writer.add_tensor("blk.1.w", DType::kF32, {16}, std::as_bytes(std::span(values)));
  return writer.serialize();
}

TEST(GgufHostile, EveryPrefixFailsCleanly) {
  const std::string whole = valid_file();
  ASSERT_EQ(error_of(whole).message, "no error");
  for (size_t size = 0; size < whole.size(); ++size) {
    const Error error = error_of(whole.substr(0, size));
    EXPECT_EQ(error.code, ErrorCode::kCorrupt) << size << ": " << error.message;
  }
}

TEST(GgufHostile, EveryFlippedBitParsesOrFailsAndNamesTheFile) {
  const std::string whole = valid_file();
  int num_errors = 0;
  for (size_t bit = 0; bit < whole.size() * 8; ++bit) {
    std::string flipped = whole;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    const Error error = error_of(flipped);
    if (error.message == "no error") continue;
    ++num_errors;
    EXPECT_EQ(error.message.find("f: "), 0u) << error.message;
  }
  EXPECT_GT(num_errors, 500);
}

TEST(GgufHostile, SeveralRandomBytesDoNoHarm) {
  Random random(1);
  const std::string whole = valid_file();
  for (int round = 0; round < 20000; ++round) {
    std::string changed = whole;
    for (uint64_t i = random.below(6) + 1; i-- > 0;) {
      changed[random.below(changed.size())] = static_cast<char>(random.next());
    }
    error_of(changed);
  }
}

TEST(GgufHostile, CountsBeyondTheFileFailAtOnce) {
  const auto begin = std::chrono::steady_clock::now();
  expect_corrupt(header(uint64_t{1} << 60, 0), "tensor count is 1152921504606846976, but only");
  expect_corrupt(header(0, ~uint64_t{0}), "metadata count is 18446744073709551615");
  expect_corrupt(header(0, 1).text("k").add(9u).add(0u).add(uint64_t{1} << 62).zeros(16),
                 "length of metadata 'k' is 4611686018427387904");
  expect_corrupt(header(0, 1).text("k").add(9u).add(8u).add(uint64_t{1} << 62).zeros(16),
                 "length of metadata 'k'");
  expect_corrupt(header(0, 1).text("k").add(9u).add(12u).add(~uint64_t{0}).zeros(16),
                 "length of metadata 'k'");
  expect_corrupt(header(0, 1).text("k").add(8u).add(~uint64_t{0}).zeros(16),
                 "metadata 'k' needs 18446744073709551615 bytes");
  const auto spent = std::chrono::steady_clock::now() - begin;
  EXPECT_LT(std::chrono::duration<double>(spent).count(), 0.1);
}

TEST(GgufHostile, FilesOfOtherKindsAreNamed) {
  const auto says = [](std::string_view bytes, std::string_view message) {
    expect_corrupt(Bytes().raw(bytes), message);
  };
  says("", "the file is empty");
  says("version https://git-lfs.github.com/spec/v1\noid sha256:0", "git-lfs pointer");
  says("<!DOCTYPE html><html>", "HTML page");
  says("tjgg\3\0\0\0", "before GGUF");
  says(std::string_view("PK\3\4....", 8), "starts with 0x504b0304");
  says("GG", "starts with 0x4747");
  says(std::string_view("GGUF\0\0\0\3", 8), "big-endian");
  expect_corrupt(header(0, 0, 1), "version 1; minke reads 2 and 3");
  expect_corrupt(header(0, 0, 4), "version 4; minke reads 2 and 3");
  EXPECT_EQ(error_of(header(0, 0, 2).string()).message, "no error");
}

TEST(GgufHostile, BadMetadataNamesTheKey) {
  expect_corrupt(header(0, 1).text("k").add(13u).zeros(16), "metadata 'k' has value type 13");
  expect_corrupt(header(0, 1).text("k").add(9u).add(13u).add(uint64_t{1}).zeros(16),
                 "metadata 'k' has value type 13");
  expect_corrupt(header(0, 1).text("k").add(7u).add(uint8_t{2}), "has the bool 2");
  expect_corrupt(header(0, 1).text(std::string(70000, 'k')).add(0u).add(uint8_t{1}),
                 "has 70000 bytes, at most 65535");
  expect_corrupt(header(0, 2).text("k").add(0u).add(uint8_t{1}).text("k").add(0u).add(uint8_t{1}),
                 "metadata key 'k' stands twice");
  expect_corrupt(header(0, 1).text("a\nb\x1b[2J").add(13u).zeros(16), "metadata 'a?b?[2J'");
}

TEST(GgufHostile, AlignmentMustBeAPowerOfTwo) {
  for (const uint32_t alignment : {0u, 1u, 24u, 33u, 1u << 31}) {
    expect_corrupt(header(0, 1).text("general.alignment").add(4u).add(alignment),
                   "general.alignment is");
  }
  expect_corrupt(header(0, 1).text("general.alignment").add(6u).add(32.0f), "expected an integer");
}

TEST(GgufHostile, DeeplyNestedArraysAreRefused) {
  Bytes file = header(0, 1).text("k").add(9u);
  for (int depth = 0; depth < 100000; ++depth) file.add(9u).add(uint64_t{1});
  expect_corrupt(file.add(0u).add(uint64_t{0}), "nests arrays deeper than 4");
  const Bytes shallow = header(0, 1).text("k").add(9u).add(9u).add(uint64_t{2});
  Bytes two = shallow;
  two.add(0u).add(uint64_t{3}).zeros(3).add(8u).add(uint64_t{1}).text("x");
  EXPECT_EQ(error_of(two.string()).message, "no error");
}

/// A tensor entry of one row of `columns` and whatever else.
Bytes tensor(std::string_view name, std::vector<uint64_t> sizes, uint32_t type, uint64_t offset) {
  Bytes file = header(1, 0).text(name).add(static_cast<uint32_t>(sizes.size()));
  for (const uint64_t size : sizes) file.add(size);
  return file.add(type).add(offset).zeros(32 + 512);
}

TEST(GgufHostile, BadTensorsAreNamed) {
  EXPECT_EQ(error_of(tensor("w", {32, 2}, 0, 0).string()).message, "no error");
  expect_corrupt(tensor("w", {1, 1, 1, 1, 1}, 0, 0), "tensor 'w' has 5 dimensions, at most 4");
  expect_corrupt(tensor("w", {4, 0}, 0, 0), "tensor 'w' has size 0 in dimension 1");
  expect_corrupt(tensor("w", {uint64_t{1} << 32, uint64_t{1} << 32}, 0, 0), "too many elements");
  expect_corrupt(tensor("w", {uint64_t{1} << 63}, 0, 0), "too many elements");
  expect_corrupt(tensor("w", {uint64_t{1} << 59}, 0, 0), "tensor 'w' needs");
  expect_corrupt(tensor("w", {33, 2}, 8, 0), "tensor 'w' has rows of 33 elements, q8_0 needs");
  expect_corrupt(tensor("w", {4}, 4711, 0), "tensor 'w' has ggml type 4711");
  expect_corrupt(tensor("w", {4}, 0, 8), "offset 8, expected a multiple of 32");
  expect_corrupt(tensor("w", {4}, 0, ~uint64_t{31}), "tensor 'w' needs 16 bytes");
  expect_corrupt(tensor("w", {4}, 0, 4096), "tensor 'w' needs 16 bytes");
  expect_corrupt(tensor("w", {512}, 0, 0), "tensor 'w' needs 2048 bytes");
  expect_corrupt(tensor(std::string(2000, 'w'), {4}, 0, 0), "name of tensor 0 has 2000 bytes");
  expect_corrupt(tensor("w", {255, 2}, 12, 0), "tensor 'w' has rows of 255 elements, q4_k needs");
}

TEST(GgufHostile, AFormatThatMinkeLacksIsNamedWithItsTensor) {
  const Error known = error_of(tensor("blk.0.w", {256}, 16, 0).string());
  EXPECT_EQ(known.code, ErrorCode::kFailed) << "a format of ggml's own is no damage";
  EXPECT_NE(known.message.find("tensor 'blk.0.w' is in the format iq2_xxs (ggml type 16)"),
            std::string::npos)
      << known.message;
  EXPECT_NE(known.message.find("one of: f32 f16 q4_0"), std::string::npos) << known.message;
  for (const uint32_t none : {4u, 31u, 43u, 4711u, ~0u}) {
    expect_corrupt(tensor("w", {256}, none, 0), "which ggml does not define");
  }
}

TEST(GgufHostile, TwoTensorsOfOneNameAreRefused) {
  Bytes file = header(2, 0);
  for (int i = 0; i < 2; ++i) {
    file.text("w").add(1u).add(uint64_t{4}).add(0u).add(uint64_t{0});
  }
  expect_corrupt(file.zeros(64), "tensor 'w' stands twice");
}

}  // namespace
}  // namespace minke
