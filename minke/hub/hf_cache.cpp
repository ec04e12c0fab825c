#include "minke/hub/hf_cache.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "minke/base/files.h"
#include "minke/hub/range_journal.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

struct Descriptor {
  int fd = -1;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

Result<void> copy_bytes(int from, int to, const fs::path& target) {
  std::string buffer(1 << 20, '\0');
  while (true) {
    const ssize_t got = ::read(from, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return tl::unexpected<Error>(write_error(errno, target));
    if (got == 0) break;
    for (ssize_t done = 0; done < got;) {
      const ssize_t written = ::write(to, buffer.data() + done, static_cast<size_t>(got - done));
      if (written < 0 && errno != EINTR) return tl::unexpected<Error>(write_error(errno, target));
      if (written > 0) done += written;
    }
  }
  if (::fsync(to) == 0) return {};
  return tl::unexpected<Error>(write_error(errno, target));
}

bool is_file_of_size(const fs::path& path, uint64_t size_bytes) {
  std::error_code error;
  return fs::is_regular_file(path, error) && fs::file_size(path, error) == size_bytes && !error;
}

}  // namespace

fs::path HfCache::repository(const ModelSource& source) const {
  return folder_ / fmt::format("models--{}--{}", source.owner, source.repo);
}

std::optional<fs::path> HfCache::find(const ModelSource& source, const RemoteFile& file) const {
  const std::string& hash = !file.sha256.empty() ? file.sha256 : file.git_sha1;
  if (source.hub != Hub::kHuggingFace || hash.empty()) return std::nullopt;
  const fs::path blob = repository(source) / "blobs" / hash;
  if (!is_file_of_size(blob, file.size_bytes)) return std::nullopt;
  return blob;
}

Result<RemoteListing> HfCache::list(const ModelSource& source) const {
  const fs::path repo = repository(source);
  const std::string revision = source.revision_or_main();
  RemoteListing listing;
  listing.license = "unknown";
  const Result<std::string> ref = read_file(repo / "refs" / revision, 4096);
  listing.commit = ref ? ref->substr(0, ref->find_first_of(" \r\n")) : revision;
  const fs::path snapshot = repo / "snapshots" / listing.commit;
  std::error_code error;
  if (!is_hex(listing.commit, 40) || !fs::is_directory(snapshot, error)) {
    return fail(ErrorCode::kNotFound, "{}@{} is not in the Hugging Face cache {}", source.text(),
                revision, folder_.string());
  }
  for (fs::recursive_directory_iterator at(snapshot, error), end; !error && at != end;
       at.increment(error)) {
    std::error_code ignored;
    if (!at->is_regular_file(ignored)) continue;  // follows the link
    RemoteFile file;
    file.path = at->path().lexically_relative(snapshot).string();
    file.size_bytes = at->file_size(ignored);
    const std::string blob = fs::read_symlink(at->path(), ignored).filename().string();
    if (is_hex(blob, 64)) file.sha256 = blob;
    if (is_hex(blob, 40)) file.git_sha1 = blob;
    listing.files.push_back(std::move(file));
  }
  return listing;
}

bool needs_copy(const fs::path& from, const fs::path& folder) {
  struct stat a {};
  struct stat b {};
  return ::stat(from.c_str(), &a) != 0 || ::stat(folder.c_str(), &b) != 0 || a.st_dev != b.st_dev;
}

Result<void> share_file(const fs::path& from, const fs::path& target) {
  std::error_code error;
  const fs::path real = fs::canonical(from, error);
  if (error) return fail(ErrorCode::kFailed, "cannot read {}: {}", from.string(), error.message());
  const fs::path partial = target.string() + ".copy";
  ::unlink(partial.c_str());
  const Descriptor in{::open(real.c_str(), O_RDONLY | O_CLOEXEC)};
  const Descriptor out{::open(partial.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644)};
  if (in.fd < 0 || out.fd < 0) return tl::unexpected<Error>(write_error(errno, partial));
  Result<void> done;
  if (::ioctl(out.fd, FICLONE, in.fd) != 0) {
    if (::link(real.c_str(), target.c_str()) == 0) {
      ::unlink(partial.c_str());
      return {};
    }
    done = copy_bytes(in.fd, out.fd, target);
  }
  if (done && ::rename(partial.c_str(), target.c_str()) != 0) {
    done = tl::unexpected<Error>(write_error(errno, target));
  }
  if (!done) ::unlink(partial.c_str());
  return done;
}

}  // namespace minke
