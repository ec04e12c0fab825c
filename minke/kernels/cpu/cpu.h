#pragma once
#include <cstddef>
#include <cstdint>

#include "minke/kernels/panel.h"
#include "minke/tensor/view.h"

// The vector kernels, one namespace an instruction set, all made from the same algorithms
// (*_impl.h) over that set's vectors (simd_*.h). Each works on a range of its outputs, without
// threads.

// scratch: kernels/matmul.cpp gives every thread matmul_scratch_bytes(cols).
#define MK_DECLARE_CPU_KERNELS(isa)                                                                \
  namespace isa {                                                                                  \
  void matmul(const ConstView& x, const PackedView& w, const View& y, int64_t panel_begin,         \
              int64_t panel_end, std::byte* scratch);                                              \
  void quantize_int8(const ConstView& x, const Int8View& out, int64_t row_begin, int64_t row_end); \
  void matmul_int8(const Int8View& x, const PackedView& w, const View& y, bool add,                \
                   int64_t panel_begin, int64_t panel_end, std::byte* scratch);                    \
  void matmul_int8_swiglu(const Int8View& x, const PackedView& w, const View& y,                   \
                          int64_t panel_begin, int64_t panel_end, std::byte* scratch);             \
  void attention(const AttentionTask& task);                                                       \
  void join_spans(const AttentionTask& task, int64_t num_spans);                                   \
  void write_kv(const ConstView& k, const ConstView& v, const AttentionSegment& segment,           \
                const KvPages& pages, int64_t kv_head);                                            \
  void read_latents(const KvPages& pages, const int32_t* page_table, const View& k, const View& v, \
                    int64_t begin, int64_t end);                                                   \
  void rms_norm(const ConstView& x, const ConstView& w, double eps, const View& y,                 \
                int64_t row_begin, int64_t row_end);                                               \
  void swiglu(const ConstView& gate_up, const View& y, int64_t row_begin, int64_t row_end);        \
  }

// What a set with dot products of bf16 adds to the one below it.
#define MK_DECLARE_BF16_KERNELS(isa)                                                            \
  namespace isa {                                                                               \
  void round_bf16(const ConstView& x, const View& out, int64_t row_begin, int64_t row_end);     \
  void matmul_bf16(const ConstView& x, const PackedView& w, const View& y, int64_t panel_begin, \
                   int64_t panel_end, std::byte* scratch);                                      \
  }

// Of those that only training needs, whatever integer instructions there are.
#define MK_DECLARE_TRAINING_KERNELS(isa)                                                \
  namespace isa {                                                                       \
  void matmul_input_grad(const ConstView& dy, const PackedView& w, const View& dx,      \
                         const MatmulPiece& piece, std::byte* scratch);                 \
  void matmul_weight_grad(const ConstView& dy, const ConstView& x, bool add, float* dw, \
                          const MatmulPiece& piece, std::byte* scratch);                \
  void attention_grad(const AttentionGradTask& task, float* scratch);                   \
  }

namespace minke::kernels {

/// What a thread computes of a matmul's gradient: columns [col_begin, col_end) of rows [begin, end)
/// of dx, or of panels [begin, end) of dW. At most kPieceCols columns, and kPiecePanels panels.
struct MatmulPiece {
  int64_t begin;
  int64_t end;
  int64_t col_begin;
  int64_t col_end;
};
inline constexpr int64_t kPieceCols = 256;
inline constexpr int64_t kPiecePanels = 8;
/// Of the blocks that factors are packed in, so that those of a piece stay in L2.
inline constexpr int64_t kProductDepth = 192;
inline constexpr int64_t kMatmulGradScratch =
    (kPieceCols + kPiecePanels * kPanelRows) * kProductDepth * 4;

/// Scratch that products need: two panels expanded to f32.
inline constexpr int64_t matmul_scratch_bytes(int64_t cols) {
  return 2 * kPanelRows * 4 * ((cols + 63) / 64 * 64);
}

// MK_IMPLEMENTATIONS(function, ref): a kernel's whole list (implementations.h) on this kind of CPU.
#if defined(__x86_64__)
MK_DECLARE_CPU_KERNELS(avx2)
MK_DECLARE_CPU_KERNELS(avx_vnni)
MK_DECLARE_CPU_KERNELS(avx512_vnni)
MK_DECLARE_BF16_KERNELS(avx512_bf16)
MK_DECLARE_TRAINING_KERNELS(avx2)
MK_DECLARE_TRAINING_KERNELS(avx512)
#define MK_TRAINING_IMPLEMENTATIONS(function, ref)                                  \
  {                                                                                 \
    {CpuLevel::kAvx512Vnni, avx512::function}, {CpuLevel::kAvx2, avx2::function}, { \
      CpuLevel::kRef, ref                                                           \
    }                                                                               \
  }
#define MK_IMPLEMENTATIONS(function, ref)                                                     \
  {                                                                                           \
    {CpuLevel::kAvx512Vnni, avx512_vnni::function}, {CpuLevel::kAvxVnni, avx_vnni::function}, \
        {CpuLevel::kAvx2, avx2::function}, {CpuLevel::kRef, ref},                             \
  }
#define MK_BF16_IMPLEMENTATIONS(function, ref)                              \
  {                                                                         \
    {CpuLevel::kAvx512Bf16, avx512_bf16::function}, { CpuLevel::kRef, ref } \
  }
#elif defined(__aarch64__)
MK_DECLARE_CPU_KERNELS(neon)
MK_DECLARE_CPU_KERNELS(neon_dot)
MK_DECLARE_CPU_KERNELS(neon_i8mm)
MK_DECLARE_TRAINING_KERNELS(neon)
#define MK_TRAINING_IMPLEMENTATIONS(function, ref)             \
  {                                                            \
    {CpuLevel::kNeon, neon::function}, { CpuLevel::kRef, ref } \
  }
#define MK_IMPLEMENTATIONS(function, ref)                                                 \
  {                                                                                       \
    {CpuLevel::kNeonI8mm, neon_i8mm::function}, {CpuLevel::kNeonDot, neon_dot::function}, \
        {CpuLevel::kNeon, neon::function}, {CpuLevel::kRef, ref},                         \
  }
#else
#define MK_IMPLEMENTATIONS(function, ref) \
  {                                       \
    { CpuLevel::kRef, ref }               \
  }
#define MK_TRAINING_IMPLEMENTATIONS(function, ref) MK_IMPLEMENTATIONS(function, ref)
#endif
// The same for the kernels that need dot products of bf16.
#ifndef MK_BF16_IMPLEMENTATIONS
#define MK_BF16_IMPLEMENTATIONS(function, ref) \
  {                                            \
    { CpuLevel::kRef, ref }                    \
  }
#endif

}  // namespace minke::kernels
