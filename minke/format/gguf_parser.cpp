#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "minke/base/utf8.h"
#include "minke/format/gguf.h"

namespace minke {
namespace {

// The least that one item can take in a file bounds how many items a file of some size can hold,
// so a lying count fails before anything is allocated for it.
constexpr uint64_t kEntryBytesMin = 8 + 4 + 1;       // key length, type, a one-byte value
constexpr uint64_t kTensorBytesMin = 8 + 4 + 4 + 8;  // name length, dims, type, offset
constexpr uint64_t kKeyBytesMax = 65535;             // GGUF's own limit
constexpr uint64_t kTensorNameBytesMax = 1024;       // GGUF says 64; some converters write more
constexpr int kArrayDepthMax = 4;
constexpr uint64_t kAlignmentMin = 8;  // GGUF: a multiple of 8; weights are read as floats in place
constexpr uint64_t kAlignmentMax = uint64_t{1} << 30;

/// ggml's names of the formats that it numbers (2026), for errors; nullptr for a retired number.
constexpr const char* kGgmlTypeNames[] = {
    "f32",     "f16",   "q4_0",   "q4_1",  nullptr, nullptr,  "q5_0",  "q5_1",    "q8_0",
    "q8_1",    "q2_k",  "q3_k",   "q4_k",  "q5_k",  "q6_k",   "q8_k",  "iq2_xxs", "iq2_xs",
    "iq3_xxs", "iq1_s", "iq4_nl", "iq3_s", "iq2_s", "iq4_xs", "i8",    "i16",     "i32",
    "i64",     "f64",   "iq1_m",  "bf16",  nullptr, nullptr,  nullptr, "tq1_0",   "tq2_0",
    nullptr,   nullptr, nullptr,  "mxfp4", "nvfp4", "q1_0",   "q2_0"};

/// Bytes of a scalar of that type; 0 for strings, arrays and unknown types.
uint64_t scalar_bytes(GgufType type) {
  switch (type) {
    case GgufType::kU8:
    case GgufType::kI8:
    case GgufType::kBool:
      return 1;
    case GgufType::kU16:
    case GgufType::kI16:
      return 2;
    case GgufType::kU32:
    case GgufType::kI32:
    case GgufType::kF32:
      return 4;
    case GgufType::kU64:
    case GgufType::kI64:
    case GgufType::kF64:
      return 8;
    default:
      return 0;
  }
}

bool starts_with(std::span<const std::byte> bytes, std::string_view prefix) {
  return bytes.size() >= prefix.size() &&
         std::memcmp(bytes.data(), prefix.data(), prefix.size()) == 0;
}

/// What a file that lacks GGUF's magic looks like, for the user who got it.
std::string describe_foreign(std::span<const std::byte> bytes) {
  if (bytes.empty()) return "the file is empty";
  if (starts_with(bytes, "version https://git-lfs")) {
    return "this is a git-lfs pointer, not the file itself; fetch it with `git lfs pull`";
  }
  if (starts_with(bytes, "<")) {
    return "this looks like an HTML page; the download got a web page instead of the file";
  }
  if (starts_with(bytes, "FUGG")) return "the file is big-endian; convert it to little-endian";
  for (const std::string_view old : {"lmgg", "fmgg", "tjgg", "algg"}) {
    if (starts_with(bytes, old)) return "this is GGML's format from before GGUF; convert it anew";
  }
  std::string hex;
  for (size_t i = 0; i < std::min<size_t>(bytes.size(), 4); ++i) {
    hex += fmt::format("{:02x}", static_cast<unsigned>(bytes[i]));
  }
  return fmt::format("not a GGUF file: it starts with 0x{}, expected \"GGUF\"", hex);
}

/// Fills `order` with 0 .. count - 1 sorted by name(i); gives an index whose name is not unique.
/// (A file that fits in memory has fewer than 2^32 names: each takes 13 bytes and more.)
template <class Name>
std::optional<uint32_t> sort_by_name(std::vector<uint32_t>& order, size_t count, const Name& name) {
  order.resize(count);
  for (size_t i = 0; i < count; ++i) order[i] = static_cast<uint32_t>(i);
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return name(a) < name(b); });
  const auto twice = std::adjacent_find(order.begin(), order.end(),
                                        [&](uint32_t a, uint32_t b) { return name(a) == name(b); });
  if (twice == order.end()) return std::nullopt;
  return *twice;
}

}  // namespace

/// Walks the file once, front to back. `at_` never passes the end of `file_.bytes_`.
class GgufParser {
 public:
  GgufParser(std::span<const std::byte> bytes, std::string_view name) : name_(name) {
    file_.bytes_ = bytes;
    file_.file_bytes_ = bytes.size();
  }

  Result<GgufFile> parse() {
    MK_TRY(read_header());
    file_.metadata_.reserve(num_entries_);
    for (uint64_t i = 0; i < num_entries_; ++i) MK_TRY(read_entry(i));
    MK_TRY(index_metadata());
    MK_TRY(read_alignment());
    // Entries took bytes, so fewer tensors can follow than the header's check allowed.
    MK_TRY(check_count("tensor count", num_tensors_, kTensorBytesMin));
    file_.weights_.reserve(num_tensors_);
    offsets_.reserve(num_tensors_);
    for (uint64_t i = 0; i < num_tensors_; ++i) MK_TRY(read_tensor(i));
    MK_TRY(file_.index_weights(name_));
    const uint64_t mask = file_.alignment_ - 1;
    file_.data_offset_ = (at_ + mask) & ~mask;
    for (size_t i = 0; i < file_.weights_.size(); ++i) MK_TRY(place_tensor(i));
    return std::move(file_);
  }

 private:
  template <class... Args>
  tl::unexpected<Error> corrupt(fmt::format_string<Args...> format, Args&&... args) const {
    return fail(ErrorCode::kCorrupt, "{}: {}", name_,
                fmt::format(format, std::forward<Args>(args)...));
  }
  uint64_t left() const { return file_.bytes_.size() - at_; }

  /// The next `size` bytes; `field` names what they should have been.
  Result<std::span<const std::byte>> take(uint64_t size, std::string_view field) {
    if (size > left()) {
      return corrupt("{} needs {} bytes at {}, file has {}", field, size, at_, file_.bytes_.size());
    }
    const auto bytes = file_.bytes_.subspan(at_, size);
    at_ += size;
    return bytes;
  }

  template <class T>
  Result<T> read(std::string_view field) {
    MK_ASSIGN(const auto bytes, take(sizeof(T), field));
    T value;
    std::memcpy(&value, bytes.data(), sizeof value);
    return value;
  }

  Result<std::string_view> read_string(std::string_view field, uint64_t bytes_max) {
    MK_ASSIGN(const uint64_t size, read<uint64_t>(field));
    if (size > bytes_max) return corrupt("{} has {} bytes, at most {}", field, size, bytes_max);
    MK_ASSIGN(const auto bytes, take(size, field));
    return std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }

  Result<void> check_count(std::string_view field, uint64_t count, uint64_t bytes_min) const {
    if (count > left() / bytes_min) {
      return corrupt("{} is {}, but only {} bytes follow", field, count, left());
    }
    return {};
  }

  Result<void> read_header() {
    if (!starts_with(file_.bytes_, "GGUF")) return corrupt("{}", describe_foreign(file_.bytes_));
    at_ = 4;
    MK_ASSIGN(file_.version_, read<uint32_t>("version"));
    if (file_.version_ == 1) return corrupt("GGUF version 1; minke reads 2 and 3, convert it anew");
    if ((file_.version_ & 0xFFFF) == 0 && file_.version_ != 0) {
      return corrupt("the file is big-endian; convert it to little-endian");
    }
    if (file_.version_ != 2 && file_.version_ != 3) {
      return corrupt("GGUF version {}; minke reads 2 and 3", file_.version_);
    }
    MK_ASSIGN(num_tensors_, read<uint64_t>("tensor count"));
    MK_ASSIGN(num_entries_, read<uint64_t>("metadata count"));
    MK_TRY(check_count("tensor count", num_tensors_, kTensorBytesMin));
    return check_count("metadata count", num_entries_, kEntryBytesMin);
  }

  Result<void> read_entry(uint64_t index) {
    GgufEntry entry;
    MK_ASSIGN(entry.key, read_string(fmt::format("key of metadata entry {}", index), kKeyBytesMax));
    const std::string field = fmt::format("metadata '{}'", printable_name(entry.key));
    MK_ASSIGN(const uint32_t type, read<uint32_t>(field));
    MK_ASSIGN(entry.value, read_value(static_cast<GgufType>(type), field));
    file_.metadata_.push_back(entry);
    return {};
  }

  Result<GgufValue> read_value(GgufType type, const std::string& field) {
    GgufValue value;
    value.type = type;
    if (type == GgufType::kString) {
      MK_ASSIGN(const std::string_view text,
                read_string(field, std::numeric_limits<uint64_t>::max()));
      value.bytes = std::as_bytes(std::span(text));
      return value;
    }
    if (type == GgufType::kArray) {
      MK_ASSIGN(const uint32_t element_type, read<uint32_t>(field));
      MK_ASSIGN(value.count, read<uint64_t>(field));
      value.element_type = static_cast<GgufType>(element_type);
      const uint64_t begin = at_;
      MK_TRY(skip_elements(value.element_type, value.count, field, 1));
      value.bytes = file_.bytes_.subspan(begin, at_ - begin);
      return value;
    }
    const uint64_t size = scalar_bytes(type);
    if (size == 0) return unknown_type(type, field);
    MK_ASSIGN(value.bytes, take(size, field));
    if (type == GgufType::kBool) MK_TRY(check_bools(value.bytes, field));
    return value;
  }

  tl::unexpected<Error> unknown_type(GgufType type, const std::string& field) const {
    return corrupt("{} has value type {}, GGUF defines 0 to 12", field,
                   static_cast<uint32_t>(type));
  }

  Result<void> check_bools(std::span<const std::byte> bytes, const std::string& field) const {
    for (const std::byte b : bytes) {
      if (b > std::byte{1}) {
        return corrupt("{} has the bool {}, expected 0 or 1", field, static_cast<unsigned>(b));
      }
    }
    return {};
  }

  Result<void> skip_elements(GgufType type, uint64_t count, const std::string& field, int depth) {
    if (type == GgufType::kString) return skip_strings(count, field);
    if (type == GgufType::kArray) return skip_arrays(count, field, depth);
    const uint64_t size = scalar_bytes(type);
    if (size == 0) return unknown_type(type, field);
    MK_TRY(check_count(fmt::format("length of {}", field), count, size));
    MK_ASSIGN(const auto bytes, take(count * size, field));
    if (type == GgufType::kBool) return check_bools(bytes, field);
    return {};
  }

  Result<void> skip_strings(uint64_t count, const std::string& field) {
    MK_TRY(check_count(fmt::format("length of {}", field), count, 8));
    for (uint64_t i = 0; i < count; ++i) {
      uint64_t size = 0;
      if (left() >= 8) std::memcpy(&size, file_.bytes_.data() + at_, 8);
      if (left() < 8 || size > left() - 8) {
        return corrupt("string {} of {} needs {} bytes at {}, file has {}", i, field, size, at_,
                       file_.bytes_.size());
      }
      at_ += 8 + size;
    }
    return {};
  }

  Result<void> skip_arrays(uint64_t count, const std::string& field, int depth) {
    if (depth >= kArrayDepthMax) {
      return corrupt("{} nests arrays deeper than {}", field, kArrayDepthMax);
    }
    MK_TRY(check_count(fmt::format("length of {}", field), count, 4 + 8));
    for (uint64_t i = 0; i < count; ++i) {
      MK_ASSIGN(const uint32_t type, read<uint32_t>(field));
      MK_ASSIGN(const uint64_t inner_count, read<uint64_t>(field));
      MK_TRY(skip_elements(static_cast<GgufType>(type), inner_count, field, depth + 1));
    }
    return {};
  }

  Result<void> index_metadata() {
    const auto key = [this](uint32_t i) { return file_.metadata_[i].key; };
    const auto duplicate = sort_by_name(file_.metadata_by_key_, file_.metadata_.size(), key);
    if (!duplicate) return {};
    return corrupt("metadata key '{}' stands twice", printable_name(key(*duplicate)));
  }

  Result<void> read_alignment() {
    const auto found = file_.get_uint_or("general.alignment", 32);
    if (!found) return corrupt("{}", found.error().message);
    const uint64_t alignment = *found;
    if (!std::has_single_bit(alignment) || alignment < kAlignmentMin || alignment > kAlignmentMax) {
      return corrupt("general.alignment is {}, expected a power of two from {} to {}", alignment,
                     kAlignmentMin, kAlignmentMax);
    }
    file_.alignment_ = alignment;
    return {};
  }

  Result<void> read_tensor(uint64_t index) {
    MK_ASSIGN(const std::string_view name,
              read_string(fmt::format("name of tensor {}", index), kTensorNameBytesMax));
    WeightInfo info;
    info.name = name;
    const std::string field = fmt::format("tensor '{}'", printable_name(name));
    MK_ASSIGN(info.shape, read_shape(field));
    MK_ASSIGN(const uint32_t type, read<uint32_t>(field));
    const auto dtype = dtype_from_gguf(type);
    if (!dtype) return unknown_format(type, field);
    info.dtype = *dtype;
    const int block = dtype_info(*dtype).block_size;
    if (info.shape.back() % block != 0) {
      return corrupt("{} has rows of {} elements, {} needs a multiple of {}", field,
                     info.shape.back(), dtype_info(*dtype).name, block);
    }
    MK_ASSIGN(const uint64_t offset, read<uint64_t>(field));
    offsets_.push_back(offset);
    file_.weights_.push_back(std::move(info));
    return {};
  }

  tl::unexpected<Error> unknown_format(uint32_t type, const std::string& field) const {
    // A format of ggml that minke lacks is no damage; a number beyond ggml's is.
    const char* name = type < std::size(kGgmlTypeNames) ? kGgmlTypeNames[type] : nullptr;
    if (name == nullptr) {
      return corrupt("{} has ggml type {}, which ggml does not define", field, type);
    }
    return fail(ErrorCode::kFailed,
                "{}: {} is in the format {} (ggml type {}), which minke does not read; convert the "
                "model to one of: {}",
                name_, field, name, type, formats_read());
  }

  static std::string formats_read() {
    std::string names;
    for (uint32_t type = 0; type < std::size(kGgmlTypeNames); ++type) {
      const auto dtype = dtype_from_gguf(type);
      if (!dtype || dtype_info(*dtype).decode == nullptr) continue;
      names += fmt::format("{}{}", names.empty() ? "" : " ", dtype_info(*dtype).name);
    }
    return names;
  }

  /// The sizes, outermost first (the file has them innermost first). Checks that the number of
  /// bytes, at most 8 an element, fits in 63 bits.
  Result<Shape> read_shape(const std::string& field) {
    MK_ASSIGN(const uint32_t num_dims, read<uint32_t>(field));
    if (num_dims > Shape::kDimsMax) {
      return corrupt("{} has {} dimensions, at most {}", field, num_dims, Shape::kDimsMax);
    }
    uint64_t sizes[Shape::kDimsMax] = {};
    uint64_t elements_left = static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) / 8;
    for (uint32_t i = 0; i < num_dims; ++i) {
      MK_ASSIGN(sizes[i], read<uint64_t>(field));
      if (sizes[i] == 0) return corrupt("{} has size 0 in dimension {}", field, i);
      if (sizes[i] > elements_left) {
        return corrupt("{} has size {} in dimension {}: too many elements", field, sizes[i], i);
      }
      elements_left /= sizes[i];
    }
    Shape shape;
    for (uint32_t i = num_dims; i-- > 0;) shape.push_back(static_cast<int64_t>(sizes[i]));
    return shape;
  }

  Result<void> place_tensor(size_t index) {
    WeightInfo& info = file_.weights_[index];
    const uint64_t offset = offsets_[index];
    const auto size = static_cast<uint64_t>(dtype_bytes(info.dtype, info.shape.num_elements()));
    if (offset % file_.alignment_ != 0) {
      return corrupt("tensor '{}' has offset {}, expected a multiple of {}",
                     printable_name(info.name), offset, file_.alignment_);
    }
    const uint64_t file_size = file_.bytes_.size();
    const uint64_t room = file_size > file_.data_offset_ ? file_size - file_.data_offset_ : 0;
    if (offset > room || size > room - offset) {
      return corrupt("tensor '{}' needs {} bytes at {} + {}, file has {}",
                     printable_name(info.name), size, file_.data_offset_, offset, file_size);
    }
    info.bytes = file_.bytes_.subspan(file_.data_offset_ + offset, size);
    return {};
  }

  std::string_view name_;
  GgufFile file_;
  uint64_t at_ = 0;
  uint64_t num_tensors_ = 0;
  uint64_t num_entries_ = 0;
  std::vector<uint64_t> offsets_;  // of the tensors' data, from the end of the header
};

Result<GgufFile> GgufFile::parse(std::span<const std::byte> bytes, std::string_view name) {
  return GgufParser(bytes, name).parse();
}

Result<GgufFile> GgufFile::open_part(const std::filesystem::path& path) {
  MK_ASSIGN(MappedFile map, MappedFile::open(path));
  MK_ASSIGN(GgufFile file, parse(map.bytes(), path.filename().string()));
  file.maps_.push_back(std::move(map));
  return file;
}

Result<void> GgufFile::index_weights(std::string_view file_name) {
  const auto name = [this](uint32_t i) { return std::string_view(weights_[i].name); };
  const auto duplicate = sort_by_name(weights_by_name_, weights_.size(), name);
  if (!duplicate) return {};
  return fail(ErrorCode::kCorrupt, "{}: tensor '{}' stands twice", file_name,
              printable_name(name(*duplicate)));
}

}  // namespace minke
