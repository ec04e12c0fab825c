#include <utility>

#include "minke/kernels/cpu/cpu.h"

#ifdef __ARM_NEON
#include <arm_neon.h>

namespace minke::kernels::neon {
#include "minke/kernels/cpu/simd_neon.h"

#include "minke/kernels/cpu/activation_impl.h"

#include "minke/kernels/cpu/tile_impl.h"

#include "minke/kernels/cpu/block_impl.h"

#include "minke/kernels/cpu/float_panel_impl.h"

#include "minke/kernels/cpu/transpose_impl.h"

#include "minke/kernels/cpu/product_impl.h"

#include "minke/kernels/cpu/matmul_grad_impl.h"

#include "minke/kernels/cpu/attention_grad_impl.h"
}  // namespace minke::kernels::neon
#endif
