// Any bytes are a hub's answer: it becomes files that stay inside a folder, from which a model is
// chosen, or an Error.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "minke/hub/file_choice.h"
#include "minke/hub/hub_listing.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

void check_files(const minke::Result<std::vector<minke::RemoteFile>>& files, std::string_view tag) {
  if (!files) {
    require(!files.error().message.empty());
    return;
  }
  for (const minke::RemoteFile& file : *files) {
    const std::string path = "/" + file.path + "/";
    require(path.find("/../") == std::string::npos && path.find("//") == std::string::npos);
    require(file.sha256.empty() || minke::is_hex(file.sha256, 64));
    require(file.git_sha1.empty() || minke::is_hex(file.git_sha1, 40));
  }
  for (const std::string& which : {std::string(), std::string(tag)}) {
    const auto chosen = minke::choose_files(*files, which, "model");
    require(!chosen || !chosen->files.empty());
    require(chosen || !chosen.error().message.empty());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // The first line is what a user asked for, the rest the answer.
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t line = std::min(text.find('\n'), text.size());
  const std::string_view json = text.substr(std::min(line + 1, text.size()));
  check_files(minke::parse_hf_tree(json), text.substr(0, line));
  check_files(minke::parse_ms_files(json), text.substr(0, line));
  const auto info = minke::parse_hf_info(json);
  require(!info || minke::is_hex(info->commit, 40));
  require(!minke::parse_ms_license(json).empty());
  return 0;
}
