#include "minke/base/sha256.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <memory>

#include "minke/base/files.h"

namespace minke {

Result<std::string> sha256_file(const std::filesystem::path& path) {
  MK_ASSIGN(const MappedFile file, MappedFile::open(path));
  const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context(EVP_MD_CTX_new(),
                                                                   EVP_MD_CTX_free);
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int digest_bytes = 0;
  if (context == nullptr || EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) != 1 ||
      EVP_DigestUpdate(context.get(), file.bytes().data(), file.bytes().size()) != 1 ||
      EVP_DigestFinal_ex(context.get(), digest, &digest_bytes) != 1) {
    return fail(ErrorCode::kFailed, "cannot compute the SHA-256 of {}", path.string());
  }
  std::string hex;
  for (unsigned int i = 0; i < digest_bytes; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

}  // namespace minke
