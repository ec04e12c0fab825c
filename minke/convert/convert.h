#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "minke/base/result.h"
#include "minke/convert/fp8_tensors.h"
#include "minke/convert/planned_tensor.h"
#include "minke/dtype/dtype.h"
#include "minke/format/weight_writer.h"

namespace minke {

/// How a model is converted.
struct ConvertOptions {
  /// f32, f16 or bf16 for the matrices; without it each keeps its format, but that Hugging Face's
  /// has no block formats: those become bf16.
  std::optional<DType> type;
  /// The matrices in FP8 as DeepSeek's checkpoints, the rest in bf16: folders only, without a type.
  Fp8ScaleFormat fp8 = Fp8ScaleFormat::kNone;
  bool with_tokenizer = true;
  bool overwrite = false;  ///< a file, or a folder that holds a model
  uint64_t shard_bytes_max = kShardBytesMax;
  WriteTensorsOptions writing;
};

/// What was converted.
struct ConvertReport {
  uint64_t num_tensors = 0;
  uint64_t tensor_bytes = 0;
  DType main_dtype = DType::kF32;  ///< of most elements
  std::vector<std::string> notes;  ///< what the user should know, a sentence each
};

/// Converts a model, streaming: a .gguf file (of a split model any part) or a Hugging Face folder
/// to a .gguf file (a destination of that ending) or a folder. Between the two kinds the
/// architecture must be one of models/registry.cpp; within one, only the tensors' formats change,
/// whatever the model. The destination is there whole or not at all. Errors: those of reading and
/// writing; kUsage for what the destination's format cannot say, or when it exists; kInterrupted.
Result<ConvertReport> convert_model(const std::filesystem::path& source,
                                    const std::filesystem::path& destination,
                                    const ConvertOptions& options);

}  // namespace minke
