#include "minke/autograd/tape.h"

#include <utility>

#include "minke/kernels/pointwise.h"

namespace minke {
namespace {

void set_scalar(const Tensor& scalar, double value) {
  if (scalar.dtype() == DType::kF64) {
    *scalar.data<double>() = value;
  } else {
    *scalar.data<float>() = static_cast<float>(value);
  }
}

}  // namespace

VarId Tape::name(const Tensor& value) {
  variables_.push_back({value.shape(), value.dtype(), {}, false});
  return static_cast<VarId>(variables_.size());
}

Tensor Tape::watch(const Tensor& leaf) {
  MK_CHECK(leaf.dtype() == DType::kF32 || leaf.dtype() == DType::kF64,
           "tape: a leaf must be f32 or f64, not {}", dtype_info(leaf.dtype()).name);
  const auto [found, is_new] = leaf_vars_.try_emplace(leaf.view().data, VarId{0});
  if (is_new) {
    found->second = name(leaf);
    leaves_.push_back(leaf);
  }
  const Variable& variable = variables_[found->second - 1];
  MK_CHECK(variable.shape == leaf.shape(), "tape: leaf {} is already watched as {}",
           leaf.shape().text(), variable.shape.text());
  return leaf.with_var(found->second);
}

Tensor Tape::record(const char* op, std::vector<VarId> inputs, const Tensor& output,
                    BackwardFn backward) {
  for (const VarId input : inputs) {
    MK_CHECK(input <= variables_.size(), "{}: input {} is not on this tape ({} values)", op, input,
             variables_.size());
  }
  const VarId var = name(output);
  nodes_.push_back({op, std::move(inputs), var, std::move(backward)});
  return output.with_var(var);
}

void Tape::accumulate(const Device& device, const Node& node, VarId var, const Tensor& grad) {
  Variable& variable = variables_[var - 1];
  MK_CHECK(grad.shape() == variable.shape && grad.dtype() == variable.dtype,
           "{}: gradient {} {} for an input {} {}", node.op, dtype_info(grad.dtype()).name,
           grad.shape().text(), dtype_info(variable.dtype).name, variable.shape.text());
  if (!variable.grad.defined()) {
    variable.grad = grad.with_var(0);
    return;
  }
  // What is there may be shared with another value's gradient or the caller's, so the first sum is
  // a tensor of the tape's own; later ones go in place.
  const Tensor sum = variable.grad_is_ours
                         ? variable.grad
                         : Tensor::empty(device.arena(), grad.dtype(), grad.shape());
  kernels::add(device, variable.grad.view(), grad.view(), sum.view());
  variable.grad = sum;
  variable.grad_is_ours = true;
}

void Tape::backward(const Device& device, const Tensor& loss, double seed) {
  const VarId loss_var = loss.var();
  MK_CHECK(loss_var != 0 && loss_var <= variables_.size() && loss.num_elements() == 1,
           "backward: the loss must be one number on this tape, not {}", loss.shape().text());
  const bool recorded = !nodes_.empty() && loss_var >= nodes_.front().output;
  MK_CHECK(recorded, "backward: the loss was not recorded since the last backward");
  Variable& root = variables_[loss_var - 1];
  root.grad = Tensor::empty(device.arena(), loss.dtype(), loss.shape());
  set_scalar(root.grad, seed);
  while (!nodes_.empty()) {
    // Moved out, so that its captures are freed at the end of this turn.
    const Node node = std::move(nodes_.back());
    nodes_.pop_back();
    const Tensor grad_output = std::exchange(variables_[node.output - 1].grad, Tensor());
    if (!grad_output.defined()) continue;
    const std::vector<Tensor> grads = node.backward(grad_output);
    MK_CHECK(grads.size() == node.inputs.size(), "{}: {} gradients for {} inputs", node.op,
             grads.size(), node.inputs.size());
    for (size_t i = 0; i < grads.size(); ++i) {
      if (node.inputs[i] != 0 && grads[i].defined()) {
        accumulate(device, node, node.inputs[i], grads[i]);
      }
    }
  }
  // From here on callers may hold the leaves' gradients.
  for (Variable& variable : variables_) variable.grad_is_ours = false;
}

void Tape::resume(const Tensor& value, const Tensor& grad) {
  MK_CHECK(!nodes_.empty() && nodes_.back().output == value.var() &&
               grad.shape() == value.shape() && grad.dtype() == value.dtype(),
           "tape: cannot resume from {} with a gradient {}", value.shape().text(),
           grad.shape().text());
  variables_[value.var() - 1].grad = grad.with_var(0);
}

Tensor Tape::grad(const Tensor& value) const {
  MK_CHECK(value.var() != 0 && value.var() <= variables_.size(),
           "tape: value {} has no name on this tape", value.shape().text());
  return variables_[value.var() - 1].grad;
}

void Tape::clear() {
  nodes_.clear();
  variables_.clear();
  leaves_.clear();
  leaf_vars_.clear();
}

}  // namespace minke
