#pragma once
#include <filesystem>
#include <memory>

#include "minke/models/model_file.h"
#include "minke/nn/packed_file.h"

namespace minke {

/// How a model whose weights stay on disk is loaded.
struct PackedModelOptions {
  std::filesystem::path folder;  ///< of packed files
  /// Bytes of matrices that every token reads to keep in memory (PackedFile::copy_to_memory()).
  uint64_t memory_bytes = 0;
};

/// What a model's matrices take once they are packed.
Result<PanelCounter> count_panels(const Device& device, const ModelFile& file,
                                  const LoadOptions& options);

/// Where the packed file of a model belongs: FOLDER/NAME-HASH.panels. One for each place of the
/// model's files, precision, form of MLA's cache and level of kernels.
std::filesystem::path packed_path(const Device& device, const ModelFile& file,
                                  const LoadOptions& options, const std::filesystem::path& folder);

/// The model with its matrices in a mapped file, which is made first unless there is one from the
/// same bytes: the bits are those of load_model(). `progress` gets the bytes that are packed, and
/// may stop it. A packed file that is damaged or of other bytes is made anew; an MTP module is
/// always packed, so that LoadOptions::mtp_modules may change. Errors: those of load_model() and of
/// PackedFileWriter; kFailed when the source changed while it was read.
Result<std::unique_ptr<Model>> load_packed_model(const Device& device, const ModelFile& file,
                                                 const LoadOptions& options,
                                                 const PackedModelOptions& packed,
                                                 PackedFileWriter::Progress progress);

/// What the packed panels of a model depend on, as a hash: size and times of its files, names,
/// formats, shapes and samples of its tensors, precision, form of MLA's cache, level of kernels,
/// and what this build's packing and encoding make of a pattern. Equal means: the same panels.
std::string packed_identity(const Device& device, const ModelFile& file,
                            const LoadOptions& options);

}  // namespace minke
