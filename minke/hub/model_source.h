#pragma once
#include <string>
#include <string_view>

#include "minke/base/result.h"
#include "minke/hub/hub_settings.h"

namespace minke {

/// What `minke pull` was asked for, apart from the names of known_models():
///
///     OWNER/REPO[:WHICH][@REVISION]              Hugging Face, also with hf.co/ or hf:// before it
///     ms://OWNER/REPO[:WHICH][@REVISION]         ModelScope, also modelscope.cn/OWNER/REPO
///     https://huggingface.co/OWNER/REPO[/blob|/resolve/REVISION/FILE]
///     https://modelscope.cn/models/OWNER/REPO[/resolve/REVISION/FILE]
///     https://anywhere.else/path/model.gguf      one file
///
/// WHICH is a quantisation (Q4_K_M, in any case) or a file of the repository.
struct ModelSource {
  Hub hub = Hub::kHuggingFace;
  std::string owner;
  std::string repo;
  std::string which;     ///< empty: minke chooses
  std::string revision;  ///< empty: the hub's main branch
  std::string url;       ///< of the file, for Hub::kUrl

  /// "hf.co/owner/repo", "modelscope.cn/owner/repo" or the URL: how messages and manifests name it.
  std::string text() const;
  /// `revision`, or what the hub calls its main branch.
  std::string revision_or_main() const;
};

/// Whether `text` has the form of a source rather than of a model's name: a slash or a scheme.
bool looks_like_source(std::string_view text);

/// Parses what a user typed. `settings` tell which hosts are hubs. kUsage, saying the forms, when
/// it is none of them.
Result<ModelSource> parse_source(const std::string& text, const HubSettings& settings);

}  // namespace minke
