#include "minke/tensor/tensor.h"

#include "minke/base/files.h"

namespace minke {

Storage::Storage(Arena& arena, size_t bytes)
    : arena_(&arena), data_(static_cast<std::byte*>(arena.allocate(bytes))), bytes_(bytes) {}

Storage::Storage(size_t bytes)
    : data_(static_cast<std::byte*>(allocate_pages(bytes))), bytes_(bytes) {}

Storage::Storage(MappedFile file)
    : file_(std::make_unique<const MappedFile>(std::move(file))),
      data_(const_cast<std::byte*>(file_->bytes().data())),
      bytes_(file_->bytes().size()) {}

Storage::~Storage() {
  if (file_ != nullptr) return;
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

Tensor Tensor::mapped(MappedFile file) {
  Tensor made;
  made.storage_ = std::make_shared<Storage>(std::move(file));
  made.data_ = made.storage_->data();
  made.dtype_ = DType::kI8;
  made.shape_ = {static_cast<int64_t>(made.storage_->bytes())};
  made.row_stride_ = made.shape_.back();
  return made;
}

Tensor Tensor::part(int64_t begin, DType dtype, const Shape& shape) const {
  const int64_t bytes = dtype_bytes(dtype, shape.num_elements());
  MK_CHECK(dtype_ == DType::kI8 && contiguous() && begin >= 0 && begin <= num_elements() &&
               bytes <= num_elements() - begin,
           "part: {} bytes from {} of {}", bytes, begin, shape_.text());
  Tensor cut = *this;
  cut.data_ += begin;
  cut.dtype_ = dtype;
  cut.shape_ = shape;
  cut.row_stride_ = shape.back();
  cut.var_ = 0;
  return cut;
}

void Tensor::will_read() const {
  if (!read_only()) return;
  MK_DCHECK(contiguous(), "will_read: tensor {} is strided", shape_.text());
  storage_->file()->will_need(static_cast<size_t>(data_ - storage_->data()),
                              static_cast<size_t>(dtype_bytes(dtype_, num_elements())));
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
