#pragma once
#include <string>

#include "minke/hub/hub_listing.h"
#include "minke/hub/hub_session.h"
#include "minke/hub/model_source.h"

namespace minke {

/// What the repository holds at the source's revision, asked of the hub; for Hub::kUrl the one file
/// at its URL. kAuth, kNotFound, kNetwork, kInterrupted.
Result<RemoteListing> list_repository(HubSession& session, const ModelSource& source);

/// Where a listed file is fetched. With Hugging Face the URL names the commit, so that the files of
/// one pull belong together even if somebody pushes meanwhile.
std::string file_url(const HubSession& session, const ModelSource& source,
                     const RemoteListing& listing, const RemoteFile& file);

}  // namespace minke
