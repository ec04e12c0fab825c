#pragma once
#include <optional>
#include <string>

#include "minke/hub/model_source.h"
#include "minke/hub/model_store.h"

namespace minke {

/// The stored model that a source means, without asking a hub: pulled from that repository, and of
/// that file or quantisation where the source names one (the revision counts where it is given).
std::optional<StoredModel> find_by_source(const ModelStore& store, const ModelSource& source);

/// The same as a path to open, for what a user typed. kNotFound tells the pull command.
Result<std::filesystem::path> resolve_source(const ModelStore& store, const std::string& text);

/// The command that gets a stored model again.
std::string pull_command(const Manifest& manifest);

}  // namespace minke
