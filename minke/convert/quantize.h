#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "minke/base/result.h"
#include "minke/convert/importance.h"
#include "minke/convert/planned_tensor.h"
#include "minke/convert/quantize_types.h"

namespace minke {

/// How a model is quantised.
struct QuantizeOptions {
  const MixtureInfo* mixture = nullptr;  ///< a row of mixtures()
  std::vector<DTypeRule> rules;
  const Importance* importance = nullptr;
  std::string importance_name;  ///< of its file, for the metadata
  bool overwrite = false;
  bool with_tokenizer = true;  ///< of a folder
  WriteTensorsOptions writing;
};

/// The tensors of one format in what was written.
struct QuantizedFormat {
  DType dtype = DType::kF32;
  int64_t num_tensors = 0;
  int64_t num_elements = 0;
  uint64_t bytes = 0;
  double squared_error = 0;    ///< summed over the elements; what was copied has none
  double squared_weights = 0;  ///< sum of the squares before
};

/// What was quantised.
struct QuantizeReport {
  uint64_t source_bytes = 0;  ///< of the tensors
  uint64_t bytes = 0;
  int64_t num_elements = 0;
  std::vector<QuantizedFormat> formats;  ///< those that occur, most elements first
  std::vector<std::string> notes;        ///< what the user should know, a sentence each

  double bits_per_weight() const {
    return num_elements == 0 ? 0
                             : 8.0 * static_cast<double>(bytes) / static_cast<double>(num_elements);
  }
};

/// Quantises a model, streaming: a .gguf file (of a split model any part) or a Hugging Face folder
/// to a .gguf file, which is there whole or not at all. Formats are those of choose_dtypes(), then
/// of the rules; metadata stays but for general.file_type, general.quantization_version and
/// quantize.imatrix.*. The bytes do not depend on the number of threads or the instruction set.
/// Errors: those of reading and writing; kUsage for rules and importance that do not fit the model,
/// formats that cannot be read, or a destination that exists; kInterrupted.
Result<QuantizeReport> quantize_model(const std::filesystem::path& source,
                                      const std::filesystem::path& destination,
                                      const QuantizeOptions& options);

}  // namespace minke
