#include "minke/autograd/gradcheck.h"

#include <algorithm>
#include <cmath>

namespace minke {

std::string gradcheck(const Device& device, const ScalarFn& fn, std::span<const Tensor> inputs,
                      double tolerance) {
  Tape tape;
  std::vector<Tensor> watched;
  for (const Tensor& input : inputs) {
    MK_CHECK(input.dtype() == DType::kF64 && input.contiguous(), "gradcheck: input {} {}",
             dtype_info(input.dtype()).name, input.shape().text());
    watched.push_back(tape.watch(input));
  }
  tape.backward(device, fn(Context{device, &tape}, watched));
  const Context no_tape{device, nullptr};
  const auto value = [&] { return *fn(no_tape, inputs).data<double>(); };
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Tensor grad = tape.grad(watched[i]);
    if (!grad.defined()) return fmt::format("input {}: no gradient reached it", i);
    for (int64_t at = 0; at < inputs[i].num_elements(); ++at) {
      double& x = inputs[i].data<double>()[at];
      const double before = x;
      const double step = 1e-5 * std::max(1.0, std::fabs(before));
      x = before + step;
      const double above = value();
      x = before - step;
      const double below = value();
      x = before;
      const double expected = (above - below) / (2.0 * step);
      const double found = grad.data<double>()[at];
      // Written so that a gradient that is not a number fails.
      if (!(std::fabs(found - expected) <= tolerance * std::max(1.0, std::fabs(expected)))) {
        return fmt::format("input {} element {} of {}: gradient {}, central difference {}", i, at,
                           inputs[i].shape().text(), found, expected);
      }
    }
  }
  return "";
}

}  // namespace minke
