#include "minke/runs/event_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <utility>

#include "minke/base/clock.h"
#include "minke/base/files.h"
#include "minke/base/files_error.h"
#include "minke/runs/line_file.h"

namespace minke {
namespace {

constexpr std::array<uint32_t, 256> crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82F63B78 : 0);
    table[byte] = crc;
  }
  return table;
}

void append_fixed(std::string& out, uint64_t value, int num_bytes) {
  for (int i = 0; i < num_bytes; ++i) out += static_cast<char>(value >> (8 * i));
}

void append_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

// Wire types of protobuf, with the field's number.
void append_double(std::string& out, uint64_t field, double value) {
  append_varint(out, field << 3 | 1);
  append_fixed(out, std::bit_cast<uint64_t>(value), 8);
}
void append_float(std::string& out, uint64_t field, float value) {
  append_varint(out, field << 3 | 5);
  append_fixed(out, std::bit_cast<uint32_t>(value), 4);
}
void append_bytes(std::string& out, uint64_t field, std::string_view bytes) {
  append_varint(out, field << 3 | 2);
  append_varint(out, bytes.size());
  out += bytes;
}

std::string record(std::string_view bytes) {
  const auto masked = [](std::string_view part) {
    return std::rotr(crc32c(part), 15) + 0xA282EAD8;
  };
  std::string out;
  append_fixed(out, bytes.size(), 8);
  append_fixed(out, masked(out), 4);
  out += bytes;
  append_fixed(out, masked(bytes), 4);
  return out;
}

double time_of(const Json& metrics) {
  const Json* time = metrics.find("time");
  return time != nullptr && time->is_number() ? time->as_double()
                                              : static_cast<double>(unix_seconds());
}

// Nothing where the line has no numbers.
std::string event_of(const Json& metrics) {
  std::string summary;
  for (const auto& [key, value] : metrics.as_object()) {
    if (key == "step" || key == "time" || !value.is_number()) continue;
    std::string scalar;
    append_bytes(scalar, 1, key);
    append_float(scalar, 2, static_cast<float>(value.as_double()));
    append_bytes(summary, 1, scalar);
  }
  if (summary.empty()) return "";
  std::string event;
  append_double(event, 1, time_of(metrics));
  append_varint(event, 2 << 3);
  append_varint(event, static_cast<uint64_t>(step_of(metrics, 0)));
  append_bytes(event, 5, summary);
  return record(event);
}

void remove_earlier(const std::filesystem::path& folder) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("events.out.tfevents.") && name.ends_with(".minke")) {
      std::filesystem::remove(entry.path(), error);
    }
  }
}

}  // namespace

uint32_t crc32c(std::string_view bytes) {
  static constexpr std::array<uint32_t, 256> kTable = crc_table();
  uint32_t crc = ~uint32_t{0};
  for (const char byte : bytes) crc = (crc >> 8) ^ kTable[(crc ^ static_cast<uint8_t>(byte)) & 255];
  return ~crc;
}

Result<EventFile> EventFile::create(const std::filesystem::path& folder,
                                    const std::filesystem::path& metrics_file) {
  remove_earlier(folder);
  const auto path = folder / fmt::format("events.out.tfevents.{}.minke", unix_seconds());
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);
  if (fd < 0) return fail_errno("write", path);
  EventFile file(path, fd);
  std::string version;
  append_double(version, 1, static_cast<double>(unix_seconds()));
  append_bytes(version, 3, "brain.Event:2");
  std::string records = record(version);
  MK_ASSIGN(const std::string metrics, read_file(metrics_file));
  for (size_t begin = 0, end; (end = metrics.find('\n', begin)) != std::string::npos;
       begin = end + 1) {
    const Result<Json> line = parse_json(std::string_view(metrics).substr(begin, end - begin));
    if (line && line->is_object()) records += event_of(*line);
  }
  MK_TRY(file.write(records));
  return file;
}

EventFile::EventFile(EventFile&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}

EventFile::~EventFile() {
  if (fd_ >= 0) ::close(fd_);
}

Result<void> EventFile::append(const Json& metrics) { return write(event_of(metrics)); }

Result<void> EventFile::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return fail_errno("write", path_);
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return {};
}

}  // namespace minke
