#pragma once
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "minke/base/result.h"

namespace minke {

/// Which protocol a repository of models speaks.
enum class Hub {
  kHuggingFace,
  kModelScope,
  kUrl,  ///< one file at a plain URL
};

/// Where the hubs are and who asks. The variables are those of the hubs' own clients, so what works
/// with them works here.
struct HubSettings {
  std::string hf_endpoint;         ///< HF_ENDPOINT, or https://huggingface.co; no slash at the end
  std::string hf_token;            ///< HF_TOKEN, or the file HF_TOKEN_PATH, or HF_HOME/token
  std::filesystem::path hf_cache;  ///< HF_HUB_CACHE, or HF_HOME/hub, or ~/.cache/huggingface/hub
  std::string ms_endpoint;         ///< MODELSCOPE_ENDPOINT, or https://www.modelscope.cn
  std::string ms_token;            ///< MODELSCOPE_API_TOKEN
  std::string ca_file;             ///< SSL_CERT_FILE
  /// Why nothing may be fetched: the variable that says so (HF_HUB_OFFLINE, MINKE_OFFLINE), or
  /// empty.
  std::string offline;

  /// kUsage when a variable holds what cannot be used: an endpoint that is no URL, a token with
  /// control characters.
  static Result<HubSettings> from_environment();

  /// The endpoint's URL, and the token to show to it and to nobody else.
  const std::string& endpoint(Hub hub) const;
  const std::string& token(Hub hub) const;
};

/// How a pull talks with its caller, and how patient it is.
struct HubPatience {
  int attempts_max = 6;  ///< without any progress in between; 0: for ever
  double connect_seconds_max = 20;
  double stall_seconds_max = 30;
  double first_wait_seconds = 0.5;            ///< doubles with every attempt, up to 60 s
  std::function<bool()> should_stop;          ///< polled; true ends with kInterrupted; may be empty
  std::function<void(std::string_view)> say;  ///< a line on what happens now; may be empty
};

/// The pause after the failed attempt number `failures` (from 1): doubled each time, at most 60 s;
/// what the server asked for where that is longer, at most 300 s.
double wait_seconds(const HubPatience& patience, int failures, double asked_seconds);

}  // namespace minke
