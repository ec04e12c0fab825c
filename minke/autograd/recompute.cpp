#include "minke/autograd/recompute.h"

#include <utility>

namespace minke {

Tensor recompute(const Context& context, RecomputedFn fn) {
  if (context.tape == nullptr) return fn(context);
  const Tensor y = fn(Context{context.device});
  return recompute_of(context, y, std::move(fn));
}

Tensor recompute_of(const Context& context, const Tensor& y, RecomputedFn record) {
  if (context.tape == nullptr) return y;
  // What is recorded then is passed at once, so it keeps all.
  const Context again_context{context.device, context.tape};
  const auto backward = [again_context, record = std::move(record)](const Tensor& dy) {
    Tape& tape = *again_context.tape;
    const bool outer = tape.recomputes();
    tape.set_recomputes(true);
    const Tensor again = record(again_context);
    tape.set_recomputes(outer);
    if (again.var() != 0) tape.resume(again, dy);
    return std::vector<Tensor>();
  };
  return context.tape->record("recompute", {}, y, backward);
}

}  // namespace minke
