// Goal: TensorBoard's readers take our event files. Method: known CRC-32C values, and a reader of
// the record and protobuf formats written from their definitions.
#include "minke/runs/event_file.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <fstream>

#include "minke/base/files.h"
#include "minke/runs/run_folder.h"
#include "tests/hub/scratch_folder.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

TEST(EventFileTest, Crc32cHasTheValuesOfTheRfc) {
  EXPECT_EQ(crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(crc32c(std::string(32, '\xFF')), 0x62A8AB43u);
  EXPECT_EQ(crc32c(""), 0u);
}

template <class T>
T fixed(std::string_view bytes, size_t at) {
  T value{};
  std::memcpy(&value, bytes.substr(at, sizeof value).data(), sizeof value);
  return value;
}

uint32_t unmasked(uint32_t masked) { return std::rotl(masked - 0xA282EAD8u, 15); }

std::vector<std::string> records_of(const std::string& file) {
  std::vector<std::string> records;
  for (size_t at = 0; at < file.size();) {
    const auto length = fixed<uint64_t>(file, at);
    EXPECT_EQ(unmasked(fixed<uint32_t>(file, at + 8)), crc32c(file.substr(at, 8)));
    records.push_back(file.substr(at + 12, length));
    EXPECT_EQ(unmasked(fixed<uint32_t>(file, at + 12 + length)), crc32c(records.back()));
    at += 16 + length;
  }
  return records;
}

// The fields of a protobuf message, each value as its bytes.
std::vector<std::pair<int, std::string>> fields_of(std::string_view message) {
  std::vector<std::pair<int, std::string>> fields;
  const auto varint = [&] {
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = static_cast<uint8_t>(message[0]);
      message.remove_prefix(1);
      value |= uint64_t{byte & 127u} << shift;
      if (byte < 128) return value;
    }
  };
  while (!message.empty()) {
    const uint64_t key = varint();
    std::string value;
    if ((key & 7) == 0) {
      value = std::to_string(varint());
    } else {
      const uint64_t size = (key & 7) == 1 ? 8 : (key & 7) == 5 ? 4 : varint();
      value = message.substr(0, size);
      message.remove_prefix(size);
    }
    fields.emplace_back(static_cast<int>(key >> 3), value);
  }
  return fields;
}

std::string only_event_file(const fs::path& folder) {
  std::string content;
  int count = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().filename().string().find("tfevents") == std::string::npos) continue;
    content = read_file(entry.path()).value();
    ++count;
  }
  EXPECT_EQ(count, 1);
  return content;
}

TEST(EventFileTest, HasAnEventALineAndStaysTrueOverAResume) {
  const ScratchFolder scratch;
  const fs::path folder = scratch.path() / "run";
  RunStart start{.stage = "pretrain",
                 .config = Json::object(),
                 .environment = Json::object(),
                 .event_file = true};
  {
    auto run = RunFolder::create(folder, start);
    ASSERT_TRUE(run);
    for (int64_t step = 1; step <= 3; ++step) {
      ASSERT_TRUE(run->add_metrics(Json::object(
          {{"step", 100 * step}, {"loss", 0.5 * static_cast<double>(step)}, {"note", "text"}})));
    }
  }
  {
    auto run = RunFolder::resume(folder, start, 200);
    ASSERT_TRUE(run);
    ASSERT_TRUE(run->add_metrics(Json::object({{"step", 201}, {"val_loss", 7}})));
  }
  const std::vector<std::string> records = records_of(only_event_file(folder));
  ASSERT_EQ(records.size(), 4u);
  EXPECT_EQ(fields_of(records[0])[1], (std::pair<int, std::string>{3, "brain.Event:2"}));
  const char* steps[] = {"", "100", "200", "201"};
  const char* tags[] = {"", "loss", "loss", "val_loss"};
  const float values[] = {0, 0.5f, 1.0f, 7.0f};
  for (size_t i = 1; i < 4; ++i) {
    const auto event = fields_of(records[i]);
    ASSERT_EQ(event.size(), 3u);
    EXPECT_GT(fixed<double>(event[0].second, 0), 1.7e9);
    EXPECT_EQ(event[1], (std::pair<int, std::string>{2, steps[i]}));
    const auto summary = fields_of(event[2].second);
    ASSERT_EQ(summary.size(), 1u) << "text is no scalar";
    const auto scalar = fields_of(summary[0].second);
    EXPECT_EQ(scalar[0], (std::pair<int, std::string>{1, tags[i]}));
    EXPECT_EQ(scalar[1].first, 2);
    EXPECT_EQ(fixed<float>(scalar[1].second, 0), values[i]);
  }
}

}  // namespace
}  // namespace minke
