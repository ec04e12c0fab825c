#pragma once
#include "minke/tensor/device.h"
#include "minke/tensor/view.h"

namespace minke::kernels {

/// y += scale * x, shapes equal, f32 or f64. Parallel over rows; the same bits for any number of
/// threads and rows.
void scaled_add(const Device& device, const ConstView& x, double scale, const View& y);

}  // namespace minke::kernels
