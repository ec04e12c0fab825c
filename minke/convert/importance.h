#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "minke/base/result.h"

namespace minke {

/// What a calibration saw of one tensor's inputs.
struct InputSquares {
  int64_t cols = 0;
  std::vector<double> sums;    ///< [matrices, cols] of the squares of each input
  std::vector<double> counts;  ///< [matrices] rows that each matrix was multiplied with
};

/// How much each input of the tensors matters: the mean of its square over a text. Rounding a
/// weight w to w + e changes a product by e x, so that the squared error of the products is that of
/// the weights weighed with the mean of x^2.
///
/// Files are those of llama.cpp's llama-imatrix: GGUF with NAME.in_sum2 [matrices, cols] and
/// NAME.counts [matrices, 1], matrices being the experts of a stack; or its older form:
///
///     i32 entries | entry: i32 length, name, i32 calls, i32 values, f32 values (means * calls)
class Importance {
 public:
  /// kNotFound, kFailed, or kCorrupt naming the entry.
  static Result<Importance> open(const std::filesystem::path& path);
  /// Writes the GGUF form; `text_name` is what it was made from.
  Result<void> write(const std::filesystem::path& path, std::string_view text_name) const;

  /// How many pieces of text it is from, and their tokens: what files tell of it.
  void set_chunks(int64_t count, int64_t tokens) {
    num_chunks_ = count;
    chunk_tokens_ = tokens;
  }
  int64_t num_chunks() const { return num_chunks_; }
  int64_t chunk_tokens() const { return chunk_tokens_; }
  /// Sets a tensor's entry; sums and counts must fit each other (MK_CHECK).
  void add(std::string name, InputSquares squares);
  /// Weights of the tensor's elements by column, [matrices, cols], 1 on average of each matrix and
  /// nowhere 0; empty when nothing is known of it. kUsage when the entry is of another size.
  Result<std::vector<float>> weights(std::string_view name, int64_t matrices, int64_t cols) const;

  size_t size() const { return entries_.size(); }
  /// The entry of a tensor, or nullptr.
  const InputSquares* find(std::string_view name) const {
    const auto at = entries_.find(name);
    return at == entries_.end() ? nullptr : &at->second;
  }

 private:
  std::map<std::string, InputSquares, std::less<>> entries_;
  int64_t num_chunks_ = 1;
  int64_t chunk_tokens_ = 1;
};

}  // namespace minke
