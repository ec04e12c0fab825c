#include <utility>

#include "minke/kernels/cpu/cpu.h"

#ifdef __AVX2__
#include <immintrin.h>

namespace minke::kernels::avx2 {
#include "minke/kernels/cpu/simd_x86.h"

#include "minke/kernels/cpu/simd_avx2.h"

#include "minke/kernels/cpu/activation_impl.h"

#include "minke/kernels/cpu/tile_impl.h"

#include "minke/kernels/cpu/block_impl.h"

#include "minke/kernels/cpu/float_panel_impl.h"

#include "minke/kernels/cpu/transpose_impl.h"

#include "minke/kernels/cpu/product_impl.h"

#include "minke/kernels/cpu/matmul_grad_impl.h"

#include "minke/kernels/cpu/attention_grad_impl.h"
}  // namespace minke::kernels::avx2
#endif
