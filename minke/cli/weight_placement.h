#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "minke/cli/console.h"
#include "minke/models/packed_model.h"

namespace minke {

/// What place_weights() decides by.
struct WeightPlacement {
  std::string where = "auto";  ///< --weights: "auto", "memory" or "disk"
  std::string model;           ///< for messages
  int64_t kv_bytes = 0;        ///< of the KV cache of one full context
};

/// The model with its weights in memory of their own, where they fit or as --weights says; else in
/// a mapped file of packed panels in the cache folder, made first if need be, of which as much is
/// held in memory as there is room for. What is about to happen, and what it costs, is told before.
/// kWillNotFit, with the numbers: "memory" and too little of it; too little even for weights on
/// disk; a disk that is too full. kInterrupted for Ctrl-C while packing.
Result<std::unique_ptr<Model>> place_weights(const Device& device, const ModelFile& file,
                                             const LoadOptions& options,
                                             const WeightPlacement& placement,
                                             const Console& console);

/// Where packed files are: the folder "packed" in minke's cache.
std::filesystem::path packed_folder();

}  // namespace minke
