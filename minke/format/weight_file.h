#pragma once
#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "minke/dtype/dtype.h"
#include "minke/tensor/shape.h"

namespace minke {

/// What an FP8 matrix's numbers are multiplied by: one f32 or f8_e8m0 for each block of the matrix,
/// row-major; blocks at the right and lower edge may be cut off.
struct BlockScales {
  std::span<const std::byte> bytes;  ///< empty: no scales
  DType dtype = DType::kF32;
  int64_t block_rows = 0;
  int64_t block_cols = 0;
};

/// One tensor in a file: row-major, outermost dimension first (a matrix is [out, in]); `bytes` has
/// been checked to be exactly what dtype and shape need and lies in the file's map.
struct WeightInfo {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  std::span<const std::byte> bytes;
  BlockScales scales = {};
};

/// Decodes rows first .. first + count - 1 of a matrix, whose rows must be whole blocks of its
/// format, with its scales: out[count, cols].
void decode_rows(const WeightInfo& matrix, int64_t first, int64_t count, float* out);

/// Named tensors in a file, whatever its format. Owns the map that the bytes lie in.
class WeightFile {
 public:
  virtual ~WeightFile() = default;
  virtual const std::vector<WeightInfo>& weights() const = 0;
  /// The tensor of that name, or nullptr.
  virtual const WeightInfo* find(std::string_view name) const = 0;
  /// The same for a reader that is going to ask for this shape, in which tensors that are in no
  /// file are made on demand. The reader checks the shape that it gets.
  virtual const WeightInfo* find_shaped(std::string_view name, const Shape&) const {
    return find(name);
  }
  /// Tells the system that these bytes of the file will not be read again (they have been packed).
  virtual void drop(std::span<const std::byte> bytes) const = 0;
};

/// Tensors sorted by name. Subclasses fill weights_, then call sort_weights().
class SortedWeights : public WeightFile {
 public:
  const std::vector<WeightInfo>& weights() const override { return weights_; }
  const WeightInfo* find(std::string_view name) const override {
    const auto at =
        std::lower_bound(weights_.begin(), weights_.end(), name,
                         [](const WeightInfo& info, std::string_view n) { return info.name < n; });
    return at == weights_.end() || at->name != name ? nullptr : &*at;
  }

 protected:
  void sort_weights() {
    std::sort(weights_.begin(), weights_.end(),
              [](const WeightInfo& a, const WeightInfo& b) { return a.name < b.name; });
  }
  std::vector<WeightInfo> weights_;
};

}  // namespace minke
