#include "minke/hub/hub_pull.h"

#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <optional>

#include "minke/base/files.h"
#include "minke/hub/file_choice.h"
#include "minke/hub/hf_cache.h"
#include "minke/hub/hub_repository.h"
#include "minke/hub/source_lookup.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

// Journals, manifests, and a disk that others write to as well.
constexpr uint64_t kDiskMarginBytes = 64 << 20;

// A name that can be a file in the store and a word on the command line.
std::string plain_name(std::string_view text) {
  std::string out(text.substr(0, 128));
  for (char& c : out) {
    const bool fine = is_model_name(std::string_view(&c, 1)) || c == '.';
    if (!fine) c = '-';
  }
  if (out.starts_with('.')) out[0] = '-';
  return out;
}

std::string stored_name(const RemoteFile& file) {
  return plain_name(std::string_view(file.path).substr(file.path.rfind('/') + 1));
}

// The bytes that a file takes on the disk; a half-fetched one has holes.
uint64_t bytes_on_disk(const fs::path& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 ? static_cast<uint64_t>(info.st_blocks) * 512 : 0;
}

// One pull; the steps are those of the header.
class HubPull {
 public:
  HubPull(const ModelStore& store, const ModelSource& source, const HubSettings& settings,
          const HubPullOptions& options)
      : store_(store),
        source_(source),
        options_(options),
        session_(source.hub, settings, options.patience),
        cache_(settings.hf_cache) {}

  Result<PullResult> run();

 private:
  // Where a file comes from.
  struct Step {
    RemoteFile file;
    std::string name;          // in the store
    fs::path local;            // the same bytes on this machine, or empty
    bool is_complete = false;  // an earlier pull finished it
    std::string sha256;        // found
  };

  bool is_offline() const { return !session_.settings().offline.empty(); }
  Result<void> list_and_choose();
  Result<void> look_in_store();
  bool is_same_content(const Manifest& manifest) const;
  Result<void> make_plan(const fs::path& folder);
  fs::path local_copy(const RemoteFile& file) const;
  Result<void> bring(Step& step, const ModelStore::Incoming& incoming);
  Result<bool> take_local(Step& step, const fs::path& target);
  Result<void> check_index(const fs::path& folder) const;
  Result<void> check_magic(const fs::path& folder) const;
  Manifest manifest() const;
  void say(const std::string& line) const {
    if (options_.patience.say) options_.patience.say(line);
  }

  const ModelStore& store_;
  const ModelSource& source_;
  const HubPullOptions& options_;
  HubSession session_;
  HfCache cache_;
  RemoteListing listing_;
  ChosenFiles chosen_;
  std::string name_;
  std::optional<StoredModel> stored_;  // of this name and source, perhaps an older version
  std::vector<Step> steps_;
  uint64_t bytes_total_ = 0;
  uint64_t bytes_done_ = 0;  // of the steps before the one that runs
  uint64_t bytes_fetched_ = 0;
};

Result<void> HubPull::list_and_choose() {
  if (is_offline()) {
    Result<RemoteListing> cached = cache_.list(source_);
    if (!cached) {
      return fail(ErrorCode::kNotFound,
                  "offline ({}): {} is neither in {} nor in the Hugging Face cache {}; pull it "
                  "once with a connection",
                  session_.settings().offline, source_.text(), store_.folder().string(),
                  cache_.folder().string());
    }
    listing_ = std::move(*cached);
  } else {
    MK_ASSIGN(listing_, list_repository(session_, source_));
  }
  Result<ChosenFiles> chosen = choose_files(listing_.files, source_.which, source_.repo);
  if (!chosen) {
    return fail(chosen.error().code, "{}{}: {}", source_.text(),
                is_offline() ? " (offline: what the Hugging Face cache holds of it)" : "",
                chosen.error().message);
  }
  chosen_ = std::move(*chosen);
  name_ = options_.name.empty() ? plain_name(chosen_.name) : options_.name;
  if (is_model_name(name_)) return {};
  return fail(ErrorCode::kUsage, "'{}' cannot be a model's name: letters, digits and ._- only",
              name_);
}

// A model that has the name already must come from the same place.
Result<void> HubPull::look_in_store() {
  Result<StoredModel> stored = store_.find(name_);
  if (!stored) return {};
  if (stored->manifest.source != source_.text()) {
    return fail(ErrorCode::kUsage,
                "there is a model {} from {} already; give this one another name with --name, or "
                "delete that one with: minke rm {}",
                name_, stored->manifest.source, name_);
  }
  stored_ = std::move(*stored);
  return {};
}

bool HubPull::is_same_content(const Manifest& manifest) const {
  const std::vector<ManifestFile> files = manifest.all_files();
  if (files.size() != chosen_.files.size()) return false;
  const bool same_commit = !listing_.commit.empty() && listing_.commit == manifest.revision;
  return std::all_of(chosen_.files.begin(), chosen_.files.end(), [&](const RemoteFile& file) {
    return std::any_of(files.begin(), files.end(), [&](const ManifestFile& have) {
      if (have.name != stored_name(file) || have.size_bytes != file.size_bytes) return false;
      return same_commit || (!file.sha256.empty() && have.sha256 == file.sha256);
    });
  });
}

// The same bytes on this machine: the version in the store, or Hugging Face's cache.
fs::path HubPull::local_copy(const RemoteFile& file) const {
  if (stored_ && !file.sha256.empty()) {
    for (const ManifestFile& have : stored_->manifest.all_files()) {
      if (have.sha256 == file.sha256) return stored_->folder / have.name;
    }
  }
  const auto cached = cache_.find(source_, file);
  return cached ? *cached : fs::path();
}

Result<void> HubPull::make_plan(const fs::path& folder) {
  PullPlan plan{name_, source_.text(), manifest().revision, chosen_.files.size(), 0, 0, 0};
  uint64_t needed = kDiskMarginBytes;
  for (const RemoteFile& file : chosen_.files) {
    Step step{file, stored_name(file), local_copy(file), false, ""};
    const bool is_twice = std::any_of(steps_.begin(), steps_.end(),
                                      [&](const Step& other) { return other.name == step.name; });
    if (is_twice) {
      return fail(ErrorCode::kNetwork, "{} lists two files that would be {}", source_.text(),
                  step.name);
    }
    std::error_code error;
    step.is_complete =
        fs::file_size(folder / "complete" / step.name, error) == file.size_bytes && !error;
    const uint64_t partial = bytes_on_disk(folder / (step.name + ".partial"));
    uint64_t there = step.is_complete ? file.size_bytes : std::min(partial, file.size_bytes);
    if (!step.local.empty() && !needs_copy(step.local, folder)) there = file.size_bytes;
    plan.bytes_there += there;
    plan.bytes_total += file.size_bytes;
    // Sizes come from outside; a sum that wraps would look small.
    if (plan.bytes_total < file.size_bytes || file.size_bytes > UINT64_MAX / 4) {
      return fail(ErrorCode::kWillNotFit, "{} has {} bytes, says the hub", file.path,
                  file.size_bytes);
    }
    needed += file.size_bytes - there;
    steps_.push_back(std::move(step));
  }
  bytes_total_ = plan.bytes_total;
  std::error_code error;
  const fs::space_info space = fs::space(folder, error);
  plan.bytes_free = error ? UINT64_MAX : space.available;
  if (options_.on_plan) options_.on_plan(plan);
  if (plan.bytes_free >= needed) return {};
  return fail(
      ErrorCode::kWillNotFit,
      "{} needs {:.2f} GB more in {}, {:.2f} GB are free; free some, or set MINKE_HOME to a "
      "larger disk",
      name_, static_cast<double>(needed) / 1e9, store_.folder().string(),
      static_cast<double>(plan.bytes_free) / 1e9);
}

// Shares a copy that is on this machine. False when its bytes are not what they should be.
Result<bool> HubPull::take_local(Step& step, const fs::path& target) {
  MK_ASSIGN(const FileHashes hashes, hash_file(step.local.string()));
  if (!check_hashes(step.file, hashes)) {
    say(fmt::format("{} is damaged; not using it", step.local.string()));
    return false;
  }
  MK_TRY(share_file(step.local, target));
  step.sha256 = hashes.sha256;
  return true;
}

Result<void> HubPull::bring(Step& step, const ModelStore::Incoming& incoming) {
  const fs::path target = incoming.complete() / step.name;
  if (step.is_complete) {
    MK_ASSIGN(const FileHashes hashes, hash_file(target.string()));
    if (check_hashes(step.file, hashes)) {
      step.sha256 = hashes.sha256;
      return {};
    }
  }
  std::error_code ignored;
  fs::remove(target, ignored);
  if (!step.local.empty()) {
    MK_ASSIGN(const bool taken, take_local(step, target));
    if (taken) return {};
  }
  if (is_offline()) {
    return fail(ErrorCode::kNotFound, "offline ({}): {} of {} is missing in {}",
                session_.settings().offline, step.file.path, source_.text(),
                cache_.folder().string());
  }
  DownloadOptions download;
  download.connections = options_.connections;
  if (options_.on_progress) {
    download.on_progress = [&](uint64_t bytes) {
      options_.on_progress(bytes_done_ + bytes, bytes_total_);
    };
  }
  MK_ASSIGN(const DownloadedFile got,
            download_file(session_, step.file, file_url(session_, source_, listing_, step.file),
                          incoming.folder() / (step.name + ".partial"), target, download));
  step.sha256 = got.sha256;
  bytes_fetched_ += got.bytes_fetched;
  return {};
}

// The shards that a folder model's index names must all be there: a repository may be
// half-uploaded.
Result<void> HubPull::check_index(const fs::path& folder) const {
  const fs::path path = folder / "model.safetensors.index.json";
  std::error_code error;
  if (chosen_.main != "." || !fs::exists(path, error)) return {};
  MK_ASSIGN(const std::string text, read_file(path, size_t{64} << 20));
  const Result<Json> json = parse_json(text);
  const Json* map = json ? json->find("weight_map") : nullptr;
  if (map == nullptr || !map->is_object()) {
    return fail(ErrorCode::kCorrupt, "{} of {} has no weight_map", path.filename().string(),
                source_.text());
  }
  for (const auto& [tensor, shard] : map->as_object()) {
    const bool is_there =
        shard.is_string() && std::any_of(steps_.begin(), steps_.end(), [&](const Step& step) {
          return step.name == shard.as_string();
        });
    if (!is_there) {
      return fail(ErrorCode::kCorrupt, "{} lacks {}, which holds {}", source_.text(), shard.dump(),
                  tensor);
    }
  }
  return {};
}

// Without a hash from a hub, the first bytes at least tell a model from a page that says "log in".
Result<void> HubPull::check_magic(const fs::path& folder) const {
  if (source_.hub != Hub::kUrl) return {};
  constexpr std::string_view kMagic = "GGUF";
  std::string head(kMagic.size(), ' ');
  const fs::path path = folder / steps_[0].name;
  std::ifstream(path, std::ios::binary)
      .read(head.data(), static_cast<std::streamsize>(head.size()));
  if (head == kMagic) return {};
  std::error_code ignored;
  fs::remove(path, ignored);
  return fail(ErrorCode::kCorrupt, "{} is no GGUF file", source_.url);
}

Manifest HubPull::manifest() const {
  Manifest out;
  out.name = name_;
  out.source = source_.text();
  out.license = listing_.license;
  out.revision = !listing_.commit.empty()   ? listing_.commit
                 : source_.hub == Hub::kUrl ? ""
                                            : source_.revision_or_main();
  for (const Step& step : steps_) {
    out.files.push_back({step.name, step.sha256, step.file.size_bytes});
    out.size_bytes += step.file.size_bytes;
    if (step.file.path == chosen_.main) {
      out.file = step.name;
      out.sha256 = step.sha256;
    }
  }
  if (chosen_.main == ".") out.file = chosen_.main;
  if (out.files.size() == 1 && out.file != ".") out.files.clear();
  return out;
}

Result<PullResult> HubPull::run() {
  // The store's answer is enough where nobody else can be asked.
  if (is_offline()) {
    if (auto stored = find_by_source(store_, source_)) {
      if (options_.verify) MK_TRY(verify_model(*stored));
      return PullResult{std::move(*stored), true, 0};
    }
  }
  MK_TRY(list_and_choose());
  MK_TRY(look_in_store());
  if (stored_ && is_same_content(stored_->manifest)) {
    if (options_.verify) MK_TRY(verify_model(*stored_));
    return PullResult{std::move(*stored_), true, 0};
  }
  MK_ASSIGN(const std::unique_ptr<ModelStore::Incoming> incoming,
            store_.begin(name_, ModelStore::Leftovers::kKeep));
  std::error_code error;
  // Whoever had the lock before may have brought it.
  MK_TRY(look_in_store());
  if (stored_ && is_same_content(stored_->manifest)) {
    fs::remove_all(incoming->folder(), error);
    return PullResult{std::move(*stored_), true, 0};
  }
  fs::create_directory(incoming->complete(), error);
  MK_TRY(make_plan(incoming->folder()));
  for (Step& step : steps_) {
    MK_TRY(session_.check_stop());
    MK_TRY(bring(step, *incoming));
    bytes_done_ += step.file.size_bytes;
    if (options_.on_progress) options_.on_progress(bytes_done_, bytes_total_);
  }
  MK_TRY(check_index(incoming->complete()));
  MK_TRY(check_magic(incoming->complete()));
  MK_ASSIGN(StoredModel stored, incoming->commit(manifest()));
  return PullResult{std::move(stored), false, bytes_fetched_};
}

}  // namespace

Result<PullResult> pull_from_hub(const ModelStore& store, const ModelSource& source,
                                 const HubSettings& settings, const HubPullOptions& options) {
  return HubPull(store, source, settings, options).run();
}

}  // namespace minke
