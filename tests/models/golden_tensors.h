#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "minke/format/safetensors.h"

namespace minke {

/// The values of a golden tensor.
template <class T>
std::vector<T> golden_values(const SafetensorsFile& file, const std::string& name) {
  const WeightInfo* info = file.find(name);
  EXPECT_NE(info, nullptr) << name;
  if (info == nullptr) return {};
  std::vector<T> values(info->bytes.size() / sizeof(T));
  std::memcpy(values.data(), info->bytes.data(), info->bytes.size());
  return values;
}

/// The largest absolute difference of two equally long lists.
inline float worst_difference(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  float worst = 0.0f;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    worst = std::max(worst, std::abs(a[i] - b[i]));
  }
  return worst;
}

}  // namespace minke
