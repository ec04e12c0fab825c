#include "minke/hub/file_digest.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "minke/base/check.h"

namespace minke {
namespace {

constexpr size_t kReadBytes = 1 << 20;

std::string finished(EVP_MD_CTX* context) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int bytes = 0;
  MK_CHECK(EVP_DigestFinal_ex(context, digest, &bytes) == 1, "file_digest: cannot finish");
  std::string hex;
  for (unsigned int i = 0; i < bytes; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

}  // namespace

struct FileDigest::Impl {
  EVP_MD_CTX* sha256 = EVP_MD_CTX_new();
  EVP_MD_CTX* sha1 = EVP_MD_CTX_new();
  std::vector<char> buffer = std::vector<char>(kReadBytes);

  ~Impl() {
    EVP_MD_CTX_free(sha256);
    EVP_MD_CTX_free(sha1);
  }
  void update(const char* data, size_t bytes) {
    MK_CHECK(EVP_DigestUpdate(sha256, data, bytes) == 1 && EVP_DigestUpdate(sha1, data, bytes) == 1,
             "file_digest: cannot hash {} bytes", bytes);
  }
};

FileDigest::FileDigest(uint64_t size_bytes) : impl_(std::make_unique<Impl>()) {
  MK_CHECK(EVP_DigestInit_ex(impl_->sha256, EVP_sha256(), nullptr) == 1 &&
               EVP_DigestInit_ex(impl_->sha1, EVP_sha1(), nullptr) == 1,
           "file_digest: OpenSSL lacks SHA-256 or SHA-1");
  const std::string head = fmt::format("blob {}", size_bytes);
  EVP_DigestUpdate(impl_->sha1, head.c_str(), head.size() + 1);  // with the zero at its end
}

FileDigest::~FileDigest() = default;
FileDigest::FileDigest(FileDigest&&) noexcept = default;
FileDigest& FileDigest::operator=(FileDigest&&) noexcept = default;

Result<void> FileDigest::read_on(int fd, uint64_t end) {
  std::vector<char>& buffer = impl_->buffer;
  while (position_ < end) {
    const size_t wanted = std::min<uint64_t>(buffer.size(), end - position_);
    const ssize_t got = ::pread(fd, buffer.data(), wanted, static_cast<off_t>(position_));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      return fail(ErrorCode::kFailed, "cannot read byte {} of the file: {}", position_,
                  got == 0 ? "it ends there" : std::strerror(errno));
    }
    impl_->update(buffer.data(), static_cast<size_t>(got));
    position_ += static_cast<uint64_t>(got);
  }
  return {};
}

std::string FileDigest::sha256() { return finished(impl_->sha256); }
std::string FileDigest::git_sha1() { return finished(impl_->sha1); }

Result<FileHashes> hash_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat info {};
  if (fd < 0 || ::fstat(fd, &info) != 0) {
    const int code = errno;
    if (fd >= 0) ::close(fd);
    return fail(code == ENOENT ? ErrorCode::kNotFound : ErrorCode::kFailed, "cannot read {}: {}",
                path, std::strerror(code));
  }
  const auto size = static_cast<uint64_t>(info.st_size);
  FileDigest digest(size);
  const Result<void> read = digest.read_on(fd, size);
  ::close(fd);
  if (!read) return fail(read.error().code, "{}: {}", path, read.error().message);
  return FileHashes{digest.sha256(), digest.git_sha1()};
}

}  // namespace minke
