#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "minke/base/json.h"
#include "minke/format/gguf.h"

namespace minke {

/// A GGUF file's tokenizer as the files of Hugging Face's.
struct HfTokenizer {
  Json tokenizer_json;  ///< null where it is of a kind that is not converted, see note
  std::string chat_template;
  std::optional<int32_t> bos;
  std::vector<int32_t> ends;  ///< of a reply; eos first
  std::string bos_text;
  std::string eos_text;
  bool add_bos = false;
  std::string note;
};

/// Byte-level BPE ("gpt2") as tokenizer.json; of other kinds the rest. Errors are those of
/// Tokenizer::from_gguf(); kUsage when tokenizer.json cannot say what the tokenizer does: it is
/// read back and compared.
Result<HfTokenizer> hf_tokenizer(const GgufFile& file);

/// Writes tokenizer.json, tokenizer_config.json, generation_config.json and chat_template.jinja, as
/// far as there are, and puts the ids into config.json's `config`.
Result<void> write_hf_tokenizer(const HfTokenizer& tokenizer, const std::filesystem::path& folder,
                                Json& config);

}  // namespace minke
