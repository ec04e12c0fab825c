// Weights of any format as f32. Included inside a namespace, after block_impl.h.

static void expand_halves(const std::byte* panel, DType dtype, int64_t cols, float* out) {
  const auto* in = reinterpret_cast<const uint16_t*>(panel);
  for (int64_t i = 0; i < cols * kPanelRows; i += Simd::kLanes) {
    Simd::store(out + i, dtype == DType::kF16 ? Simd::load_f16(in + i) : Simd::load_bf16(in + i));
  }
}

// The panel as f32 [cols][16]: itself, or decoded into `scratch`.
static const std::byte* float_panel(const PackedView& w, const std::byte* panel,
                                    std::byte* scratch) {
  auto* out = reinterpret_cast<float*>(scratch);
  switch (w.dtype) {
    case DType::kF32:
      return panel;
#define MK_BLOCK_FORMAT(id, ...)                            \
  case DType::id:                                           \
    expand_floats<FormatOf<DType::id>>(panel, w.cols, out); \
    return scratch;
#include "minke/dtype/block_formats.def"
#undef MK_BLOCK_FORMAT
    default:
      expand_halves(panel, w.dtype, w.cols, out);
      return scratch;
  }
}

static int64_t panel_bytes(const PackedView& w) {
  switch (w.dtype) {
    case DType::kF32:
      return w.cols * kPanelRows * 4;
#define MK_BLOCK_FORMAT(id, ...)                                  \
  case DType::id: {                                               \
    constexpr PanelLayout kLayout = FormatOf<DType::id>::kLayout; \
    return w.cols / kLayout.unit_cols * kLayout.unit_bytes;       \
  }
#include "minke/dtype/block_formats.def"
#undef MK_BLOCK_FORMAT
    default:
      return w.cols * kPanelRows * 2;
  }
}
