#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "minke/data/example_encoder.h"
#include "minke/data/input_file.h"
#include "minke/data/ngram_filter.h"
#include "minke/data/record.h"

namespace minke {

/// A record, or a part of a text, as token ids.
struct EncodedRecord {
  int64_t line = 0;
  ShardKind kind = ShardKind::kText;
  std::vector<TokenDocument> documents;
  std::string content_hash;  ///< of its words, white space aside
  bool contaminated = false;
  std::optional<Error> error;  ///< in place of documents
};

/// What turns blocks into records; several threads may use one at a time.
struct BlockEncoder {
  const ExampleEncoder* encoder = nullptr;
  const NgramFilter* tests = nullptr;
  std::optional<RecordFormat> format;  ///< none: by the keys of each line
  RecordKeys keys;
  bool whole_documents = true;  ///< else each block of a text is a document of its own

  /// The records of a block in order. Errors have the code kCorrupt for bad input, and no name of
  /// the file yet.
  std::vector<EncodedRecord> encode(const InputBlock& block, bool is_jsonl) const;

 private:
  EncodedRecord encode_line(std::string_view line, int64_t number) const;
  EncodedRecord encode_text(const InputBlock& block) const;
};

/// Which shards a format's records go to.
ShardKind kind_of(RecordFormat format);

}  // namespace minke
