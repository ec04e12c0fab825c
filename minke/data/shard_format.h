#pragma once
#include <cstddef>
#include <cstdint>

namespace minke {

/// What the documents of a shard are.
enum class ShardKind : uint32_t {
  kText,      ///< texts, read as one stream; every token has a target
  kExamples,  ///< each one example, with a loss mask
  kPairs,     ///< 2i is the chosen answer of pair i with its prompt, 2i + 1 the rejected one
};

/// A token shard, little endian, written from its front to its end:
///
///     bytes          what
///     0 .. 7         "MKTOKENS"
///     8 ..           token ids [num_tokens], u16, or u32 where vocab_size > 65536
///                    zeros up to a multiple of 8
///                    u64 [num_documents]: where each document ends, ascending, > 0
///                    unless kText: the loss mask, a bit a token, lowest first; zeros to a byte
///     the last 128   ShardFooter
struct ShardFooter {
  char magic[8];
  uint64_t file_bytes;  ///< of the whole shard: a shortened or joined file is seen at once
  uint64_t num_tokens;
  uint64_t num_documents;
  uint64_t num_targets;  ///< tokens that the mask has, all of kText
  uint64_t text_bytes;   ///< of UTF-8 that the targets stand for
  uint32_t token_bytes;  ///< 2 or 4
  ShardKind kind;
  uint32_t vocab_size;
  uint32_t zero;
  char tokenizer_hash[32];  ///< vocabulary_hash() in hex digits
  char content_hash[32];    ///< see ShardHash: all before this field
};
static_assert(sizeof(ShardFooter) == 128);

inline constexpr char kShardMagic[8] = {'M', 'K', 'T', 'O', 'K', 'E', 'N', 'S'};
/// Its digit rises with the format.
inline constexpr char kShardFooterMagic[8] = {'M', 'K', 'S', 'H', 'A', 'R', 'D', '1'};
inline constexpr size_t kShardHashBlockBytes = size_t{1} << 20;

}  // namespace minke
