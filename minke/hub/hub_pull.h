#pragma once
#include <cstdint>
#include <functional>
#include <string>

#include "minke/hub/download.h"
#include "minke/hub/model_source.h"
#include "minke/hub/model_store.h"
#include "minke/hub/pull.h"

namespace minke {

/// What a pull is going to do; told before anything is fetched.
struct PullPlan {
  std::string name;      ///< that the model will have
  std::string source;    ///< "hf.co/owner/repo"
  std::string revision;  ///< a commit where the hub tells it
  size_t num_files = 0;
  uint64_t bytes_total = 0;
  uint64_t bytes_there = 0;  ///< from an earlier pull that was stopped, or another program's cache
  uint64_t bytes_free = 0;   ///< on the store's disk
};

/// How to pull from a hub.
struct HubPullOptions {
  std::string name;     ///< for the model in the store; empty: the file's name
  bool verify = false;  ///< hash a model that is there already
  int connections = 4;
  HubPatience patience;
  std::function<void(const PullPlan&)> on_plan;
  /// Told some ten times a second; bytes_done counts what was there before, too.
  std::function<void(uint64_t bytes_done, uint64_t bytes_total)> on_progress;
};

/// Brings a model from a hub into the store:
///
///   1. list the repository, choose the files (choose_files())
///   2. a model of that name and content in the store is the result; of another source: kUsage
///   3. take the model's lock; what an earlier pull left is gone on with
///   4. plan: sizes and free disk; kWillNotFit before anything is fetched
///   5. each file: from the old version in the store or from Hugging Face's cache when it has the
///      right hash, else download_file()
///   6. manifest, and the name in one rename
///
/// Offline (settings.offline) steps 1 and 5 use only the store and the cache, and kNotFound names
/// what is missing. Errors otherwise as in list_repository() and download_file().
Result<PullResult> pull_from_hub(const ModelStore& store, const ModelSource& source,
                                 const HubSettings& settings, const HubPullOptions& options);

}  // namespace minke
