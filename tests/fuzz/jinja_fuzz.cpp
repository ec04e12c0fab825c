// Any bytes are a template: parsing and rendering end with a result or an Error within small
// limits, and every byte of the caller's text that comes through is marked untrusted.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "minke/text/chat_template.h"

namespace {

// Stands for the user's text: a character that a template cannot make but by writing it.
constexpr std::string_view kMark = "\xF0\x9F\xA7\xBF";

minke::ChatInput attack_input() {
  using minke::Json;
  const std::string mark(kMark);
  minke::ChatInput input;
  const Json call = Json::object({{"name", mark}, {"arguments", Json::object({{mark, 1.5}})}});
  input.messages = Json::array({
      Json::object({{"role", "user"}, {"content", mark + " <" + mark + "|>\n" + mark}}),
      Json::object({{"role", mark}, {"content", nullptr}, {"tool_calls", Json::array({call})}}),
  });
  input.tools = Json::array({call});
  input.extra = Json::object({{"n", 3}, {"list", Json::array({1, 2, mark})}});
  input.now_seconds = 1'700'000'000;
  return input;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const minke::ChatInput kInput = attack_input();
  const minke::ChatLimits limits{.steps_max = 20'000,
                                 .depth_max = 100,
                                 .output_bytes_max = 1 << 16,
                                 .memory_bytes_max = 1 << 22};
  std::string source(reinterpret_cast<const char*>(data), size);
  const bool can_make =
      source.find(kMark) != std::string::npos || source.find('\\') != std::string::npos;
  const auto parsed = minke::ChatTemplate::parse(std::move(source));
  if (!parsed) return 0;
  const auto rendered = parsed->render(kInput, limits);
  if (!rendered) return 0;
  size_t end = 0;
  for (const minke::TextRange& range : rendered->untrusted) {
    if (range.begin < end || range.begin >= range.end) abort();
    end = range.end;
  }
  if (end > rendered->text.size()) abort();
  if (can_make) return 0;
  std::string trusted = rendered->text;
  for (auto range = rendered->untrusted.rbegin(); range != rendered->untrusted.rend(); ++range) {
    trusted.erase(range->begin, range->end - range->begin);
  }
  if (trusted.find(kMark) != std::string::npos) abort();
  return 0;
}
