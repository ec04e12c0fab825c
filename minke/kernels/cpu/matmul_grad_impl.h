// The gradients of y = x W^T in f32. Included inside a namespace, after product_impl.h,
// transpose_impl.h and float_panel_impl.h.

// Inputs [col_begin, col_begin + width) of the weight panels [begin, end) as rows of outputs:
// to[panel of 16 inputs][output][16], kDepth outputs a panel. `decoded` has room for one panel.
static void transpose_weights(const PackedView& w, int64_t begin, int64_t end, int64_t col_begin,
                              int64_t width, float* to, std::byte* decoded) {
  const PackedView before{nullptr, w.dtype, kPanelRows, col_begin};
  const PackedView piece{nullptr, w.dtype, kPanelRows, width};
  for (int64_t panel = begin; panel < end; ++panel) {
    const std::byte* packed = w.data + panel * panel_bytes(w) + panel_bytes(before);
    const auto* from = reinterpret_cast<const float*>(float_panel(piece, packed, decoded));
    float* rows = to + (panel - begin) * kPanelRows * kPanelRows;
    for (int64_t k = 0; k < width; k += kPanelRows) {
      float* at = rows + k * kDepth;
      if (k + kPanelRows <= width) {
        transpose_panel(from + k * kPanelRows, kPanelRows, at);
        continue;
      }
      float padded[kPanelRows * kPanelRows] = {};
      __builtin_memcpy(padded, from + k * kPanelRows, (width - k) * kPanelRows * sizeof(float));
      transpose_panel(padded, kPanelRows, at);
    }
  }
}

// Rows of dx from `row` on += the rows of dy times `depth` outputs from `first` on of `turned`.
template <int kRows>
static void input_grad_rows(const ConstView& dy, int64_t row, int64_t first, int64_t depth,
                            const RightFactor& turned, const View& dx, const MatmulPiece& piece) {
  float a[kRows * kDepth];
  for (int r = 0; r < kRows; ++r) {
    __builtin_memcpy(a + r * kDepth, dy.row<float>(row + r) + first, depth * sizeof(float));
  }
  const LeftFactor<kDepth, 1> left{a};
  const int64_t whole = (piece.col_end - piece.col_begin) / kPanelRows;
  const int64_t rest = (piece.col_end - piece.col_begin) % kPanelRows;
  float* to = dx.row<float>(row) + piece.col_begin;
  product_row<kRows>(left, turned, depth, whole, {to, dx.stride, kPanelRows, first > 0});
  if (rest == 0) return;
  float edge[kRows][kPanelRows] = {};
  for (int r = 0; r < kRows && first > 0; ++r) {
    __builtin_memcpy(edge[r], to + r * dx.stride + whole * kPanelRows, rest * sizeof(float));
  }
  product_row<kRows>(left, turned.from_panel(whole), depth, 1, {edge[0], kPanelRows, 0, true});
  for (int r = 0; r < kRows; ++r) {
    __builtin_memcpy(to + r * dx.stride + whole * kPanelRows, edge[r], rest * sizeof(float));
  }
}

void matmul_input_grad(const ConstView& dy, const PackedView& w, const View& dx,
                       const MatmulPiece& piece, std::byte* scratch) {
  auto* turned = reinterpret_cast<float*>(scratch);
  std::byte* decoded = scratch + kPieceCols * kDepth * sizeof(float);
  for (int64_t first = 0; first < w.rows; first += kDepth) {
    const int64_t depth = w.rows - first < kDepth ? w.rows - first : kDepth;
    const int64_t panel = first / kPanelRows;
    transpose_weights(w, panel, panel + (depth + kPanelRows - 1) / kPanelRows, piece.col_begin,
                      piece.col_end - piece.col_begin, turned, decoded);
    const RightFactor right{turned, kPanelRows, kPanelRows * kDepth};
    each_tile<Simd::kFloatRows>(piece.begin, piece.end, [&]<int kRows>(int64_t row) {
      input_grad_rows<kRows>(dy, row, first, depth, right, dx, piece);
    });
  }
}

// Columns [begin, end) of `depth` rows of x from `first` on: to[tile of kFloatRows columns][row].
static void pack_left(const ConstView& x, int64_t first, int64_t depth, int64_t begin, int64_t end,
                      float* to) {
  constexpr int kTile = Simd::kFloatRows;
  for (int64_t t = 0; t < depth; ++t) {
    const float* from = x.row<float>(first + t);
    float* at = to + t * kTile;
    int64_t k = begin;
    for (; k + kTile <= end; k += kTile, at += kTile * kDepth) {
      __builtin_memcpy(at, from + k, kTile * sizeof(float));
    }
    for (int64_t i = k; i < end; ++i) at[i - k] = from[i];
  }
}

// Columns of `depth` rows of dy from `first` on in panels of 16, the last one padded with zeros.
static void pack_right(const ConstView& dy, int64_t first, int64_t depth, int64_t panel_begin,
                       int64_t panel_end, float* to) {
  for (int64_t t = 0; t < depth; ++t) {
    const float* from = dy.row<float>(first + t);
    float* at = to + t * kPanelRows;
    for (int64_t p = panel_begin; p < panel_end; ++p, at += kPanelRows * kDepth) {
      const int64_t left = dy.cols - p * kPanelRows;
      if (left >= kPanelRows) {
        __builtin_memcpy(at, from + p * kPanelRows, kPanelRows * sizeof(float));
      } else {
        for (int64_t i = 0; i < kPanelRows; ++i) at[i] = i < left ? from[p * kPanelRows + i] : 0.0f;
      }
    }
  }
}

void matmul_weight_grad(const ConstView& dy, const ConstView& x, bool add, float* dw,
                        const MatmulPiece& piece, std::byte* scratch) {
  constexpr int kTile = Simd::kFloatRows;
  auto* right = reinterpret_cast<float*>(scratch);
  float* left = right + kPiecePanels * kPanelRows * kDepth;
  const int64_t panel_step = kPanelRows * x.cols;
  float* corner = dw + piece.begin * panel_step + piece.col_begin * kPanelRows;
  for (int64_t first = 0; first < x.rows; first += kDepth) {
    const int64_t depth = x.rows - first < kDepth ? x.rows - first : kDepth;
    pack_right(dy, first, depth, piece.begin, piece.end, right);
    pack_left(x, first, depth, piece.col_begin, piece.col_end, left);
    const Product out{corner, kPanelRows, panel_step, add || first > 0};
    each_tile<kTile>(0, piece.col_end - piece.col_begin, [&]<int kRows>(int64_t k) {
      const LeftFactor<1, kTile> a{left + k * kDepth};
      product_row<kRows>(a, {right, kPanelRows, kPanelRows * kDepth}, depth,
                         piece.end - piece.begin, out.from(k, 0));
    });
  }
}
