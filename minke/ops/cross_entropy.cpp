#include <algorithm>
#include <optional>
#include <vector>

#include "minke/kernels/matmul.h"
#include "minke/kernels/pointwise.h"
#include "minke/ops/ops.h"

namespace minke::ops {
namespace {

double element(const Tensor& values, int64_t index) {
  return values.dtype() == DType::kF64 ? values.data<double>()[index]
                                       : static_cast<double>(values.data<float>()[index]);
}

void set_element(const Tensor& values, int64_t index, double value) {
  if (values.dtype() == DType::kF64) {
    values.data<double>()[index] = value;
  } else {
    values.data<float>()[index] = static_cast<float>(value);
  }
}

// -ln p(target) of each row [n].
Tensor row_losses(const Context& context, const Tensor& logits, std::span<const int32_t> targets) {
  MK_CHECK(logits.shape().num_dims() == 2 && logits.size(0) == static_cast<int64_t>(targets.size()),
           "cross_entropy: logits {} with {} targets", logits.shape().text(), targets.size());
  const Tensor losses = context.empty(logits.dtype(), {logits.size(0)});
  kernels::cross_entropy(context.device, logits.view(), targets.data(), losses.view());
  return losses;
}

// [n], all the same.
Tensor filled(const Device& device, DType dtype, int64_t n, double value) {
  const Tensor values = Tensor::empty(device.arena(), dtype, {n});
  for (int64_t i = 0; i < n; ++i) set_element(values, i, value);
  return values;
}

Tensor logits_grad(const Device& device, const Tensor& logits, const std::vector<int32_t>& targets,
                   const Tensor& scales) {
  const Tensor dx = Tensor::empty(device.arena(), logits.dtype(), logits.shape());
  kernels::cross_entropy_grad(device, logits.view(), targets.data(), scales.view(), dx.view());
  return dx;
}

// A head's rows of x whose logits are there at the same time: 50 MB with a vocabulary of 49152.
constexpr int64_t kHeadRows = 256;

// Calls body(begin, end) for the rows, kHeadRows at a time.
template <class Body>
void in_chunks(int64_t n, const Body& body) {
  for (int64_t begin = 0; begin < n; begin += kHeadRows)
    body(begin, std::min(begin + kHeadRows, n));
}

Tensor logits_of(const Device& device, const Tensor& x, const Weight& weight, int64_t begin,
                 int64_t end) {
  const Tensor logits = Tensor::empty(device.arena(), x.dtype(), {end - begin, weight.rows});
  kernels::matmul(device, x.rows(begin, end).view(), weight.view(), logits.view());
  return logits;
}

// Those of x and of the weight, the latter only where it is on the tape. Chunk after chunk gives
// the bits of all rows at once.
struct HeadGradients {
  Tensor dx, dw;

  HeadGradients(const Device& device, const Tensor& x, const Weight& weight)
      : dx(Tensor::empty(device.arena(), x.dtype(), x.shape())) {
    if (weight.storage.var() != 0) {
      dw = Tensor::empty(device.arena(), weight.dtype, weight.storage.shape());
    }
  }

  // The chunk that begins at row `begin`; overwrites its logits. `scales` as in
  // kernels::cross_entropy_grad().
  void add(const Device& device, const Tensor& x, const Weight& weight, const Tensor& logits,
           const int32_t* targets, int64_t begin, const Tensor& scales) const {
    const int64_t end = begin + logits.size(0);
    kernels::cross_entropy_grad(device, logits.view(), targets + begin, scales.view(),
                                logits.view());
    kernels::matmul_input_grad(device, logits.view(), weight.view(), dx.rows(begin, end).view());
    if (!dw.defined()) return;
    kernels::matmul_weight_grad(device, logits.view(), x.rows(begin, end).view(), begin > 0,
                                dw.view().data);
  }
};

Tensor times(const Device& device, const Tensor& x, double factor) {
  if (factor == 1.0 || !x.defined()) return x;
  const Tensor y = Tensor::empty(device.arena(), x.dtype(), x.shape());
  for (int64_t i = 0; i < x.num_elements(); ++i) set_element(y, i, element(x, i) * factor);
  return y;
}

void check_head(const Tensor& x, const Weight& weight, std::span<const int32_t> targets) {
  MK_CHECK(x.shape().num_dims() == 2 && x.size(1) == weight.cols &&
               x.size(0) == static_cast<int64_t>(targets.size()),
           "head: x {} with a weight [{}, {}] and {} targets", x.shape().text(), weight.rows,
           weight.cols, targets.size());
}

}  // namespace

Tensor cross_entropy(const Context& context, const Tensor& logits, std::span<const int32_t> targets,
                     double divisor) {
  MK_CHECK(divisor > 0.0, "cross_entropy: divisor {}", divisor);
  const Tensor losses = row_losses(context, logits, targets);
  double sum = 0.0;
  for (int64_t i = 0; i < losses.num_elements(); ++i) sum += element(losses, i);
  const Tensor loss = context.empty(logits.dtype(), {1});
  set_element(loss, 0, sum / divisor);
  if (!context.records(logits)) return loss;
  const Device& device = context.device;
  const std::vector<int32_t> kept(targets.begin(), targets.end());
  return context.tape->record(
      "cross_entropy", {logits.var()}, loss, [&device, logits, kept, divisor](const Tensor& dy) {
        const Tensor scales =
            filled(device, logits.dtype(), logits.size(0), element(dy, 0) / divisor);
        return std::vector<Tensor>{logits_grad(device, logits, kept, scales)};
      });
}

Tensor cross_entropy(const Context& context, const Tensor& logits,
                     std::span<const int32_t> targets) {
  const auto num_counted =
      std::count_if(targets.begin(), targets.end(), [](int32_t target) { return target >= 0; });
  return cross_entropy(context, logits, targets,
                       static_cast<double>(std::max<int64_t>(num_counted, 1)));
}

Tensor log_probs(const Context& context, const Tensor& logits, std::span<const int32_t> targets) {
  const Tensor values = row_losses(context, logits, targets);
  for (int64_t i = 0; i < values.num_elements(); ++i) set_element(values, i, -element(values, i));
  if (!context.records(logits)) return values;
  const Device& device = context.device;
  const std::vector<int32_t> kept(targets.begin(), targets.end());
  return context.tape->record(
      "log_probs", {logits.var()}, values, [&device, logits, kept](const Tensor& dy) {
        const Tensor scales = Tensor::empty(device.arena(), logits.dtype(), {logits.size(0)});
        for (int64_t i = 0; i < scales.num_elements(); ++i) set_element(scales, i, -element(dy, i));
        return std::vector<Tensor>{logits_grad(device, logits, kept, scales)};
      });
}

// The gradients are computed with the loss, while a chunk's logits are there.
Tensor linear_cross_entropy(const Context& context, const Tensor& x, const Weight& weight,
                            std::span<const int32_t> targets, double divisor) {
  check_head(x, weight, targets);
  MK_CHECK(divisor > 0.0, "linear_cross_entropy: divisor {}", divisor);
  const Device& device = context.device;
  std::optional<HeadGradients> gradients;
  if (context.records(x, weight.storage)) gradients.emplace(device, x, weight);
  double sum = 0.0;
  in_chunks(x.size(0), [&](int64_t begin, int64_t end) {
    const Tensor logits = logits_of(device, x, weight, begin, end);
    const Tensor losses = row_losses(context, logits, targets.subspan(begin, end - begin));
    for (int64_t i = 0; i < losses.num_elements(); ++i) sum += element(losses, i);
    if (!gradients) return;
    gradients->add(device, x, weight, logits, targets.data(), begin,
                   filled(device, x.dtype(), end - begin, 1.0 / divisor));
  });
  const Tensor loss = filled(device, x.dtype(), 1, sum / divisor);
  if (!gradients) return loss;
  return context.tape->record(
      "linear_cross_entropy", {x.var(), weight.storage.var()}, loss,
      [&device, kept = *gradients](const Tensor& dy) {
        const double factor = element(dy, 0);
        return std::vector<Tensor>{times(device, kept.dx, factor), times(device, kept.dw, factor)};
      });
}

// A row's gradient is known in the backward only, which computes the logits again.
Tensor linear_log_probs(const Context& context, const Tensor& x, const Weight& weight,
                        std::span<const int32_t> targets) {
  check_head(x, weight, targets);
  const Device& device = context.device;
  const Tensor values = context.empty(x.dtype(), {x.size(0)});
  in_chunks(x.size(0), [&](int64_t begin, int64_t end) {
    const Tensor losses = row_losses(context, logits_of(device, x, weight, begin, end),
                                     targets.subspan(begin, end - begin));
    for (int64_t i = begin; i < end; ++i) set_element(values, i, -element(losses, i - begin));
  });
  if (!context.records(x, weight.storage)) return values;
  const std::vector<int32_t> kept(targets.begin(), targets.end());
  return context.tape->record(
      "linear_log_probs", {x.var(), weight.storage.var()}, values,
      [&device, x, weight, kept](const Tensor& dy) {
        const HeadGradients gradients(device, x, weight);
        in_chunks(x.size(0), [&](int64_t begin, int64_t end) {
          const Tensor scales = Tensor::empty(device.arena(), x.dtype(), {end - begin});
          for (int64_t i = begin; i < end; ++i) set_element(scales, i - begin, -element(dy, i));
          gradients.add(device, x, weight, logits_of(device, x, weight, begin, end), kept.data(),
                        begin, scales);
        });
        return std::vector<Tensor>{gradients.dx, gradients.dw};
      });
}

}  // namespace minke::ops
