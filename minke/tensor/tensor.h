#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "minke/base/check.h"
#include "minke/dtype/dtype.h"
#include "minke/tensor/arena.h"
#include "minke/tensor/shape.h"
#include "minke/tensor/view.h"

namespace minke {

class MappedFile;

/// Memory that tensors share: a block of an arena, pages of its own, or a mapped file, which cannot
/// be written. Freed with its last tensor.
class Storage {
 public:
  /// A block of `arena`, uninitialised.
  Storage(Arena& arena, size_t bytes);
  /// Zeroed pages of its own, for what lives long (weights, caches).
  explicit Storage(size_t bytes);
  explicit Storage(MappedFile file);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;
  std::byte* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  /// The file whose map this is, or nullptr.
  const MappedFile* file() const { return file_.get(); }

 private:
  std::unique_ptr<const MappedFile> file_;
  Arena* arena_ = nullptr;
  std::byte* data_ = nullptr;
  size_t bytes_ = 0;
};

/// Names a value on a tape; 0: not on any tape, so no gradient flows to it.
using VarId = uint32_t;

/// A handle to numbers in memory, up to four dimensions, the last one contiguous. Copying copies
/// the handle, not the numbers. Matrices cut out of a wider one have a row stride of their own.
class Tensor {
 public:
  Tensor() = default;
  /// Uninitialised, contiguous, in `arena`.
  static Tensor empty(Arena& arena, DType dtype, const Shape& shape);
  /// Zeroed, in pages of its own.
  static Tensor zeros(DType dtype, const Shape& shape);
  /// The bytes of a file as i8 [bytes], to be read only.
  static Tensor mapped(MappedFile file);

  bool defined() const { return storage_ != nullptr; }
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  int64_t size(int dim) const { return shape_[dim]; }
  int64_t num_elements() const { return shape_.num_elements(); }
  int64_t row_stride() const { return row_stride_; }
  bool contiguous() const { return row_stride_ == shape_.back() || shape_.num_rows() <= 1; }

  /// The elements, for a contiguous tensor of that C++ type (float, double, int32_t, int8_t, ...).
  template <class T>
  T* data() const {
    MK_DCHECK(contiguous(), "tensor {}: data() of a strided one", shape_.text());
    return reinterpret_cast<T*>(data_);
  }
  template <class T>
  std::span<T> span() const {
    return {data<T>(), static_cast<size_t>(num_elements())};
  }
  /// As a matrix: all dimensions but the last are rows.
  View view() const { return {data_, dtype_, shape_.num_rows(), shape_.back(), row_stride_}; }

  /// Columns [begin, end) of a matrix, sharing its memory: [rows, end - begin] with its row stride.
  Tensor columns(int64_t begin, int64_t end) const;
  /// Rows [begin, end) of a matrix, sharing its memory.
  Tensor rows(int64_t begin, int64_t end) const;
  /// The same contiguous elements in another shape.
  Tensor reshaped(const Shape& shape) const;

  /// The bytes from `begin` on of a contiguous i8 tensor as elements of another type, for which
  /// they must be aligned, sharing their memory.
  Tensor part(int64_t begin, DType dtype, const Shape& shape) const;

  /// Whether it lies in a mapped file: writing to it would end the program.
  bool read_only() const { return storage_ != nullptr && storage_->file() != nullptr; }
  /// Asks the system to have a contiguous mapped tensor's pages read soon; nothing for others.
  void will_read() const;

  /// The tape's name for this value; set by the tape.
  VarId var() const { return var_; }
  Tensor with_var(VarId var) const {
    Tensor named = *this;
    named.var_ = var;
    return named;
  }

 private:
  std::shared_ptr<Storage> storage_;
  std::byte* data_ = nullptr;
  DType dtype_ = DType::kF32;
  Shape shape_;
  int64_t row_stride_ = 0;
  VarId var_ = 0;
};

}  // namespace minke
