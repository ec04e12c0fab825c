#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "minke/hub/hub_listing.h"

namespace minke {

/// The files of a repository that make one model.
struct ChosenFiles {
  std::vector<RemoteFile> files;  ///< in the order in which they are fetched
  std::string main;  ///< the path to open: a GGUF file (the first part), or "." for a folder
  std::string name;  ///< what the model may be called: the file's name without its ending
};

/// Picks the files to pull.
///
/// - With a `which` that is a file (its path or name): that file, and all parts when it is split.
/// - Otherwise among the GGUF files, parts taken together, without mmproj and imatrix: the one
/// whose
///   quantisation is `which` in any case; without a `which` the only one there is, or the first of
///   Q4_K_M Q4_0 Q4_K_S Q4_1 IQ4_XS IQ4_NL Q5_K_M Q5_K_S Q5_0 Q6_K Q8_0 Q3_K_M Q2_K BF16 F16 F32.
/// - Without GGUF files and without a `which`: a folder model, that is config.json, generation
///   settings, tokenizer, chat template and *.safetensors of the root. Pickle files (.bin, .pt) run
///   code when they are read and are never taken.
///
/// kNotFound when there is no such file, kUsage when several fit or none can be chosen; both list
/// what there is, with sizes. `folder_name` is the name of a folder model.
Result<ChosenFiles> choose_files(std::span<const RemoteFile> files, const std::string& which,
                                 const std::string& folder_name);

/// The quantisation in a GGUF file's name ("x-Q4_K_M-00001-of-00002.gguf" gives "Q4_K_M"), in upper
/// case, or an empty text.
std::string quantization_of(std::string_view file_name);

}  // namespace minke
