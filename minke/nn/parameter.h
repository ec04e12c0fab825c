#pragma once
#include <deque>
#include <span>
#include <string>
#include <vector>

#include "minke/autograd/context.h"
#include "minke/base/result.h"
#include "minke/format/weight_file.h"
#include "minke/nn/input_record.h"
#include "minke/nn/lora.h"
#include "minke/nn/panel_store.h"
#include "minke/nn/precision.h"
#include "minke/ops/ops.h"

namespace minke {

/// Weights of the model. A matrix lies in the packed layout (kernels/packed.h); a vector (norm) is
/// a plain [cols] tensor. Several matrices of a file may share one Parameter, their rows one after
/// the other (Q, K and V; gate and up), because they read the same input.
struct Parameter {
  std::vector<std::string> names;  ///< of the tensors in files, in row order
  std::vector<int64_t> name_rows;  ///< rows of each
  Tensor value;                    ///< packed panels, or [cols]
  DType dtype = DType::kF32;
  int64_t rows = 0;  ///< 0 for a vector
  int64_t cols = 0;
  /// Where set, each Linear adds what it multiplies this matrix with, while nothing is recorded for
  /// gradients. Whoever sets it owns it and takes it away.
  InputRecord* inputs = nullptr;
  std::vector<Lora> loras;  ///< what adapters add to the matrix, in their order
  bool frozen = false;      ///< not to be trained, whatever its format

  /// f32 (f64 in tests) can be trained; block-quantised and half formats are frozen, and so is what
  /// lies in a mapped file.
  bool trainable() const {
    return (dtype == DType::kF32 || dtype == DType::kF64) && !frozen && !value.read_only();
  }
  /// The value as an op's input: watched when the context records and it can be trained.
  Tensor tensor(const Context& context) const;
  ops::Weight weight(const Context& context) const;
  int64_t num_elements() const { return (rows > 0 ? rows : 1) * cols; }
  /// Rows [begin, end) of a matrix, sharing its memory, without names and loras; begin a multiple
  /// of 16.
  Parameter row_range(int64_t begin, int64_t end) const;
};

/// A Parameter [rows, cols] of `values`, row-major, encoded as `dtype`, of whose blocks cols is a
/// multiple. It has no name.
Parameter packed_parameter(const Device& device, DType dtype, int64_t rows, int64_t cols,
                           std::span<const float> values);

/// Owns all parameters of a model; trainer, checkpoint and engine look at the same one. `version`
/// rises with every change of the values, which voids what was computed from them (prefix caches).
class ParameterStore {
 public:
  /// Parameters keep their address for the life of the store.
  Parameter& add(Parameter parameter);
  const std::deque<Parameter>& parameters() const { return parameters_; }
  std::deque<Parameter>& parameters() { return parameters_; }
  int64_t num_elements() const;
  uint64_t version() const { return version_; }
  void changed() { ++version_; }

 private:
  std::deque<Parameter> parameters_;
  uint64_t version_ = 0;
};

/// Loads named tensors of a file into parameters, checking shapes and formats on the way.
class ParameterLoader {
 public:
  /// `precision` says what FP8 matrices become, for which there are no products: f32 or bf16 for
  /// those precisions, and q8_0 for int8 (bf16 where the width is no multiple of 32). They keep
  /// their values in f32, and in bf16 where the scales are powers of two. Matrices go to `panels`,
  /// without it to memory of their own; vectors always do. `adapters`: what is added to matrices;
  /// the names and shapes are the file's (MK_CHECK).
  ParameterLoader(const Device& device, const WeightFile& file, ParameterStore& store,
                  Precision precision, PanelStore* panels = nullptr,
                  const LoraDeltas* adapters = nullptr)
      : device_(device),
        file_(file),
        store_(store),
        precision_(precision),
        panels_(panels),
        adapters_(adapters) {}

  struct Matrix {
    std::string name;
    int64_t rows = 0;
  };

  const Device& device() const { return device_; }

  /// From now on matrices of every format become f32, so that they can be trained.
  void decode_matrices() { decodes_ = true; }

  /// A vector of `cols` elements, decoded to f32.
  Result<const Parameter*> vector(const std::string& name, int64_t cols);

  /// Whether the file has that tensor.
  bool has(const std::string& name) const { return file_.find(name) != nullptr; }
  /// The elements of a tensor of any shape, decoded, row-major.
  Result<std::vector<float>> decoded(const std::string& name, const Shape& shape);
  /// A matrix [rows, cols] that the store is not to have, or `count` of its rows from `first` on.
  Result<Parameter> matrix(const std::string& name, int64_t rows, int64_t cols);
  Result<Parameter> matrix_rows(const std::string& name, int64_t rows, int64_t cols, int64_t first,
                                int64_t count);
  /// A matrix made from others, under the name that it would have in a file. `values` gives its
  /// numbers, row-major, when they are needed: they may have been packed earlier.
  using Values = FunctionRef<Result<std::vector<float>>()>;
  Result<const Parameter*> made(const PanelMatrix& matrix, Values values);
  /// The same where the store is not to have it.
  Result<Parameter> made_part(const PanelMatrix& matrix, Values values);

  /// What adapters add to the matrix of that name.
  std::span<const LoraDelta> deltas(std::string_view name) const;

  /// Vectors one after the other in one Parameter: biases of matrices() of the same input.
  Result<const Parameter*> vectors(const std::vector<Matrix>& wanted);

  /// Matrices [rows, cols] of the same input, packed. Neighbours of one format share a Parameter,
  /// so the result has one Parameter when all formats agree. The file's pages are dropped as they
  /// are packed.
  Result<std::vector<const Parameter*>> matrices(const std::vector<Matrix>& wanted, int64_t cols);

 private:
  Result<const WeightInfo*> find(const std::string& name, const Shape& shape);
  Result<const WeightInfo*> find_matrix(const std::string& name, int64_t rows, int64_t cols);
  DType packed_dtype(const WeightInfo& info) const;
  void pack(const WeightInfo& info, DType dtype, int64_t begin_row, int64_t rows,
            std::byte* packed) const;
  void pack_joined(std::span<const Matrix> parts, const WeightInfo* const* infos,
                   const PanelMatrix& matrix, int64_t begin, int64_t end, std::byte* packed) const;
  Result<Parameter> place(const PanelMatrix& matrix, PanelStore::PackRows pack_rows);
  const Parameter* stored(Parameter parameter);

  const Device& device_;
  const WeightFile& file_;
  ParameterStore& store_;
  Precision precision_;
  PanelStore* panels_;
  PanelMemory memory_;
  const LoraDeltas* adapters_;
  bool decodes_ = false;
};

}  // namespace minke
