#pragma once
#include <functional>
#include <unordered_map>
#include <vector>

#include "minke/tensor/device.h"
#include "minke/tensor/tensor.h"

namespace minke {

/// Records the ops of one forward and runs them backwards.
///
/// Life: 1. a leaf (a weight) is named by watch(); 2. an op whose inputs have a name appends a Node
/// with a function from the gradient of its output to those of its inputs; 3. backward() walks the
/// nodes in reverse and adds up the gradients; 4. grad() reads a leaf's; 5. clear() forgets all.
/// What a Node's function captures (Tensor handles) lives until backward() has passed it. Steps 2
/// and 3 may be repeated before 5: gradients of leaves then add up over the passes (micro-batches).
class Tape {
 public:
  /// Gets the gradient of the op's output (same shape and dtype as the output), returns one
  /// gradient an input, in order; an undefined Tensor where the input needs none. A gradient may
  /// share memory with `grad_output` or with another one: the tape never writes to what an op
  /// returned.
  using BackwardFn = std::function<std::vector<Tensor>(const Tensor& grad_output)>;

  /// Makes `leaf` a value whose gradient is wanted; the same `leaf` object gives the same name
  /// again. The tape holds a handle to it until clear().
  Tensor watch(const Tensor& leaf);

  /// Appends an op; returns `output` with its name on this tape. `inputs` are the names of the
  /// inputs (0: no gradient wanted), `op` names it in errors and must outlive the tape.
  Tensor record(const char* op, std::vector<VarId> inputs, const Tensor& output,
                BackwardFn backward);

  /// Runs backwards from `loss`, a named scalar (one element), whose own gradient is `seed`. All
  /// nodes are passed and forgotten, also those that the loss does not depend on. Gradients of
  /// leaves are summed over all uses, in the reverse order of the forward.
  void backward(const Device& device, const Tensor& loss, double seed = 1.0);

  /// For a BackwardFn that has just recorded its op's inner steps on this tape (recompute.h):
  /// backward() goes on with them, from `value`, whose gradient is `grad`.
  void resume(const Tensor& value, const Tensor& grad);
  /// Whether a step is being recorded that was computed before: what counts steps leaves it out.
  bool recomputes() const { return recomputes_; }
  void set_recomputes(bool recomputes) { recomputes_ = recomputes; }

  /// The gradient of a leaf after backward(); undefined if none reached it. (Those of other values
  /// are dropped as soon as they are used.)
  Tensor grad(const Tensor& value) const;

  void clear();

 private:
  struct Node {
    const char* op;
    std::vector<VarId> inputs;
    VarId output;
    BackwardFn backward;
  };
  /// What is known of a named value, by VarId - 1.
  struct Variable {
    Shape shape;
    DType dtype;
    Tensor grad;                ///< undefined until a gradient reaches it
    bool grad_is_ours = false;  ///< made by the tape in this pass, so it may be added to in place
  };

  VarId name(const Tensor& value);
  void accumulate(const Device& device, const Node& node, VarId var, const Tensor& grad);

  std::vector<Node> nodes_;
  std::vector<Variable> variables_;
  std::vector<Tensor> leaves_;                        // keeps their addresses taken
  std::unordered_map<const void*, VarId> leaf_vars_;  // by address of the leaf's elements
  bool recomputes_ = false;
};

}  // namespace minke
