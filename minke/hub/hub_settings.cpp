#include "minke/hub/hub_settings.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "minke/base/files.h"
#include "minke/hub/http_client.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

// The first of two that is not empty.
std::string first_of(std::string a, std::string b) { return a.empty() ? b : a; }

bool is_true(std::string value) {
  std::transform(value.begin(), value.end(), value.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return value == "1" || value == "ON" || value == "YES" || value == "TRUE";
}

fs::path expanded(const std::string& path) {
  if (path == "~" || path.starts_with("~/")) return fs::path(variable("HOME") + path.substr(1));
  return path;
}

Result<std::string> endpoint_variable(const char* name, const std::string& fallback) {
  std::string url = first_of(variable(name), fallback);
  while (url.ends_with('/')) url.pop_back();
  const Result<UrlParts> parts = parse_url(url);
  if (!parts) return fail(ErrorCode::kUsage, "{}: {}", name, parts.error().message);
  return url;
}

// A token goes into a header field: a line break in it would be a field of its own.
Result<std::string> checked_token(std::string token, std::string_view origin) {
  const auto is_space = [](unsigned char c) { return c <= ' '; };
  while (!token.empty() && is_space(token.back())) token.pop_back();
  while (!token.empty() && is_space(token.front())) token.erase(0, 1);
  const bool clean =
      std::all_of(token.begin(), token.end(), [](unsigned char c) { return c > ' ' && c < 127; });
  if (clean) return token;
  return fail(ErrorCode::kUsage, "the token in {} has characters that no token has", origin);
}

Result<std::string> hf_token_of(const fs::path& home) {
  std::string token = first_of(variable("HF_TOKEN"), variable("HUGGING_FACE_HUB_TOKEN"));
  if (!token.empty()) return checked_token(token, "HF_TOKEN");
  const fs::path path = expanded(first_of(variable("HF_TOKEN_PATH"), (home / "token").string()));
  constexpr size_t kTokenBytesMax = 64 << 10;
  const Result<std::string> text = read_file(path, kTokenBytesMax);
  if (!text) return std::string();  // most people have no token
  return checked_token(*text, path.string());
}

}  // namespace

Result<HubSettings> HubSettings::from_environment() {
  HubSettings out;
  MK_ASSIGN(out.hf_endpoint, endpoint_variable("HF_ENDPOINT", "https://huggingface.co"));
  MK_ASSIGN(out.ms_endpoint, endpoint_variable("MODELSCOPE_ENDPOINT", "https://www.modelscope.cn"));
  const std::string cache = first_of(variable("XDG_CACHE_HOME"), variable("HOME") + "/.cache");
  const fs::path home = expanded(first_of(variable("HF_HOME"), cache + "/huggingface"));
  out.hf_cache = expanded(first_of(variable("HF_HUB_CACHE"), (home / "hub").string()));
  MK_ASSIGN(out.hf_token, hf_token_of(home));
  MK_ASSIGN(out.ms_token, checked_token(variable("MODELSCOPE_API_TOKEN"), "MODELSCOPE_API_TOKEN"));
  out.ca_file = variable("SSL_CERT_FILE");
  for (const char* name : {"MINKE_OFFLINE", "HF_HUB_OFFLINE"}) {
    if (is_true(variable(name))) out.offline = name;
  }
  return out;
}

const std::string& HubSettings::endpoint(Hub hub) const {
  return hub == Hub::kModelScope ? ms_endpoint : hf_endpoint;
}

const std::string& HubSettings::token(Hub hub) const {
  static const std::string kNone;
  if (hub == Hub::kUrl) return kNone;
  return hub == Hub::kModelScope ? ms_token : hf_token;
}

double wait_seconds(const HubPatience& patience, int failures, double asked_seconds) {
  constexpr double kWaitMax = 60;
  constexpr double kAskedMax = 300;
  const double doubled = patience.first_wait_seconds * std::exp2(std::clamp(failures - 1, 0, 20));
  return std::max(std::min(doubled, kWaitMax), std::min(asked_seconds, kAskedMax));
}

}  // namespace minke
