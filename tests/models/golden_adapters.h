#pragma once
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "minke/models/adapter.h"
#include "tests/golden/golden_path.h"
#include "tests/models/golden_tensors.h"

namespace minke {

/// The adapters of the case `name` of tests/golden/adapters, each in its weight.
inline std::vector<Adapter> golden_adapters(const std::string& name) {
  const auto folder = golden_path("adapters") / name;
  const auto expected = SafetensorsFile::open(folder / "expected.safetensors");
  EXPECT_TRUE(expected) << expected.error().message;
  std::vector<Adapter> adapters;
  for (const float weight : golden_values<float>(*expected, "weights")) {
    auto adapter = read_adapter(folder / std::to_string(adapters.size()));
    EXPECT_TRUE(adapter) << adapter.error().message;
    for (AdapterModule& module : adapter->modules) {
      module.delta.scale *= static_cast<double>(weight);
    }
    adapters.push_back(std::move(*adapter));
  }
  return adapters;
}

}  // namespace minke
