#include "minke/kernels/cpu/cpu.h"

#ifdef __AVX512BF16__
#include <immintrin.h>

namespace minke::kernels::avx512_bf16 {
#include "minke/kernels/cpu/simd_x86.h"

#include "minke/kernels/cpu/simd_avx512.h"

#include "minke/kernels/cpu/tile_impl.h"

#include "minke/kernels/cpu/matmul_bf16_impl.h"
}  // namespace minke::kernels::avx512_bf16
#endif
