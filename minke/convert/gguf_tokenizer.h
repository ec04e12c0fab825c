#pragma once
#include <cstdint>

#include "minke/format/gguf_metadata.h"
#include "minke/models/hf_folder.h"

namespace minke {

/// Adds the tokenizer of a folder (tokenizer.json and what lies beside it) as tokenizer.*,
/// byte-level BPE ("gpt2"), filled up to `vocab_size` tokens with unused ones as llama.cpp's
/// converter does. False when the folder has none. kUsage when GGUF cannot say what it does: the
/// written one is read back and compared.
Result<bool> add_gguf_tokenizer(const HfFolder& folder, int64_t vocab_size, GgufMetadata& metadata);

}  // namespace minke
