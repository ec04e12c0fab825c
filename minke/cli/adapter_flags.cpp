#include "minke/cli/adapter_flags.h"

#include <charconv>
#include <cmath>
#include <filesystem>
#include <system_error>

namespace minke {
namespace {

Result<Adapter> open_adapter(const std::string& flag) {
  std::error_code error;
  const size_t colon = flag.rfind(':');
  if (colon == std::string::npos || std::filesystem::exists(flag, error)) {
    return read_adapter(flag);
  }
  double scale = 0;
  const char* const end = flag.data() + flag.size();
  const auto [at, wrong] = std::from_chars(flag.data() + colon + 1, end, scale);
  if (wrong != std::errc() || at != end || !std::isfinite(scale)) {
    return fail(ErrorCode::kUsage, "--adapter is '{}', expected a folder, or FOLDER:SCALE as in {}",
                flag, "my-adapter:0.5");
  }
  MK_ASSIGN(Adapter adapter, read_adapter(flag.substr(0, colon)));
  for (AdapterModule& module : adapter.modules) module.delta.scale *= scale;
  return adapter;
}

}  // namespace

Result<std::vector<Adapter>> open_adapters(std::span<const std::string> flags) {
  std::vector<Adapter> adapters;
  for (const std::string& flag : flags) {
    MK_ASSIGN(Adapter adapter, open_adapter(flag));
    adapters.push_back(std::move(adapter));
  }
  return adapters;
}

}  // namespace minke
