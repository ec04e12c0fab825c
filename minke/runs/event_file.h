#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "minke/base/json.h"
#include "minke/base/result.h"

namespace minke {

/// CRC-32C (Castagnoli; RFC 3720, appendix B.4) of bytes.
uint32_t crc32c(std::string_view bytes);

/// Metrics as TensorBoard reads them: a file of records (TFRecord), all little-endian,
///
///   u64 length | u32 masked CRC-32C of the length | bytes | u32 masked CRC-32C of the bytes
///
/// each the protobuf message tensorflow.Event: 1 double wall_time, 2 int64 step, and either 3
/// string file_version (the first one, "brain.Event:2") or 5 Summary, whose 1 is a repeated Value
/// {1 string tag, 2 float simple_value}. Masked: rotated right by 15 bits, plus 0xA282EAD8.
class EventFile {
 public:
  /// Makes "events.out.tfevents.SECONDS.minke" in `folder` in place of earlier ones of minke's,
  /// with an event for each line of `metrics_file` (JSONL), which is what a resumed run keeps.
  static Result<EventFile> create(const std::filesystem::path& folder,
                                  const std::filesystem::path& metrics_file);
  EventFile(EventFile&& other) noexcept;
  EventFile& operator=(EventFile&&) = delete;
  ~EventFile();

  /// Appends an event with the numbers of a line of metrics, all but "step" and "time".
  Result<void> append(const Json& metrics);

 private:
  EventFile(std::filesystem::path path, int fd) : path_(std::move(path)), fd_(fd) {}
  Result<void> write(std::string_view bytes);
  std::filesystem::path path_;
  int fd_ = -1;
};

}  // namespace minke
