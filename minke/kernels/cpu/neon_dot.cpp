#include "minke/kernels/cpu/cpu.h"

#ifdef __ARM_FEATURE_DOTPROD
#include <arm_neon.h>

namespace minke::kernels::neon_dot {
#include "minke/kernels/cpu/simd_neon.h"

#include "minke/kernels/cpu/activation_impl.h"

#include "minke/kernels/cpu/tile_impl.h"

#include "minke/kernels/cpu/block_impl.h"

#include "minke/kernels/cpu/float_panel_impl.h"

#include "minke/kernels/cpu/matmul_impl.h"

#include "minke/kernels/cpu/matmul_int8_impl.h"

#include "minke/kernels/cpu/quantize_impl.h"

#include "minke/kernels/cpu/kv_pages_impl.h"

#include "minke/kernels/cpu/attention_impl.h"
}  // namespace minke::kernels::neon_dot
#endif
