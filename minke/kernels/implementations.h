#pragma once
#include <cstddef>

#include "minke/tensor/device.h"

namespace minke::kernels {

/// One entry of a kernel's list: the function and the level of instructions it needs. Lists run
/// from the best to `ref`, which every list ends with.
template <class Fn>
struct Implementation {
  CpuLevel level;
  Fn* function;
};

/// The first entry that the device's level allows.
template <class Fn, size_t kCount>
Fn* choose(const Implementation<Fn> (&list)[kCount], CpuLevel level) {
  for (const Implementation<Fn>& entry : list) {
    if (entry.level <= level) return entry.function;
  }
  return list[kCount - 1].function;
}

}  // namespace minke::kernels
