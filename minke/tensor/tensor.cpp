#include "minke/tensor/tensor.h"

namespace minke {

Storage::Storage(Arena& arena, size_t bytes)
    : arena_(&arena), data_(static_cast<std::byte*>(arena.allocate(bytes))), bytes_(bytes) {}

Storage::Storage(size_t bytes)
    : data_(static_cast<std::byte*>(allocate_pages(bytes))), bytes_(bytes) {}

Storage::~Storage() {
  if (arena_ != nullptr) {
    arena_->release(data_, bytes_);
  } else {
    free_pages(data_, bytes_);
  }
}

Tensor Tensor::empty(Arena& arena, DType dtype, const Shape& shape) {
  Tensor made;
  made.storage_ = std::make_shared<Storage>(
      arena, static_cast<size_t>(dtype_bytes(dtype, shape.num_elements())));
  made.data_ = made.storage_->data();
  made.dtype_ = dtype;
  made.shape_ = shape;
  made.row_stride_ = shape.back();
  return made;
}

Tensor Tensor::zeros(DType dtype, const Shape& shape) {
  Tensor made;
  made.storage_ =
      std::make_shared<Storage>(static_cast<size_t>(dtype_bytes(dtype, shape.num_elements())));
  made.data_ = made.storage_->data();
  made.dtype_ = dtype;
  made.shape_ = shape;
  made.row_stride_ = shape.back();
  return made;
}

Tensor Tensor::columns(int64_t begin, int64_t end) const {
  MK_CHECK(shape_.num_dims() == 2 && begin >= 0 && begin <= end && end <= shape_.back(),
           "columns: [{}, {}) of {}", begin, end, shape_.text());
  Tensor cut = *this;
  cut.data_ += dtype_bytes(dtype_, begin);
  cut.shape_ = {shape_[0], end - begin};
  cut.var_ = 0;
  return cut;
}

Tensor Tensor::rows(int64_t begin, int64_t end) const {
  MK_CHECK(shape_.num_dims() == 2 && begin >= 0 && begin <= end && end <= shape_[0],
           "rows: [{}, {}) of {}", begin, end, shape_.text());
  Tensor cut = *this;
  cut.data_ += dtype_bytes(dtype_, begin * row_stride_);
  cut.shape_ = {end - begin, shape_[1]};
  cut.var_ = 0;
  return cut;
}

Tensor Tensor::reshaped(const Shape& shape) const {
  MK_CHECK(contiguous() && shape.num_elements() == num_elements(), "reshape: {} to {}",
           shape_.text(), shape.text());
  Tensor same = *this;
  same.shape_ = shape;
  same.row_stride_ = shape.back();
  same.var_ = 0;
  return same;
}

}  // namespace minke
