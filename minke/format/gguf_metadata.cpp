#include "minke/format/gguf_metadata.h"

#include <algorithm>

#include "minke/format/gguf_bytes.h"

namespace minke {

void GgufMetadata::add_bytes(std::string_view key, GgufType type,
                             std::span<const std::byte> value) {
  std::string bytes;
  append_number(bytes, static_cast<uint32_t>(type));
  append_bytes(bytes, value);
  const auto same = std::find_if(entries_.begin(), entries_.end(),
                                 [&](const Entry& entry) { return entry.key == key; });
  if (same != entries_.end()) {
    same->bytes = std::move(bytes);
    return;
  }
  entries_.push_back({std::string(key), std::move(bytes)});
}

void GgufMetadata::add_array_bytes(std::string_view key, GgufType element_type, uint64_t count,
                                   std::span<const std::byte> elements) {
  std::string value;
  append_number(value, static_cast<uint32_t>(element_type));
  append_number(value, count);
  append_bytes(value, elements);
  add_bytes(key, GgufType::kArray, std::as_bytes(std::span(value)));
}

void GgufMetadata::add(std::string_view key, std::string_view text) {
  std::string value;
  append_string(value, text);
  add_bytes(key, GgufType::kString, std::as_bytes(std::span(value)));
}

void GgufMetadata::add_array(std::string_view key, const std::vector<std::string>& texts) {
  std::string elements;
  for (const std::string& text : texts) append_string(elements, text);
  add_array_bytes(key, GgufType::kString, texts.size(), std::as_bytes(std::span(elements)));
}

void GgufMetadata::add(std::string_view key, const GgufValue& value) {
  if (value.is_string()) return add(key, value.as_string());
  if (value.is_array()) {
    return add_array_bytes(key, value.element_type, value.count, value.bytes);
  }
  add_bytes(key, value.type, value.bytes);
}

void GgufMetadata::copy(const GgufFile& file) {
  for (const GgufEntry& entry : file.metadata()) {
    if (entry.key != "general.alignment" && !entry.key.starts_with("split.")) {
      add(entry.key, entry.value);
    }
  }
}

void GgufMetadata::remove(std::string_view key) {
  std::erase_if(entries_, [&](const Entry& entry) { return entry.key == key; });
}

void GgufMetadata::append_to(std::string& out) const {
  for (const Entry& entry : entries_) {
    append_string(out, entry.key);
    out += entry.bytes;
  }
}

}  // namespace minke
