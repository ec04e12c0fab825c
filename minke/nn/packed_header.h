#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

#include "minke/base/json.h"
#include "minke/nn/panel_store.h"

namespace minke {

/// The first bytes of a packed file (packed_file.h), which its reader and its writer share.
struct PackedHeader {
  char magic[8];
  uint64_t file_bytes;
  uint64_t index_offset;
  uint64_t index_bytes;
  char index_hash[32];
};

/// Its digit rises when a key gets another meaning; other layouts have other identities
/// (packed_identity()).
inline constexpr char kPackedMagic[8] = {'M', 'K', 'P', 'A', 'N', 'E', 'L', '1'};
inline constexpr size_t kPackedPanelsAt = 4096;
inline constexpr int64_t kPackedAlignment = 64;  // kernels read whole cache lines
/// V3 has some 50,000 matrices with keys of up to 100 bytes.
inline constexpr JsonLimits kPackedIndexLimits{.bytes_max = size_t{256} << 20};

/// A matrix's key in the index.
std::string packed_key(const PanelMatrix& matrix);

}  // namespace minke
