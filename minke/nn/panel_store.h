#pragma once
#include <cstdint>
#include <string>

#include "minke/base/result.h"
#include "minke/base/thread_pool.h"
#include "minke/kernels/packed.h"
#include "minke/tensor/tensor.h"

namespace minke {

/// A matrix on its way into panels. `name` says what it is made of: of two matrices of a model with
/// the same name, format and shape, all numbers are equal.
struct PanelMatrix {
  std::string name;
  DType dtype = DType::kF32;
  int64_t rows = 0;
  int64_t cols = 0;

  int64_t bytes() const { return kernels::packed_bytes(dtype, rows, cols); }
  /// What a tensor that holds its panels is: block formats are opaque bytes to tensors, the others
  /// keep their element type.
  DType tensor_dtype() const { return is_block_quantized(dtype) ? DType::kI8 : dtype; }
  Shape tensor_shape() const { return {bytes() / dtype_info(tensor_dtype()).block_bytes}; }
};

/// Where a ParameterLoader leaves the panels of matrices.
class PanelStore {
 public:
  /// Packs rows [first, first + count) of the matrix; first is a multiple of 16, and count, too,
  /// unless they are the last rows.
  using PackRows = FunctionRef<Result<void>(int64_t first, int64_t count, std::byte* packed)>;

  virtual ~PanelStore() = default;
  /// The panels of `matrix` as a tensor, packed now by `pack` or earlier. It may be undefined: then
  /// this pass over a model only counts or writes, and the model cannot be used.
  virtual Result<Tensor> place(const PanelMatrix& matrix, PackRows pack) = 0;
};

/// Memory of their own, which can be written.
class PanelMemory final : public PanelStore {
 public:
  Result<Tensor> place(const PanelMatrix& matrix, PackRows pack) override;
};

/// Counts what a model's panels take.
class PanelCounter final : public PanelStore {
 public:
  Result<Tensor> place(const PanelMatrix& matrix, PackRows pack) override;
  int64_t bytes() const { return bytes_; }
  /// Of these, the bytes of routed experts.
  int64_t expert_bytes() const { return expert_bytes_; }

 private:
  int64_t bytes_ = 0;
  int64_t expert_bytes_ = 0;
};

/// Whether a matrix is of a routed expert, of which a token reads few.
bool is_expert(const PanelMatrix& matrix);

}  // namespace minke
