#include "minke/nn/linear.h"

#include <algorithm>
#include <deque>
#include <numeric>

#include "minke/kernels/matmul.h"

namespace minke {
namespace {

// x as whole numbers, in buffers of the context's arena.
struct Int8Rows {
  Tensor q, q_low, has_low, scale, scale_sum, q_sum, q_low_sum;
  kernels::Int8View view;
};

Int8Rows quantized(const Context& context, const Tensor& x, const InputNorm& norm) {
  const int64_t rows = x.size(0), cols = x.size(1), num_blocks = cols / kernels::kBlockCols;
  Int8Rows made;
  made.q = context.empty(DType::kI8, {rows, cols});
  made.q_low = context.empty(DType::kI8, {rows, cols});
  made.has_low = context.empty(DType::kI8, {rows, num_blocks});
  made.scale = context.empty(DType::kF32, {rows, num_blocks});
  made.scale_sum = context.empty(DType::kF32, {rows, num_blocks});
  made.q_sum = context.empty(DType::kI32, {rows, 2 * num_blocks});
  made.q_low_sum = context.empty(DType::kI32, {rows, 2 * num_blocks});
  made.view = {made.q.data<int8_t>(),
               made.q_low.data<int8_t>(),
               reinterpret_cast<uint8_t*>(made.has_low.data<int8_t>()),
               made.scale.data<float>(),
               made.scale_sum.data<float>(),
               made.q_sum.data<int32_t>(),
               made.q_low_sum.data<int32_t>(),
               rows,
               cols};
  if (norm.weight == nullptr) {
    kernels::quantize_int8(context.device, x.view(), made.view);
  } else {
    kernels::rms_norm_quantize_int8(context.device, x.view(),
                                    norm.weight->tensor({context.device}).view(), norm.eps,
                                    made.view);
  }
  return made;
}

// The weight of a product that comes next. What lies on disk is asked for as a whole, because page
// faults read it in small pieces and wait for each.
ops::Weight weight_to_read(const Parameter& parameter, const Context& context) {
  parameter.value.will_read();
  return parameter.weight(context);
}

// Rows [begin, end) of x, for a tape too.
Tensor rows_of(const Context& context, const Tensor& x, int64_t begin, int64_t end) {
  if (!context.records(x)) return x.rows(begin, end);
  std::vector<int32_t> rows(static_cast<size_t>(end - begin));
  std::iota(rows.begin(), rows.end(), static_cast<int32_t>(begin));
  return ops::gather_rows(context, x, rows);
}

// part(0), part(1) and so on, `count` of them, as columns of one tensor.
template <class Part>
Tensor beside_one_another(const Context& context, size_t count, const Part& part) {
  Tensor y = part(0);
  for (size_t i = 1; i < count; ++i) y = ops::concat_columns(context, y, part(i));
  return y;
}

}  // namespace

Linear::Linear(std::vector<const Parameter*> parts, Precision precision, InputNorm norm)
    : parts_(std::move(parts)), precision_(precision), norm_(norm) {
  MK_CHECK(!parts_.empty(), "linear: no weights");
  for (const Parameter* part : parts_) {
    MK_CHECK(part->cols == cols(), "linear: parts of {} and {} inputs", part->cols, cols());
    const int64_t first_row = rows_;
    rows_ += part->rows;
    for (Lora lora : part->loras) {
      lora.row += first_row;
      add_lora(lora);
    }
  }
}

void Linear::will_read() const {
  for (const Parameter* part : parts_) part->value.will_read();
}

void Linear::add_lora(const Lora& lora) {
  MK_CHECK(lora.a->cols == cols() && lora.a->rows == lora.b->cols && lora.row >= 0 &&
               lora.row + lora.b->rows <= rows_,
           "linear: lora [{}, {}] [{}, {}] at row {} of [{}, {}]", lora.b->rows, lora.b->cols,
           lora.a->rows, lora.a->cols, lora.row, rows_, cols());
  loras_.push_back(lora);
}

Tensor Linear::normed(const Context& context, const Tensor& x) const {
  if (norm_.weight == nullptr) return x;
  return ops::rms_norm(context, x, norm_.weight->tensor(context), norm_.eps);
}

// Aborts where a gradient would be lost: that of the inputs, or of their norm's weight.
void Linear::check_not_recorded(const Context& context, const Tensor& x) const {
  const bool lost = norm_.weight == nullptr ? context.records(x)
                                            : context.records(x, norm_.weight->tensor(context));
  MK_CHECK(!lost, "linear: no gradient in this precision or for mixed formats");
}

// Whether all is one integer product.
bool Linear::multiplies_in_int8() const {
  return precision_ == Precision::kInt8 && parts_.size() == 1 &&
         is_block_quantized(parts_.front()->dtype) && !records_inputs();
}

bool Linear::multiplies_in_f32() const { return parts_.size() == 1 && multiplies_parts_in_f32(); }

bool Linear::multiplies_parts_in_f32() const {
  return precision_ == Precision::kF32 && !records_inputs();
}

bool Linear::remakes(const Context& context) const {
  return context.remakes_inputs && context.tape != nullptr && multiplies_in_f32() && loras_.empty();
}

Tensor Linear::forward_made(const Context& context, const RecomputedFn& make) const {
  if (!remakes(context)) return forward(context, make(context));
  const auto input = [this, make](const Context& c) { return normed(c, make(c)); };
  const Context plain{context.device};
  const Tensor y = ops::linear(plain, input(plain), weight_to_read(*parts_.front(), plain));
  return recompute_of(context, y, [this, input, shape = y.shape()](const Context& c) {
    return ops::record_linear(c, input(c), parts_.front()->weight(c), c.empty(DType::kF32, shape));
  });
}

Tensor Linear::forward(const Context& context, const Tensor& x) const {
  if (norm_.weight != nullptr && remakes(context)) {
    return forward_made(context, [x](const Context&) { return x; });
  }
  if (loras_.empty()) return product(context, x);
  Tensor y = product(context, x);
  const Tensor input = normed(context, x);
  for (const Lora& lora : loras_) y = lora.add_to(context, y, input);
  return y;
}

// x W^T without the addends of adapters.
Tensor Linear::product(const Context& context, const Tensor& x) const {
  if (multiplies_in_f32()) {
    return ops::linear(context, normed(context, x), weight_to_read(*parts_.front(), context));
  }
  if (context.tape != nullptr && multiplies_parts_in_f32()) {
    const Tensor input = normed(context, x);
    return beside_one_another(context, parts_.size(), [&](size_t part) {
      return ops::linear(context, input, weight_to_read(*parts_[part], context));
    });
  }
  check_not_recorded(context, x);
  const Tensor y = context.empty(DType::kF32, {x.size(0), rows_});
  Int8Rows int8;
  Tensor f32, bf16;
  if (records_inputs()) {
    f32 = normed(context, x);
    for (const Parameter* part : parts_) part->inputs->add(context.device, f32.view());
  }
  int64_t row = 0;
  for (const Parameter* part : parts_) {
    const kernels::PackedView w = weight_to_read(*part, {context.device}).view();
    const View out = y.columns(row, row + part->rows).view();
    row += part->rows;
    if (precision_ == Precision::kInt8 && is_block_quantized(part->dtype)) {
      if (!int8.q.defined()) int8 = quantized(context, x, norm_);
      kernels::matmul_int8(context.device, int8.view, w, out);
      continue;
    }
    if (!f32.defined()) f32 = normed(context, x);
    if (precision_ == Precision::kBf16 && !is_block_quantized(part->dtype) && cols() % 2 == 0) {
      if (!bf16.defined()) {
        bf16 = context.empty(DType::kBf16, x.shape());
        kernels::round_bf16(context.device, f32.view(), bf16.view());
      }
      kernels::matmul_bf16(context.device, bf16.view(), w, out);
    } else {
      kernels::matmul(context.device, f32.view(), w, out);
    }
  }
  return y;
}

Tensor Linear::forward_rows(const Context& context, const Tensor& x, int64_t begin,
                            int64_t end) const {
  MK_CHECK(parts_.size() == 1, "linear: rows of {} parts", parts_.size());
  Parameter part = parts_.front()->row_range(begin, end);
  std::deque<Parameter> b_parts;  // which the loras point to
  for (const Lora& lora : loras_) {
    const int64_t from = std::max(begin, lora.row), to = std::min(end, lora.row + lora.b->rows);
    if (from >= to) continue;
    b_parts.push_back(lora.b->row_range(from - lora.row, to - lora.row));
    part.loras.push_back({lora.a, &b_parts.back(), lora.scale, from - begin});
  }
  return Linear({&part}, precision_, norm_).forward(context, x);
}

Tensor Linear::forward_add(const Context& context, const Tensor& x, const Tensor& residual) const {
  if (!fuses_in_int8()) return ops::add(context, residual, forward(context, x));
  check_not_recorded(context, x);
  MK_CHECK(!context.records(residual), "linear: no gradient for int8 products");
  const Int8Rows int8 = quantized(context, x, norm_);
  kernels::matmul_int8_add(context.device, int8.view,
                           weight_to_read(*parts_.front(), {context.device}).view(),
                           residual.view());
  return residual;
}

Tensor Linear::forward_swiglu(const Context& context, const Tensor& x) const {
  if (!fuses_in_int8()) return ops::swiglu(context, forward(context, x));
  check_not_recorded(context, x);
  const Int8Rows int8 = quantized(context, x, norm_);
  const Tensor y = context.empty(DType::kF32, {x.size(0), rows_ / 2});
  kernels::matmul_int8_swiglu(context.device, int8.view,
                              weight_to_read(*parts_.front(), {context.device}).view(), y.view());
  return y;
}

Tensor Linear::cross_entropy(const Context& context, const Tensor& x,
                             std::span<const int32_t> targets, double divisor) const {
  if (!multiplies_in_f32() || !loras_.empty()) {
    return ops::cross_entropy(context, forward(context, x), targets, divisor);
  }
  return ops::linear_cross_entropy(context, normed(context, x),
                                   weight_to_read(*parts_.front(), context), targets, divisor);
}

Tensor Linear::log_probs(const Context& context, const Tensor& x,
                         std::span<const int32_t> targets) const {
  if (!multiplies_in_f32() || !loras_.empty()) {
    return ops::log_probs(context, forward(context, x), targets);
  }
  return ops::linear_log_probs(context, normed(context, x),
                               weight_to_read(*parts_.front(), context), targets);
}

// Whether `linears` have what `holds` of them all.
bool Linear::all(const std::vector<const Linear*>& linears, bool (Linear::*holds)() const) {
  return std::all_of(linears.begin(), linears.end(),
                     [&](const Linear* linear) { return (linear->*holds)(); });
}

// The integer products of all groups, by `multiply`, into a result of `cols` columns.
template <class Multiply>
Tensor Linear::int8_grouped(const Context& context, const Tensor& x,
                            const std::vector<const Linear*>& linears,
                            const std::vector<int64_t>& group_rows, int64_t cols,
                            const Multiply& multiply) {
  std::vector<kernels::MatmulGroup> groups;
  for (size_t g = 0; g < linears.size(); ++g) {
    linears[g]->check_not_recorded(context, x);
    groups.push_back(
        {weight_to_read(*linears[g]->parts_.front(), {context.device}).view(), group_rows[g]});
  }
  const Int8Rows int8 = quantized(context, x, {});
  const Tensor y = context.empty(DType::kF32, {x.size(0), cols});
  multiply(context.device, int8.view, groups, y.view());
  return y;
}

Tensor Linear::forward_grouped(const Context& context, const Tensor& x,
                               const std::vector<const Linear*>& linears,
                               const std::vector<int64_t>& group_rows) {
  MK_CHECK(!linears.empty() && linears.size() == group_rows.size(),
           "linear: {} matrices for {} groups", linears.size(), group_rows.size());
  Tensor y = product_grouped(context, x, linears, group_rows);
  int64_t row = 0;
  for (size_t g = 0; g < linears.size(); row += group_rows[g++]) {
    if (linears[g]->loras_.empty()) continue;
    const Tensor input = rows_of(context, x, row, row + group_rows[g]);
    for (const Lora& lora : linears[g]->loras_) y = lora.add_to(context, y, input, row);
  }
  return y;
}

// forward_grouped() without the addends of adapters.
Tensor Linear::product_grouped(const Context& context, const Tensor& x,
                               const std::vector<const Linear*>& linears,
                               const std::vector<int64_t>& group_rows) {
  const int64_t rows = linears.front()->rows();
  if (all(linears, &Linear::multiplies_in_int8)) {
    return int8_grouped(context, x, linears, group_rows, rows, kernels::matmul_int8_grouped);
  }
  const size_t num_parts = linears.front()->parts_.size();
  if (all(linears, &Linear::multiplies_parts_in_f32) &&
      (context.tape != nullptr || num_parts == 1)) {
    return beside_one_another(context, num_parts, [&](size_t part) {
      std::vector<ops::Weight> weights;
      for (const Linear* linear : linears) {
        MK_CHECK(linear->parts_.size() == num_parts, "linear: groups of {} and {} parts",
                 linear->parts_.size(), num_parts);
        weights.push_back(weight_to_read(*linear->parts_[part], context));
      }
      return ops::linear_grouped(context, x, weights, group_rows);
    });
  }
  const Tensor y = context.empty(DType::kF32, {x.size(0), rows});
  int64_t row = 0;
  for (size_t g = 0; g < linears.size(); ++g) {
    const Tensor part = linears[g]->product(context, x.rows(row, row + group_rows[g]));
    std::copy_n(part.data<float>(), part.num_elements(),
                y.rows(row, row + group_rows[g]).data<float>());
    row += group_rows[g];
  }
  return y;
}

Tensor Linear::forward_swiglu_grouped(const Context& context, const Tensor& x,
                                      const std::vector<const Linear*>& linears,
                                      const std::vector<int64_t>& group_rows) {
  if (!all(linears, &Linear::fuses_in_int8)) {
    return ops::swiglu(context, forward_grouped(context, x, linears, group_rows));
  }
  return int8_grouped(context, x, linears, group_rows, linears.front()->rows() / 2,
                      kernels::matmul_int8_swiglu_grouped);
}

Tensor swiglu_feed_forward(const Context& context, const Tensor& x, const Linear& gate_up,
                           const Linear& down, const Tensor& residual) {
  if (!context.remakes_inputs) {
    return down.forward_add(context, gate_up.forward_swiglu(context, x), residual);
  }
  const Tensor both = gate_up.forward(context, x);  // [n, 2 width]
  const Tensor y =
      down.forward_made(context, [both](const Context& c) { return ops::swiglu(c, both); });
  return ops::add(context, residual, y);
}

}  // namespace minke
