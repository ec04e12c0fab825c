// The functions of GroupKernels over vectors of kWidth floats. Included inside a namespace, by a
// file of each instruction set, so that what is compiled for one is not linked into another. Plain
// operators, products and sums never fused: all widths give the same bits.

typedef float Vector __attribute__((vector_size(kWidth * sizeof(float))));

// A search starts from scales that put the outermost element so many steps past the outermost
// level. Finer steps and a wider range took at most 0.3 % off the error of normal, heavy-tailed and
// real weights (docs/log.md). Without a minimum there are two starts each: the negative side of the
// levels may be the longer one, and can serve either sign of x.
constexpr float kCutFirst = -1.0f, kCutLast = 1.5f;
constexpr float kCutStepWithMin = 0.25f, kCutStepWithoutMin = 0.5f;
constexpr int kAlternations = 2;

inline Vector load(const float* at) { return *reinterpret_cast<const Vector*>(at); }
inline void store(float* at, Vector v) { *reinterpret_cast<Vector*>(at) = v; }
inline Vector broadcast(float x) { return Vector{} + x; }
inline Vector smaller(Vector a, Vector b) { return a < b ? a : b; }
inline Vector larger(Vector a, Vector b) { return a > b ? a : b; }

// a / b, or 0 where b is.
inline Vector quotient(Vector a, Vector b) {
  const Vector divisor = b == 0.0f ? broadcast(1.0f) : b;
  return b == 0.0f ? Vector{} : a / divisor;
}

// Nearest whole number of a float within +-2^22.
inline Vector nearest(Vector x) {
  const Vector shift = broadcast(0x1.8p23f);
  return (x + shift) - shift;
}

struct LevelSums {
  Vector l, ll, xl;
};

struct Fit {
  Vector s, t;
  Vector gain;  // what s l + t takes off the group's sum of squares
  LevelSums sums;
};

// kWidth groups of a batch.
template <bool kHasMin, bool kWeighted>
struct Groups {
  const GroupBatch& batch;
  int first;
  Vector low, high;
  Vector sum_w, sum_x;

  Groups(const GroupBatch& of, int first_lane)
      : batch(of),
        first(first_lane),
        low(broadcast(of.low)),
        high(broadcast(of.high)),
        sum_w(kWeighted ? Vector{} : broadcast(static_cast<float>(of.size))),
        sum_x{} {}

  Vector x(int i) const { return load(batch.x[i] + first); }
  Vector weight(int i) const { return load(batch.weight[i] + first); }

  Vector levels(Vector x_i, Vector inverse, Vector t) const {
    const Vector above = kHasMin ? x_i - t : x_i;
    return nearest(larger(low, smaller(high, above * inverse)));
  }

  void add(LevelSums& sums, Vector x_i, Vector l, int i) const {
    const Vector wl = kWeighted ? weight(i) * l : l;
    if (kHasMin) sums.l += wl;
    sums.ll += wl * l;
    sums.xl += wl * x_i;
  }

  // The best s and t for the levels of these sums; the given ones where they do not determine them.
  Fit solve(const LevelSums& sums, Vector s, Vector t) const {
    const Vector s_alone = quotient(sums.xl, sums.ll);  // with t = 0
    if (!kHasMin) return {s_alone, Vector{}, s_alone * sums.xl, sums};
    const Vector determinant = sum_w * sums.ll - sums.l * sums.l;
    const auto known = determinant > 0.0f;
    Fit fit;
    fit.s = known ? quotient(sum_w * sums.xl - sum_x * sums.l, determinant) : s;
    fit.t = known ? quotient(sum_x - fit.s * sums.l, sum_w) : t;
    if (batch.min_below_zero) {
      const auto above = fit.t > 0.0f;
      fit.s = above ? s_alone : fit.s;
      fit.t = above ? Vector{} : fit.t;
    }
    fit.gain = fit.s * sums.xl + fit.t * sum_x;
    fit.sums = sums;
    return fit;
  }

  // Keeps what the levels of s and t lead to, if it is better.
  void improve(Vector s, Vector t, Fit& best) const {
    const Vector inverse = quotient(broadcast(1.0f), s);
    LevelSums sums = {};
    for (int i = 0; i < batch.size; ++i) add(sums, x(i), levels(x(i), inverse, t), i);
    const Fit fit = solve(sums, s, t);
    const auto better = fit.gain > best.gain;
    best.s = better ? fit.s : best.s;
    best.t = better ? fit.t : best.t;
    best.gain = better ? fit.gain : best.gain;
    best.sums.l = better ? sums.l : best.sums.l;
    best.sums.ll = better ? sums.ll : best.sums.ll;
    best.sums.xl = better ? sums.xl : best.sums.xl;
  }
};

template <bool kHasMin, bool kWeighted>
void fit(GroupBatch& batch, int first) {
  Groups<kHasMin, kWeighted> groups(batch, first);
  Vector low = groups.x(0), high = low;
  for (int i = 0; i < batch.size; ++i) {
    const Vector x = groups.x(i);
    low = smaller(low, x);
    high = larger(high, x);
    if (kWeighted) groups.sum_w += groups.weight(i);
    groups.sum_x += kWeighted ? groups.weight(i) * x : x;
  }
  if (batch.min_below_zero) {
    low = smaller(low, Vector{});
    high = larger(high, low);
  }
  // With 8 bits a step is less than a hundredth of the scale: one start will do.
  const bool one_start = batch.high > 100.0f;
  const float cut_first = one_start ? 0.0f : kCutFirst, cut_last = one_start ? 0.0f : kCutLast;
  Fit best = {Vector{}, kHasMin ? low : Vector{}, broadcast(-1e38f), LevelSums{}};
  for (float cut = cut_first; cut <= cut_last;
       cut += kHasMin ? kCutStepWithMin : kCutStepWithoutMin) {
    if (kHasMin) {
      groups.improve((high - low) / broadcast(batch.high + cut), low, best);
    } else {
      const Vector extreme = -low > high ? low : high;
      groups.improve(extreme / broadcast(batch.low - cut), Vector{}, best);
      groups.improve(extreme / broadcast(batch.high + cut), Vector{}, best);
    }
  }
  for (int i = 0; i < kAlternations; ++i) groups.improve(best.s, best.t, best);
  store(batch.s + first, best.s);
  store(batch.t + first, best.t);
  store(batch.sum_w + first, groups.sum_w);
  store(batch.sum_x + first, groups.sum_x);
  store(batch.sum_l + first, best.sums.l);
  store(batch.sum_ll + first, best.sums.ll);
  store(batch.sum_xl + first, best.sums.xl);
}

template <bool kHasMin, bool kWeighted>
void round(GroupBatch& batch, int first) {
  const Groups<kHasMin, kWeighted> groups(batch, first);
  const Vector s = load(batch.s + first), t = load(batch.t + first);
  const Vector inverse = quotient(broadcast(1.0f), s);
  LevelSums sums = {};
  Vector error = {};
  for (int i = 0; i < batch.size; ++i) {
    const Vector x = groups.x(i);
    const Vector l = groups.levels(x, inverse, t);
    store(batch.l[i] + first, l);
    groups.add(sums, x, l, i);
    const Vector rest = (kHasMin ? x - t : x) - s * l;
    error += kWeighted ? groups.weight(i) * rest * rest : rest * rest;
  }
  store(batch.sum_l + first, sums.l);
  store(batch.sum_ll + first, sums.ll);
  store(batch.sum_xl + first, sums.xl);
  store(batch.error + first, error);
}

void fit_groups(GroupBatch& batch) {
  for (int first = 0; first < kBatchLanes; first += kWidth) {
    if (batch.has_min) {
      batch.weighted ? fit<true, true>(batch, first) : fit<true, false>(batch, first);
    } else {
      batch.weighted ? fit<false, true>(batch, first) : fit<false, false>(batch, first);
    }
  }
}

void round_groups(GroupBatch& batch) {
  for (int first = 0; first < kBatchLanes; first += kWidth) {
    if (batch.has_min) {
      batch.weighted ? round<true, true>(batch, first) : round<true, false>(batch, first);
    } else {
      batch.weighted ? round<false, true>(batch, first) : round<false, false>(batch, first);
    }
  }
}
