#include "minke/hub/hub_repository.h"

#include <iterator>

#include "minke/hub/http_client.h"

namespace minke {
namespace {

constexpr size_t kListingBytesMax = 32 << 20;
constexpr int kPagesMax = 200;  // of 1,000 files each with Hugging Face

// The body of a 200 answer, or the error that the status means.
Result<HubReply> get_listing(HubSession& session, const std::string& url,
                             const ModelSource& source) {
  MK_ASSIGN(HubReply reply, session.get(url, kListingBytesMax));
  if (reply.head.status == 200) return reply;
  const std::string what =
      source.revision.empty() ? source.text() : source.text() + "@" + source.revision;
  return tl::unexpected<Error>(status_error(session, reply.head, what));
}

// The next page at the endpoint that was asked: a mirror may hand on the original's links.
Result<std::string> next_page(const HubSession& session, const HttpHead& head) {
  const std::string link = next_link(head.get("Link"));
  if (link.empty()) return link;
  const size_t at = link.find("/api/models/");
  if (at == std::string::npos) {
    return fail(ErrorCode::kNetwork, "the list of files goes on at '{}', which is no such list",
                link.substr(0, 200));
  }
  return session.endpoint() + link.substr(at);
}

Result<RemoteListing> list_hugging_face(HubSession& session, const ModelSource& source) {
  const std::string base =
      fmt::format("{}/api/models/{}/{}", session.endpoint(), source.owner, source.repo);
  const std::string revision = url_encoded(source.revision_or_main(), false);
  MK_ASSIGN(const HubReply info, get_listing(session, base + "/revision/" + revision, source));
  MK_ASSIGN(RemoteListing listing, parse_hf_info(info.body));
  std::string url = fmt::format("{}/tree/{}?recursive=true", base, listing.commit);
  for (int page = 0; !url.empty(); ++page) {
    if (page == kPagesMax) {
      return fail(ErrorCode::kNetwork, "{} has more than {} pages of files", source.text(),
                  kPagesMax);
    }
    MK_ASSIGN(const HubReply reply, get_listing(session, url, source));
    MK_ASSIGN(std::vector<RemoteFile> files, parse_hf_tree(reply.body));
    std::move(files.begin(), files.end(), std::back_inserter(listing.files));
    MK_ASSIGN(url, next_page(session, reply.head));
  }
  return listing;
}

std::string ms_base(const HubSession& session, const ModelSource& source) {
  return fmt::format("{}/api/v1/models/{}/{}", session.endpoint(), source.owner, source.repo);
}

Result<RemoteListing> list_model_scope(HubSession& session, const ModelSource& source) {
  const std::string base = ms_base(session, source);
  const std::string url = fmt::format("{}/repo/files?Revision={}&Recursive=True", base,
                                      url_encoded(source.revision_or_main(), false));
  MK_ASSIGN(const HubReply reply, get_listing(session, url, source));
  RemoteListing listing;
  MK_ASSIGN(listing.files, parse_ms_files(reply.body));
  listing.license = "unknown";
  // A nicety for the manifest: without an answer the pull goes on.
  const Result<HubReply> info = session.get(base, kListingBytesMax);
  if (info && info->head.status == 200) listing.license = parse_ms_license(info->body);
  return listing;
}

Result<RemoteListing> list_url(HubSession& session, const ModelSource& source) {
  MK_ASSIGN(const HubReply reply, session.get_head(source.url));
  const HttpHead& head = reply.head;
  if (head.status != 200 && head.status != 206) {
    return tl::unexpected<Error>(status_error(session, head, source.url));
  }
  std::optional<uint64_t> size = parse_decimal(head.get("Content-Length"));
  if (head.status == 206) {
    const auto range = parse_content_range(head.get("Content-Range"));
    size = range ? range->total : std::nullopt;
  }
  if (!size) {
    return fail(ErrorCode::kNetwork, "{}: the server does not tell how long it is", source.url);
  }
  RemoteListing listing;
  listing.license = "unknown";
  listing.files.push_back({source.which, *size, "", ""});
  return listing;
}

}  // namespace

Result<RemoteListing> list_repository(HubSession& session, const ModelSource& source) {
  switch (source.hub) {
    case Hub::kHuggingFace:
      return list_hugging_face(session, source);
    case Hub::kModelScope:
      return list_model_scope(session, source);
    case Hub::kUrl:
      break;
  }
  return list_url(session, source);
}

std::string file_url(const HubSession& session, const ModelSource& source,
                     const RemoteListing& listing, const RemoteFile& file) {
  switch (source.hub) {
    case Hub::kHuggingFace:
      return fmt::format("{}/{}/{}/resolve/{}/{}", session.endpoint(), source.owner, source.repo,
                         listing.commit, url_encoded(file.path, true));
    case Hub::kModelScope:
      return fmt::format("{}/repo?Revision={}&FilePath={}", ms_base(session, source),
                         url_encoded(source.revision_or_main(), false),
                         url_encoded(file.path, false));
    case Hub::kUrl:
      break;
  }
  return source.url;
}

}  // namespace minke
