#include "minke/hub/hub_listing.h"

#include <algorithm>
#include <optional>

#include "minke/base/json.h"

namespace minke {
namespace {

constexpr size_t kFilesMax = 100'000;

// A path that stays inside a folder when it is appended to it.
bool is_inner_path(std::string_view path) {
  if (path.empty() || path.size() > 1024) return false;
  if (path.front() == '/' || path.back() == '/') return false;
  for (const unsigned char c : path) {
    if (c < ' ' || c == 127 || c == '\\') return false;
  }
  while (!path.empty()) {
    const size_t end = std::min(path.find('/'), path.size());
    const std::string_view word = path.substr(0, end);
    if (word.empty() || word == "." || word == "..") return false;
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return true;
}

std::string_view text_of(const Json& object, std::string_view key) {
  const Json* member = object.find(key);
  return member != nullptr && member->is_string() ? std::string_view(member->as_string()) : "";
}

std::optional<uint64_t> size_of(const Json& object, std::string_view key) {
  const Json* member = object.find(key);
  if (member == nullptr || !member->is_int() || member->as_int() < 0) return std::nullopt;
  return static_cast<uint64_t>(member->as_int());
}

Result<Json> parse_answer(std::string_view json, std::string_view what) {
  Result<Json> parsed = parse_json(json);
  if (parsed) return parsed;
  return fail(ErrorCode::kNetwork, "the hub's {} is no JSON: {}", what, parsed.error().message);
}

tl::unexpected<Error> bad_file(std::string_view path, std::string_view why) {
  std::string shown(path.substr(0, 100));
  std::replace_if(
      shown.begin(), shown.end(), [](unsigned char c) { return c < ' ' || c == 127; }, '?');
  return fail(ErrorCode::kNetwork, "the hub lists a file '{}' {}", shown, why);
}

// The rules for every listed file, whichever hub.
Result<void> check_file(const RemoteFile& file) {
  if (!is_inner_path(file.path)) return bad_file(file.path, "with a path that leads elsewhere");
  if (!file.sha256.empty() && !is_hex(file.sha256, 64)) {
    return bad_file(file.path, "with a SHA-256 that is none");
  }
  return {};
}

Result<RemoteFile> hf_file(const Json& entry) {
  RemoteFile file;
  file.path = text_of(entry, "path");
  const Json* lfs = entry.find("lfs");
  const bool is_large = lfs != nullptr && lfs->is_object();
  const std::optional<uint64_t> size = size_of(is_large ? *lfs : entry, "size");
  if (!size) return bad_file(file.path, "without a size");
  file.size_bytes = *size;
  if (is_large) {
    file.sha256 = text_of(*lfs, "oid");
  } else if (const std::string_view id = text_of(entry, "oid"); is_hex(id, 40)) {
    file.git_sha1 = id;
  }
  return file;
}

Result<RemoteFile> ms_file(const Json& entry) {
  RemoteFile file;
  file.path = text_of(entry, "Path");
  const std::optional<uint64_t> size = size_of(entry, "Size");
  if (!size) return bad_file(file.path, "without a size");
  file.size_bytes = *size;
  file.sha256 = text_of(entry, "Sha256");
  return file;
}

Result<std::vector<RemoteFile>> parse_files(const Json* list, std::string_view folder_type,
                                            std::string_view type_key,
                                            Result<RemoteFile> (*parse)(const Json&)) {
  if (list == nullptr || !list->is_array()) {
    return fail(ErrorCode::kNetwork, "the hub's list of files is {}, expected an array",
                list == nullptr ? "missing" : list->kind());
  }
  if (list->as_array().size() > kFilesMax) {
    return fail(ErrorCode::kNetwork, "the hub lists {} files, at most {} are taken",
                list->as_array().size(), kFilesMax);
  }
  std::vector<RemoteFile> files;
  for (const Json& entry : list->as_array()) {
    const std::string_view type = text_of(entry, type_key);
    if (type.empty()) return bad_file(text_of(entry, "path"), "without a type");
    if (type == folder_type) continue;
    MK_ASSIGN(RemoteFile file, parse(entry));
    MK_TRY(check_file(file));
    files.push_back(std::move(file));
  }
  return files;
}

// A license as a manifest may show it: one short word.
std::string license_word(std::string_view text) {
  const bool plain = std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return (c < 128 && std::isalnum(c) != 0) || c == '.' || c == '-' || c == '_' || c == '+';
  });
  return plain && !text.empty() && text.size() <= 64 ? std::string(text) : "unknown";
}

}  // namespace

Result<std::vector<RemoteFile>> parse_hf_tree(std::string_view json) {
  MK_ASSIGN(const Json answer, parse_answer(json, "list of files"));
  return parse_files(&answer, "directory", "type", hf_file);
}

Result<std::vector<RemoteFile>> parse_ms_files(std::string_view json) {
  MK_ASSIGN(const Json answer, parse_answer(json, "list of files"));
  const Json* data = answer.find("Data");
  if (data != nullptr && data->is_object()) data = data->find("Files");
  return parse_files(data, "tree", "Type", ms_file);
}

Result<RemoteListing> parse_hf_info(std::string_view json) {
  MK_ASSIGN(const Json answer, parse_answer(json, "description of the model"));
  RemoteListing listing;
  listing.commit = text_of(answer, "sha");
  if (!is_hex(listing.commit, 40)) {
    return fail(ErrorCode::kNetwork, "the hub's description of the model has no commit");
  }
  listing.license = "unknown";
  const Json* tags = answer.find("tags");
  if (tags == nullptr || !tags->is_array()) return listing;
  constexpr std::string_view kLicense = "license:";
  for (const Json& tag : tags->as_array()) {
    if (!tag.is_string() || !tag.as_string().starts_with(kLicense)) continue;
    listing.license = license_word(std::string_view(tag.as_string()).substr(kLicense.size()));
  }
  return listing;
}

std::string parse_ms_license(std::string_view json) {
  const Result<Json> answer = parse_json(json);
  const Json* data = answer ? answer->find("Data") : nullptr;
  return data == nullptr ? "unknown" : license_word(text_of(*data, "License"));
}

}  // namespace minke
