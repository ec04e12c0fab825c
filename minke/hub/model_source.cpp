#include "minke/hub/model_source.h"

#include <algorithm>
#include <vector>

#include "minke/hub/http_client.h"

namespace minke {
namespace {

bool take_prefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

// An owner or repository: what both hubs allow. Never "." or "..", which would change the path.
bool is_repository_word(std::string_view word) {
  const bool plain = std::all_of(word.begin(), word.end(), [](unsigned char c) {
    return (c < 128 && std::isalnum(c) != 0) || c == '.' || c == '_' || c == '-';
  });
  return plain && !word.empty() && word.size() <= 128 && word != "." && word != "..";
}

// A file's path or a revision: no control characters, no way out by "..".
bool is_clean(std::string_view text) {
  const bool printable =
      std::none_of(text.begin(), text.end(), [](unsigned char c) { return c < ' ' || c == 127; });
  return printable && text.size() <= 1024 && !text.starts_with('/') &&
         text.find("..") == std::string_view::npos;
}

tl::unexpected<Error> bad_source(std::string_view text, std::string_view why) {
  return fail(ErrorCode::kUsage,
              "'{}' {}; a model is OWNER/REPO[:QUANTISATION or :FILE][@REVISION], the same after "
              "hf.co/ or ms://, or a URL",
              text, why);
}

Result<ModelSource> checked(ModelSource source, std::string_view text) {
  if (!is_repository_word(source.owner) || !is_repository_word(source.repo)) {
    return bad_source(text, "names no repository");
  }
  if (!is_clean(source.which) || !is_clean(source.revision)) {
    return bad_source(text, "has a file or revision that cannot be");
  }
  return source;
}

// OWNER/REPO[:WHICH][@REVISION]
Result<ModelSource> parse_short(Hub hub, std::string_view rest, std::string_view text) {
  ModelSource source;
  source.hub = hub;
  const size_t slash = rest.find('/');
  if (slash == std::string_view::npos) return bad_source(text, "names no repository");
  source.owner = rest.substr(0, slash);
  rest.remove_prefix(slash + 1);
  // The revision may hold a colon and the file an at sign; whichever comes first decides.
  const size_t end = std::min(rest.find_first_of(":@"), rest.size());
  source.repo = rest.substr(0, end);
  rest.remove_prefix(end);
  if (take_prefix(rest, ":")) {
    const size_t at = std::min(rest.rfind('@'), rest.size());
    source.which = rest.substr(0, at);
    rest.remove_prefix(at);
    if (source.which.empty()) return bad_source(text, "has nothing after its colon");
  }
  if (take_prefix(rest, "@")) {
    source.revision = rest;
    if (source.revision.empty()) return bad_source(text, "has nothing after its @");
  }
  return checked(std::move(source), text);
}

std::vector<std::string> split_path(std::string_view path) {
  std::vector<std::string> words;
  while (!path.empty()) {
    const size_t end = std::min(path.find('/'), path.size());
    if (end > 0) words.emplace_back(path.substr(0, end));
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return words;
}

// /OWNER/REPO[/resolve|/blob|/tree/REVISION[/FILE]], without what a hub puts before it.
Result<ModelSource> parse_path(Hub hub, std::vector<std::string> words, std::string_view text) {
  if (hub == Hub::kModelScope && !words.empty() && words[0] == "models") {
    words.erase(words.begin());
  }
  if (words.size() < 2) return bad_source(text, "names no repository");
  ModelSource source;
  source.hub = hub;
  source.owner = words[0];
  source.repo = words[1];
  const bool has_revision = words.size() >= 4 && (words[2] == "resolve" || words[2] == "blob" ||
                                                  words[2] == "tree" || words[2] == "raw");
  if (has_revision) {
    source.revision = words[3];
    for (size_t i = 4; i < words.size(); ++i) {
      source.which += (i > 4 ? "/" : "") + words[i];
    }
    // A folder of a repository cannot be pulled by itself.
    if (words[2] == "tree") source.which.clear();
  }
  return checked(std::move(source), text);
}

// Which hub a URL belongs to: its own name, or the host of the endpoint that is set.
Hub hub_of(const UrlParts& url, const HubSettings& settings) {
  if (url.host == "huggingface.co" || url.host == "www.huggingface.co" || url.host == "hf.co") {
    return Hub::kHuggingFace;
  }
  if (url.host == "modelscope.cn" || url.host == "www.modelscope.cn") return Hub::kModelScope;
  for (const Hub hub : {Hub::kHuggingFace, Hub::kModelScope}) {
    const Result<UrlParts> endpoint = parse_url(settings.endpoint(hub));
    if (endpoint && same_origin(url, *endpoint)) return hub;
  }
  return Hub::kUrl;
}

Result<ModelSource> parse_long(const std::string& text, const HubSettings& settings) {
  MK_ASSIGN(const UrlParts url, parse_url(text));
  const Hub hub = hub_of(url, settings);
  if (hub != Hub::kUrl) return parse_path(hub, split_path(url.path), text);
  ModelSource source;
  source.hub = hub;
  source.url = text;
  source.which = url.path.substr(url.path.rfind('/') + 1);
  if (source.which.ends_with(".gguf") && is_clean(source.which)) return source;
  return bad_source(text, "is neither a repository of a hub nor a .gguf file");
}

}  // namespace

std::string ModelSource::text() const {
  if (hub == Hub::kUrl) return url;
  return fmt::format("{}/{}/{}", hub == Hub::kModelScope ? "modelscope.cn" : "hf.co", owner, repo);
}

std::string ModelSource::revision_or_main() const {
  if (!revision.empty()) return revision;
  return hub == Hub::kModelScope ? "master" : "main";
}

bool looks_like_source(std::string_view text) {
  return text.find('/') != std::string_view::npos && !text.starts_with('/') &&
         !text.starts_with('.');
}

Result<ModelSource> parse_source(const std::string& text, const HubSettings& settings) {
  if (text.starts_with("http://") || text.starts_with("https://")) {
    return parse_long(text, settings);
  }
  std::string_view rest = text;
  for (const std::string_view prefix : {"ms://", "modelscope://", "modelscope.cn/models/",
                                        "modelscope.cn/", "www.modelscope.cn/models/"}) {
    if (take_prefix(rest, prefix)) return parse_short(Hub::kModelScope, rest, text);
  }
  for (const std::string_view prefix : {"hf.co/", "hf://", "huggingface.co/"}) {
    if (take_prefix(rest, prefix)) break;
  }
  return parse_short(Hub::kHuggingFace, rest, text);
}

}  // namespace minke
