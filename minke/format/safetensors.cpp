#include "minke/format/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <set>

#include "minke/base/json.h"
#include "minke/base/utf8.h"

namespace minke {
namespace {

constexpr size_t kLengthBytes = 8;
constexpr uint64_t kHeaderBytesMax = uint64_t{100} << 20;  // the format's own limit
constexpr size_t kIndexBytesMax = size_t{100} << 20;
// A tensor is ten values in a header and one in an index; V3 has 92,000 of them in 163 files.
constexpr size_t kValuesMax = size_t{4} << 20;

struct NamedType {
  std::string_view name;
  uint64_t bits;
  std::optional<DType> dtype;  ///< none: minke has no use for it
};
constexpr NamedType kTypes[] = {
    {"F64", 64, DType::kF64},         {"F32", 32, DType::kF32},
    {"F16", 16, DType::kF16},         {"BF16", 16, DType::kBf16},
    {"I32", 32, DType::kI32},         {"I8", 8, DType::kI8},
    {"F8_E4M3", 8, DType::kF8E4M3},   {"F8_E5M2", 8, std::nullopt},
    {"F8_E8M0", 8, DType::kF8E8M0},   {"F8_E4M3FNUZ", 8, std::nullopt},
    {"F8_E5M2FNUZ", 8, std::nullopt}, {"U8", 8, std::nullopt},
    {"BOOL", 8, std::nullopt},        {"I16", 16, std::nullopt},
    {"U16", 16, std::nullopt},        {"U32", 32, std::nullopt},
    {"I64", 64, std::nullopt},        {"U64", 64, std::nullopt},
    {"C64", 64, std::nullopt},        {"F4", 4, std::nullopt},
    {"F6_E2M3", 6, std::nullopt},     {"F6_E3M2", 6, std::nullopt},
};

/// A whole number >= 0, if it is one.
std::optional<uint64_t> as_size(const Json& value) {
  if (!value.is_int() || value.as_int() < 0) return std::nullopt;
  return static_cast<uint64_t>(value.as_int());
}

/// What the header says of a tensor, checked against itself and the data's size.
struct HeaderEntry {
  const NamedType* type = nullptr;
  std::vector<uint64_t> sizes;
  uint64_t begin = 0;
  uint64_t end = 0;

  std::string text() const { return fmt::format("{} [{}]", type->name, fmt::join(sizes, ", ")); }
};

/// Reads one member of the header; an error says what is wrong without naming the tensor.
Result<HeaderEntry> read_entry(const Json& value, uint64_t data_bytes) {
  const Json* dtype = value.find("dtype");
  const Json* shape = value.find("shape");
  const Json* offsets = value.find("data_offsets");
  if (dtype == nullptr || !dtype->is_string() || shape == nullptr || !shape->is_array() ||
      offsets == nullptr || !offsets->is_array() || offsets->as_array().size() != 2) {
    return fail(ErrorCode::kCorrupt,
                "expected {{\"dtype\": text, \"shape\": [...], \"data_offsets\": [begin, end]}}");
  }
  HeaderEntry entry;
  for (const NamedType& type : kTypes) {
    if (type.name == dtype->as_string()) entry.type = &type;
  }
  if (entry.type == nullptr) {
    return fail(ErrorCode::kCorrupt, "dtype is '{}', which the format does not have",
                printable_name(dtype->as_string()));
  }
  uint64_t bits = entry.type->bits;
  for (const Json& item : shape->as_array()) {
    const std::optional<uint64_t> size = as_size(item);
    if (!size || __builtin_mul_overflow(bits, *size, &bits) || bits > INT64_MAX) {
      return fail(ErrorCode::kCorrupt, "shape is {}, expected sizes that a file can hold",
                  printable_name(shape->dump()));
    }
    entry.sizes.push_back(*size);
  }
  const auto begin = as_size(offsets->as_array()[0]), end = as_size(offsets->as_array()[1]);
  if (!begin || !end || *begin > *end || *end > data_bytes) {
    return fail(ErrorCode::kCorrupt, "data_offsets are {}, but the data has {} bytes (cut short?)",
                printable_name(offsets->dump()), data_bytes);
  }
  entry.begin = *begin;
  entry.end = *end;
  if ((bits + 7) / 8 != entry.end - entry.begin) {
    return fail(ErrorCode::kCorrupt, "{} needs {} bytes, but data_offsets span {}", entry.text(),
                (bits + 7) / 8, entry.end - entry.begin);
  }
  return entry;
}

/// The header's JSON and where the data begins.
struct Header {
  Json tensors;
  uint64_t data_at = 0;
};

Result<Header> read_header(std::span<const std::byte> bytes, std::string_view name) {
  uint64_t length = 0;
  if (bytes.size() >= kLengthBytes) std::memcpy(&length, bytes.data(), kLengthBytes);
  if (bytes.size() < kLengthBytes || length > kHeaderBytesMax ||
      length > bytes.size() - kLengthBytes) {
    return fail(ErrorCode::kCorrupt,
                "{}: no safetensors file: a header of {} bytes in a file of {} (cut short, a "
                "git-lfs pointer, or a web page?)",
                name, length, bytes.size());
  }
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + kLengthBytes, length);
  JsonLimits limits;
  limits.bytes_max = kHeaderBytesMax;
  limits.depth_max = 8;
  limits.values_max = kValuesMax;
  auto tensors = parse_json(text, limits);
  if (!tensors || !tensors->is_object()) {
    return fail(ErrorCode::kCorrupt, "{}: the header is no JSON object{}", name,
                tensors ? "" : ": " + tensors.error().message);
  }
  return Header{std::move(*tensors), kLengthBytes + length};
}

}  // namespace

Result<void> SafetensorsFile::add_tensors(std::span<const std::byte> bytes,
                                          std::string_view file_name) {
  MK_ASSIGN(const Header header, read_header(bytes, file_name));
  const auto data = bytes.subspan(header.data_at);
  for (const auto& [name, value] : header.tensors.as_object()) {
    if (name == "__metadata__") continue;
    const auto entry = read_entry(value, data.size());
    if (!entry) {
      return fail(ErrorCode::kCorrupt, "{}: tensor '{}': {}", file_name, printable_name(name),
                  entry.error().message);
    }
    if (!entry->type->dtype || entry->sizes.size() > Shape::kDimsMax) {
      skipped_.push_back(fmt::format("{} ({})", printable_name(name), entry->text()));
      continue;
    }
    WeightInfo info;
    info.name = name;
    info.dtype = *entry->type->dtype;
    for (const uint64_t size : entry->sizes) info.shape.push_back(static_cast<int64_t>(size));
    info.bytes = data.subspan(entry->begin, entry->end - entry->begin);
    weights_.push_back(std::move(info));
  }
  file_bytes_ += bytes.size();
  return {};
}

Result<void> SafetensorsFile::sort_and_check(std::string_view file_name) {
  sort_weights();
  const auto twice =
      std::adjacent_find(weights_.begin(), weights_.end(),
                         [](const WeightInfo& a, const WeightInfo& b) { return a.name == b.name; });
  if (twice == weights_.end()) return {};
  return fail(ErrorCode::kCorrupt, "{}: two of its files have a tensor '{}'", file_name,
              printable_name(twice->name));
}

Result<SafetensorsFile> SafetensorsFile::parse(std::span<const std::byte> bytes,
                                               std::string_view name) {
  SafetensorsFile file;
  MK_TRY(file.add_tensors(bytes, name));
  MK_TRY(file.sort_and_check(name));
  return file;
}

Result<void> SafetensorsFile::add_file(const std::filesystem::path& path) {
  MK_ASSIGN(MappedFile map, MappedFile::open(path));
  MK_TRY(add_tensors(map.bytes(), path.filename().string()));
  maps_.push_back(std::move(map));
  return {};
}

Result<SafetensorsFile> SafetensorsFile::open(const std::filesystem::path& path) {
  SafetensorsFile file;
  if (path.extension() == ".json") {
    MK_ASSIGN(const std::string index, read_file(path, kIndexBytesMax));
    MK_ASSIGN(const auto names, parse_safetensors_index(index, path.filename().string()));
    for (const std::string& name : names) MK_TRY(file.add_file(path.parent_path() / name));
  } else {
    MK_TRY(file.add_file(path));
  }
  MK_TRY(file.sort_and_check(path.filename().string()));
  return file;
}

void SafetensorsFile::drop(std::span<const std::byte> bytes) const { drop_mapped(maps_, bytes); }

std::string_view safetensors_type_name(DType dtype) {
  for (const NamedType& type : kTypes) {
    if (type.dtype == dtype) return type.name;
  }
  MK_CHECK(false, "safetensors: no name for {}", dtype_info(dtype).name);
}

Result<std::vector<std::string>> parse_safetensors_index(std::string_view json,
                                                         std::string_view name) {
  JsonLimits limits;
  limits.bytes_max = kIndexBytesMax;
  limits.depth_max = 8;
  limits.values_max = kValuesMax;
  const auto index = parse_json(json, limits);
  if (!index) {
    return fail(ErrorCode::kCorrupt, "{}: no JSON document: {}", name, index.error().message);
  }
  const Json* map = index->find("weight_map");
  if (map == nullptr || !map->is_object() || map->as_object().empty()) {
    return fail(ErrorCode::kCorrupt, "{}: weight_map is missing, expected {{TENSOR: FILE, ...}}",
                name);
  }
  std::set<std::string> names;
  for (const auto& [tensor, file] : map->as_object()) {
    const bool beside =
        file.is_string() && !file.as_string().empty() &&
        file.as_string().find_first_of(std::string_view("/\\\0", 3)) == std::string::npos &&
        file.as_string().ends_with(".safetensors");
    if (!beside) {
      return fail(ErrorCode::kCorrupt,
                  "{}: weight_map says '{}' lies in {}, expected the name of a .safetensors file "
                  "beside it",
                  name, printable_name(tensor), printable_name(file.dump()));
    }
    names.insert(file.as_string());
  }
  return std::vector<std::string>(names.begin(), names.end());
}

}  // namespace minke
