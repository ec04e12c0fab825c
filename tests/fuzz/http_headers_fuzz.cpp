// Any bytes are header lines of an answer, and what a user typed for a model: values that hold
// together, or nothing.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "minke/hub/http_client.h"
#include "minke/hub/http_headers.h"
#include "minke/hub/model_source.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

void check_value(std::string_view value) {
  if (const auto range = minke::parse_content_range(value)) {
    require(range->begin < range->end && (!range->total || range->end <= *range->total));
  }
  require(minke::next_link(value).size() <= value.size());
  if (const auto seconds = minke::parse_retry_after(value, 1'700'000'000)) require(*seconds >= 0);
  require(minke::bare_etag(value).size() <= value.size());
  const auto target = minke::redirect_target("https://hub.example/a/b", std::string(value));
  require(!target || target->starts_with("https://"));
}

void check_source(std::string_view value) {
  minke::HubSettings settings;
  settings.hf_endpoint = "http://127.0.0.1:8080";
  settings.ms_endpoint = "https://www.modelscope.cn";
  const auto source = minke::parse_source(std::string(value), settings);
  if (!source) return;
  require(source->hub == minke::Hub::kUrl || (!source->owner.empty() && !source->repo.empty()));
  require(source->owner != ".." && source->repo != "..");
  require(source->which.find("..") == std::string::npos);
  require(source->revision.find("..") == std::string::npos);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  minke::HttpHead head;
  while (!text.empty()) {
    const size_t line = std::min(text.find('\n'), text.size());
    minke::read_header_line(text.substr(0, line), head);
    check_source(text.substr(0, line));
    text.remove_prefix(std::min(line + 1, text.size()));
  }
  require(head.status >= 0 && head.status <= 999);
  for (const minke::HeaderField& field : head.fields) {
    check_value(field.value);
    require(head.find(field.name) != nullptr);
  }
  return 0;
}
