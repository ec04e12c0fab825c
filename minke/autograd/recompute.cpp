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
  return context.tape->record("recompute", {}, y,
                              [&device = context.device, tape = context.tape,
                               record = std::move(record)](const Tensor& dy) {
                                const bool outer = tape->recomputes();
                                tape->set_recomputes(true);
                                const Tensor again = record(Context{device, tape});
                                tape->set_recomputes(outer);
                                if (again.var() != 0) tape->resume(again, dy);
                                return std::vector<Tensor>();
                              });
}

}  // namespace minke
