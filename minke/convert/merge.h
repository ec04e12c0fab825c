#pragma once
#include <cstdint>
#include <filesystem>
#include <span>

#include "minke/base/result.h"
#include "minke/convert/planned_tensor.h"
#include "minke/format/weight_writer.h"
#include "minke/models/adapter.h"

namespace minke {

/// How adapters are merged.
struct MergeOptions {
  bool overwrite = false;      ///< what is there
  bool with_tokenizer = true;  ///< of a folder
  uint64_t shard_bytes_max = kShardBytesMax;
  WriteTensorsOptions writing;
};

/// What was merged.
struct MergeReport {
  uint64_t num_tensors = 0;
  uint64_t num_changed = 0;  ///< of those, tensors that the adapters are of
  uint64_t tensor_bytes = 0;
};

/// Writes a model with the adapters in its matrices, W + scale B A of each in turn, computed in f32
/// and rounded once to the format that the tensor has, block formats included; all else is copied.
/// Streams, and the destination is there whole or not at all: a GGUF file from one, a folder as
/// Hugging Face's from one. Errors: those of reading and writing; kUsage for adapters of another
/// model, formats that cannot be written (FP8), or a destination that exists or is of the other
/// kind; kInterrupted.
Result<MergeReport> merge_into_model(std::span<const Adapter> adapters,
                                     const std::filesystem::path& source,
                                     const std::filesystem::path& destination,
                                     const MergeOptions& options);

/// Writes one adapter, a folder as PEFT's, that adds what all of them add: the rank of a module is
/// the sum of theirs, and their scales are in B. kUsage for modules of different shapes, or a
/// destination that exists.
Result<MergeReport> merge_adapters(std::span<const Adapter> adapters,
                                   const std::filesystem::path& destination,
                                   const MergeOptions& options);

}  // namespace minke
