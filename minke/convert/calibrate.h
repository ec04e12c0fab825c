#pragma once
#include <cstdint>
#include <functional>
#include <span>

#include "minke/base/result.h"
#include "minke/convert/importance.h"
#include "minke/models/model.h"
#include "minke/text/tokenizer.h"

namespace minke {

/// How a model is run over a text to see what its matrices are multiplied with.
struct CalibrateOptions {
  int64_t chunk_tokens = 512;  ///< of a sequence; tokens after the last whole one are not used
  int64_t chunks_max = 0;      ///< 0: all of the text
  /// Told the chunks done; false stops with kInterrupted. May be empty.
  std::function<bool(int64_t done, int64_t total)> progress;
};

/// The ids that calibrate() takes: the text's; where the model expects it, BOS first.
std::vector<int32_t> calibration_ids(const Tokenizer& tokenizer, std::string_view text);

/// The importance of the inputs of each matrix of the layers, under GGUF's names, as llama-imatrix
/// finds it: the text is cut into chunks of their own, whose first token is replaced by `bos` if
/// that is >= 0 (a text shorter than a chunk is one), and the squares of the inputs are summed. The
/// experts of a layer share an entry, each with its own count; what the text never chose has 0. Of
/// MLA's expansion kv_b every head's values get those of the latent; its keys are multiplied the
/// other way round there and have none. Embedding and head have none either.
///
/// `model` must have been loaded for chunk_tokens positions. Its parameters' `inputs` are set while
/// it runs. The result does not depend on the number of threads. kUsage for fewer than 2 tokens or
/// ids outside the vocabulary; kInterrupted.
Result<Importance> calibrate(const Device& device, Model& model, std::span<const int32_t> ids,
                             int32_t bos, const CalibrateOptions& options);

}  // namespace minke
