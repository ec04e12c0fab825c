// Encoding by least squares. A group's elements x are to be near s l + t with l = q - bias whole in
// [low, high]. For given s and t the best l is the nearest; for given l the best s and t solve a
// linear system of two equations. fit_group() alternates between the two from several starts.
//
// Where groups share d and m in steps of whole numbers, encode_grouped() derives d and m from the
// fits, takes for each group the best pair of whole numbers nearby, solves for d and m with all
// whole numbers held, and repeats while the block's error falls.
#include <algorithm>
#include <cmath>
#include <limits>

#include "minke/base/check.h"
#include "minke/dtype/block_format.h"
#include "minke/dtype/half.h"

namespace minke {
namespace {

constexpr float kHuge = std::numeric_limits<float>::max();
// The largest element may be cut by up to a step, or the steps stretched by half of one: further
// starts found nothing better on normal, heavy-tailed and real weights (docs/log.md).
constexpr float kCutFirst = -0.5f, kCutLast = 1.0f, kCutStep = 0.25f;
constexpr int kAlternationsMax = 4;
constexpr int kRoundsMax = 3;

struct Group {
  const float* x;
  int size;
  float low, high;  // range of l
  bool has_min;
  bool min_below_zero;  // t <= 0 is all that the format can say
};

struct Fit {
  float s = 0.0f, t = 0.0f;
  float error = kHuge;  // squared, summed over the group
};

// Nearest whole number of a float within +-2^22, in plain arithmetic that every vector set has.
float nearest(float x) {
  constexpr float kShift = 0x1.8p23f;
  return (x + kShift) - kShift;
}

// A sum over a group in kLanes partial sums, which a compiler may keep in a vector.
constexpr int kLanes = 8;
struct LaneSum {
  float lane[kLanes] = {};
  float total() const {
    float sum = 0;
    for (const float x : lane) sum += x;
    return sum;
  }
};

// The best l for s and t, and the squared error that they leave. (The order of the arguments of min
// and max turns NaN into a level.)
float round_to_levels(const Group& group, float s, float t, float* l) {
  const float inverse = s != 0.0f ? 1.0f / s : 0.0f;
  const float low = group.low, high = group.high;
  LaneSum error;
  for (int i = 0; i < group.size; i += kLanes) {
    for (int j = 0; j < kLanes; ++j) {
      const float above = group.x[i + j] - t;
      l[i + j] = nearest(std::max(low, std::min(high, above * inverse)));
      const float rest = above - s * l[i + j];
      error.lane[j] += rest * rest;
    }
  }
  return error.total();
}

// The best s and t for levels l; leaves them as they are where l does not determine them.
void solve_scale(const Group& group, const float* l, float& s, float& t) {
  LaneSum lane_l, lane_ll, lane_x, lane_xl;
  for (int i = 0; i < group.size; i += kLanes) {
    for (int j = 0; j < kLanes; ++j) {
      lane_l.lane[j] += l[i + j];
      lane_ll.lane[j] += l[i + j] * l[i + j];
      lane_x.lane[j] += group.x[i + j];
      lane_xl.lane[j] += group.x[i + j] * l[i + j];
    }
  }
  const float sum_ll = lane_ll.total(), sum_xl = lane_xl.total();
  if (group.has_min) {
    const auto n = static_cast<float>(group.size);
    const float sum_l = lane_l.total(), sum_x = lane_x.total();
    const float determinant = n * sum_ll - sum_l * sum_l;
    if (!(determinant > 0.0f)) return;
    s = (n * sum_xl - sum_x * sum_l) / determinant;
    t = (sum_x - s * sum_l) / n;
    if (!group.min_below_zero || t <= 0.0f) return;
    t = 0.0f;
  }
  if (sum_ll > 0.0f) s = sum_xl / sum_ll;
}

// Alternates from the start s, t and keeps the best in `best`.
void improve(const Group& group, float s, float t, int alternations, Fit& best) {
  float l[32];
  for (int i = 0; i <= alternations; ++i) {
    const float error = round_to_levels(group, s, t, l);
    if (error < best.error) {
      best = {s, t, error};
    } else if (i > 0) {
      return;
    }
    solve_scale(group, l, s, t);
  }
}

Fit fit_group(const Group& group) {
  const auto [low_at, high_at] = std::minmax_element(group.x, group.x + group.size);
  const float low = group.min_below_zero ? std::min(*low_at, 0.0f) : *low_at;
  const float high = group.min_below_zero ? std::max(*high_at, low) : *high_at;
  // With 8 bits a cut of one step is less than a hundredth of the scale: one start will do.
  const float first = group.high > 100.0f ? 0.0f : kCutFirst;
  const float last = group.high > 100.0f ? 0.0f : kCutLast;
  Fit best;
  if (group.has_min) {
    if (!(high > low)) return {0.0f, low, 0.0f};
    for (float cut = first; cut <= last; cut += kCutStep) {
      improve(group, (high - low) / (group.high + cut), low, 1, best);
    }
  } else {
    // The longer side of the range is the negative one; it can serve either sign of x.
    const float extreme = -low > high ? low : high;
    if (extreme == 0.0f) return {0.0f, 0.0f, 0.0f};
    for (float cut = first; cut <= last; cut += kCutStep) {
      improve(group, extreme / (group.low - cut), 0.0f, 1, best);
      improve(group, extreme / (group.high + cut), 0.0f, 1, best);
    }
  }
  const Fit start = best;
  improve(group, start.s, start.t, kAlternationsMax, best);
  return best;
}

// f16, kept finite: an infinite scale would decode to NaN.
uint16_t finite_f16(float x) { return f32_to_f16(std::max(-65504.0f, std::min(65504.0f, x))); }

void store_levels(const BlockFormat& format, const Group& group, float s, float t, uint8_t* q) {
  float l[32];
  round_to_levels(group, s, t, l);
  for (int i = 0; i < group.size; ++i) {
    q[i] = static_cast<uint8_t>(static_cast<int>(l[i]) + format.bias);
  }
}

Group group_of(const BlockFormat& format, const float* x) {
  Group group;
  group.x = x;
  group.size = format.group_size;
  // 8 bits keep to -127 as every other writer does, since readers may negate the numbers.
  group.low = static_cast<float>(format.bits == 8 ? 1 - format.bias : -format.bias);
  group.high = static_cast<float>((1 << format.bits) - 1 - format.bias);
  group.has_min = format.has_min;
  group.min_below_zero = format.has_min && format.scale_bits > 0;
  return group;
}

// d and m are one group's own: the fit, rounded to f16.
void encode_single(const BlockFormat& format, const float* x, BlockFields& fields) {
  const Group group = group_of(format, x);
  const Fit fit = fit_group(group);
  fields.d = finite_f16(fit.s);
  fields.m = finite_f16(fit.t);
  store_levels(format, group, f16_to_f32(fields.d), f16_to_f32(fields.m), fields.q);
}

// The whole block while d, m and the groups' whole numbers are sought.
struct Grouped {
  float d = 0.0f, m = 0.0f;  // values of f16
  int scale[kBlockGroupsMax] = {};
  int min[kBlockGroupsMax] = {};
  double error = std::numeric_limits<double>::max();
};

// The whole numbers near the fit's s / d and -t / m that leave the least error; `l` gets the
// levels.
float choose_steps(const BlockFormat& format, const Group& group, const Fit& fit, float d, float m,
                   int* scale, int* min, float* l) {
  const int scale_low = -format.scale_bias;
  const int scale_high = (1 << format.scale_bits) - 1 - format.scale_bias;
  const int min_high = format.has_min ? (1 << format.scale_bits) - 1 : 0;
  const auto near = [](float x, float unit, int low, int high) {
    const float steps = unit != 0.0f ? x / unit : 0.0f;
    return std::clamp(static_cast<int>(std::lrintf(steps)), low, high);
  };
  const int scale_near = near(fit.s, d, scale_low, scale_high);
  const int min_near = near(-fit.t, m, 0, min_high);
  float best = kHuge;
  for (int a = std::max(scale_low, scale_near - 1); a <= std::min(scale_high, scale_near + 1);
       ++a) {
    for (int b = std::max(0, min_near - 1); b <= std::min(min_high, min_near + 1); ++b) {
      float levels[32];
      const float error =
          round_to_levels(group, d * static_cast<float>(a), -m * static_cast<float>(b), levels);
      if (!(error < best)) continue;
      best = error;
      *scale = a;
      *min = b;
      std::copy_n(levels, group.size, l);
    }
  }
  return best;
}

// The best d and m when all whole numbers are held: least squares over x = d (scale l) - m min.
void solve_units(const BlockFormat& format, const float* x, const Grouped& block, const float* l,
                 float& d, float& m) {
  double uu = 0, uv = 0, vv = 0, xu = 0, xv = 0;
  for (int i = 0; i < format.block_size; ++i) {
    const int g = i / format.group_size;
    const double u = static_cast<double>(l[i]) * block.scale[g], v = -block.min[g];
    uu += u * u;
    uv += u * v;
    vv += v * v;
    xu += x[i] * u;
    xv += x[i] * v;
  }
  const double determinant = uu * vv - uv * uv;
  if (vv > 0 && determinant > 0) {
    d = static_cast<float>((xu * vv - xv * uv) / determinant);
    m = static_cast<float>((xv * uu - xu * uv) / determinant);
  } else if (uu > 0) {
    d = static_cast<float>(xu / uu);
  }
}

// Groups whose mins are above zero cannot say so, but the block can be turned upside down: with -d
// and -m it means -x.
bool should_negate(const BlockFormat& format, const float* x) {
  if (!format.has_min) return false;
  double above = 0, below = 0;
  for (int g = 0; g < format.num_groups(); ++g, x += format.group_size) {
    const auto [low, high] = std::minmax_element(x, x + format.group_size);
    above += std::max(0.0f, *low);
    below += std::max(0.0f, -*high);
  }
  return above > below;
}

void encode_grouped(const BlockFormat& format, const float* values, BlockFields& fields) {
  float x[kBlockElementsMax], l[kBlockElementsMax];
  const float sign = should_negate(format, values) ? -1.0f : 1.0f;
  for (int i = 0; i < format.block_size; ++i) x[i] = sign * values[i];
  Fit fits[kBlockGroupsMax];
  float widest = 0.0f, deepest = 0.0f;
  for (int g = 0; g < format.num_groups(); ++g) {
    fits[g] = fit_group(group_of(format, x + g * format.group_size));
    if (std::fabs(fits[g].s) > std::fabs(widest)) widest = fits[g].s;
    deepest = std::max(deepest, -fits[g].t);
  }
  // The longer side of a signed scale's range is the negative one.
  const int steps = (1 << format.scale_bits) - 1;
  float d = widest / static_cast<float>(format.scale_bias > 0 ? -format.scale_bias : steps);
  float m = deepest / static_cast<float>(steps);
  Grouped best;
  for (int round = 0; round < kRoundsMax; ++round) {
    Grouped block;
    block.d = f16_to_f32(finite_f16(d));
    block.m = f16_to_f32(finite_f16(m));
    block.error = 0;
    for (int g = 0; g < format.num_groups(); ++g) {
      const int first = g * format.group_size;
      block.error += choose_steps(format, group_of(format, x + first), fits[g], block.d, block.m,
                                  &block.scale[g], &block.min[g], l + first);
    }
    if (!(block.error < best.error)) break;
    best = block;
    solve_units(format, x, block, l, d, m);
  }
  fields.d = f32_to_f16(sign * best.d);
  fields.m = f32_to_f16(sign * best.m);
  for (int g = 0; g < format.num_groups(); ++g) {
    const int first = g * format.group_size;
    fields.scale[g] = static_cast<uint8_t>(best.scale[g] + format.scale_bias);
    fields.min[g] = static_cast<uint8_t>(best.min[g]);
    store_levels(format, group_of(format, x + first), best.d * static_cast<float>(best.scale[g]),
                 -best.m * static_cast<float>(best.min[g]), fields.q + first);
  }
}

}  // namespace

void encode_blocks(const BlockFormat& format, const float* values, int64_t num_blocks,
                   std::byte* blocks) {
  MK_CHECK(format.join != nullptr, "encode: minke does not write {}",
           dtype_info(format.dtype).name);
  BlockFields fields;
  for (int64_t b = 0; b < num_blocks; ++b, values += format.block_size) {
    if (format.scale_bits == 0) {
      encode_single(format, values, fields);
    } else {
      encode_grouped(format, values, fields);
    }
    format.join(fields, blocks);
    blocks += dtype_info(format.dtype).block_bytes;
  }
}

}  // namespace minke
