#include "minke/format/gguf.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace minke {
namespace {

template <class T>
T load(std::span<const std::byte> bytes) {
  T value;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

/// The integer, sign kept, or nothing when the value is no integer. Two's complement of u64 values
/// above the range of int64 is told apart by `type`.
bool load_integer(GgufType type, std::span<const std::byte> bytes, int64_t& out) {
  switch (type) {
    case GgufType::kU8:
      out = load<uint8_t>(bytes);
      return true;
    case GgufType::kI8:
      out = load<int8_t>(bytes);
      return true;
    case GgufType::kU16:
      out = load<uint16_t>(bytes);
      return true;
    case GgufType::kI16:
      out = load<int16_t>(bytes);
      return true;
    case GgufType::kU32:
      out = load<uint32_t>(bytes);
      return true;
    case GgufType::kI32:
      out = load<int32_t>(bytes);
      return true;
    case GgufType::kU64:
    case GgufType::kI64:
      out = load<int64_t>(bytes);
      return true;
    default:
      return false;
  }
}

bool load_number(GgufType type, std::span<const std::byte> bytes, double& out) {
  if (type == GgufType::kF32) {
    out = load<float>(bytes);
    return true;
  }
  if (type == GgufType::kF64) {
    out = load<double>(bytes);
    return true;
  }
  int64_t integer = 0;
  if (!load_integer(type, bytes, integer)) return false;
  out = type == GgufType::kU64 ? static_cast<double>(static_cast<uint64_t>(integer))
                               : static_cast<double>(integer);
  return true;
}

Json scalar_json(GgufType type, std::span<const std::byte> bytes) {
  if (type == GgufType::kBool) return Json(bytes[0] != std::byte{0});
  int64_t integer = 0;
  const bool is_integer = load_integer(type, bytes, integer);
  if (is_integer && !(type == GgufType::kU64 && integer < 0)) return Json(integer);
  double number = 0;
  load_number(type, bytes, number);
  return Json(number);
}

size_t scalar_width(GgufType type, const GgufArray& array) {
  if (type == GgufType::kString || type == GgufType::kArray || array.size() == 0) return 0;
  return array.bytes().size() / array.size();
}

Json array_json(const GgufArray& array, int items_max) {
  const uint64_t shown = std::min<uint64_t>(array.size(), static_cast<uint64_t>(items_max));
  Json items = Json::array();
  const bool nested = array.element_type() == GgufType::kArray;
  if (array.element_type() == GgufType::kString) {
    auto at = array.strings().begin();
    for (uint64_t i = 0; i < shown; ++i, ++at) items.push(Json(*at));
  } else if (!nested) {
    const size_t width = scalar_width(array.element_type(), array);
    for (uint64_t i = 0; i < shown; ++i) {
      items.push(scalar_json(array.element_type(), array.bytes().subspan(i * width, width)));
    }
  }
  if (shown == array.size() && !nested) return items;
  return Json::object({{"array_of", gguf_type_name(array.element_type())},
                       {"count", array.size()},
                       {"first", std::move(items)}});
}

tl::unexpected<Error> missing_key(std::string_view key) {
  return fail(ErrorCode::kCorrupt, "gguf: metadata key '{}' is missing", key);
}

tl::unexpected<Error> wrong_kind(std::string_view key, const GgufValue& value,
                                 std::string_view expected) {
  return fail(ErrorCode::kCorrupt, "gguf: metadata '{}' is of type {}, expected {}", key,
              gguf_type_name(value.type), expected);
}

}  // namespace

const char* gguf_type_name(GgufType type) {
  static constexpr const char* kNames[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                           "bool", "string", "array", "u64", "i64", "f64"};
  const auto number = static_cast<uint32_t>(type);
  return number < std::size(kNames) ? kNames[number] : "?";
}

GgufArray::Strings GgufArray::strings() const {
  MK_CHECK(element_type_ == GgufType::kString, "gguf: strings of an array of {}",
           gguf_type_name(element_type_));
  return {StringIterator(bytes_.data()), StringIterator(bytes_.data() + bytes_.size())};
}

std::string_view GgufValue::as_string() const {
  MK_CHECK(is_string(), "gguf: string of a {}", gguf_type_name(type));
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

GgufArray GgufValue::as_array() const {
  MK_CHECK(is_array(), "gguf: array of a {}", gguf_type_name(type));
  return {element_type, count, bytes};
}

const GgufValue* GgufFile::find_value(std::string_view key) const {
  const auto at =
      std::lower_bound(metadata_by_key_.begin(), metadata_by_key_.end(), key,
                       [this](uint32_t i, std::string_view k) { return metadata_[i].key < k; });
  if (at == metadata_by_key_.end() || metadata_[*at].key != key) return nullptr;
  return &metadata_[*at].value;
}

Result<uint64_t> GgufFile::get_uint(std::string_view key) const {
  const GgufValue* value = find_value(key);
  if (value == nullptr) return missing_key(key);
  int64_t integer = 0;
  if (!load_integer(value->type, value->bytes, integer)) {
    return wrong_kind(key, *value, "an integer");
  }
  if (integer < 0 && value->type != GgufType::kU64) {
    return fail(ErrorCode::kCorrupt, "gguf: metadata '{}' is {}, expected 0 or more", key, integer);
  }
  return static_cast<uint64_t>(integer);
}

Result<uint64_t> GgufFile::get_uint_or(std::string_view key, uint64_t missing) const {
  return find_value(key) == nullptr ? missing : get_uint(key);
}

Result<double> GgufFile::get_float(std::string_view key) const {
  const GgufValue* value = find_value(key);
  if (value == nullptr) return missing_key(key);
  double number = 0;
  if (!load_number(value->type, value->bytes, number)) return wrong_kind(key, *value, "a number");
  return number;
}

Result<double> GgufFile::get_float_or(std::string_view key, double missing) const {
  return find_value(key) == nullptr ? missing : get_float(key);
}

Result<bool> GgufFile::get_bool(std::string_view key) const {
  const GgufValue* value = find_value(key);
  if (value == nullptr) return missing_key(key);
  if (value->type != GgufType::kBool) return wrong_kind(key, *value, "bool");
  return value->bytes[0] != std::byte{0};
}

Result<bool> GgufFile::get_bool_or(std::string_view key, bool missing) const {
  return find_value(key) == nullptr ? missing : get_bool(key);
}

Result<std::string_view> GgufFile::get_string(std::string_view key) const {
  const GgufValue* value = find_value(key);
  if (value == nullptr) return missing_key(key);
  if (!value->is_string()) return wrong_kind(key, *value, "string");
  return value->as_string();
}

Result<std::string_view> GgufFile::get_string_or(std::string_view key,
                                                 std::string_view missing) const {
  return find_value(key) == nullptr ? missing : get_string(key);
}

Result<GgufArray> GgufFile::get_array(std::string_view key) const {
  const GgufValue* value = find_value(key);
  if (value == nullptr) return missing_key(key);
  if (!value->is_array()) return wrong_kind(key, *value, "array");
  return value->as_array();
}

Json GgufFile::metadata_json(int array_items_max) const {
  MK_CHECK(array_items_max >= 0, "gguf: metadata_json with {} array items", array_items_max);
  Json::Object members;
  members.reserve(metadata_.size());
  for (const auto& [key, value] : metadata_) {
    Json shown = value.is_array()    ? array_json(value.as_array(), array_items_max)
                 : value.is_string() ? Json(value.as_string())
                                     : scalar_json(value.type, value.bytes);
    members.emplace_back(std::string(key), std::move(shown));
  }
  return Json::object(std::move(members));
}

const WeightInfo* GgufFile::find(std::string_view name) const {
  const auto at =
      std::lower_bound(weights_by_name_.begin(), weights_by_name_.end(), name,
                       [this](uint32_t i, std::string_view n) { return weights_[i].name < n; });
  if (at == weights_by_name_.end() || weights_[*at].name != name) return nullptr;
  return &weights_[*at];
}

void GgufFile::drop(std::span<const std::byte> bytes) const { drop_mapped(maps_, bytes); }

void GgufFile::drop_metadata() const {
  drop(bytes_.first(std::min<size_t>(data_offset_, bytes_.size())));
}

}  // namespace minke
