#pragma once
#include <span>
#include <string>
#include <vector>

#include "minke/models/adapter.h"

namespace minke {

/// What open_adapters() takes, for help texts.
inline constexpr const char* kAdapterHelp =
    "a LoRA adapter: a folder as PEFT's, and after a colon how much of it (1); may be repeated";

/// Reads the adapters that --adapter FOLDER[:SCALE] names, their scales multiplied. A folder whose
/// name ends like a scale is taken whole. Errors: those of read_adapter(), kUsage for a scale.
Result<std::vector<Adapter>> open_adapters(std::span<const std::string> flags);

}  // namespace minke
