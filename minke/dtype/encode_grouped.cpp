// Blocks whose groups share d and m, in steps of whole numbers. d and m follow from the groups'
// fits; each group takes the best pair of whole numbers nearby; with all whole numbers held, d and
// m are solved for; and so on while the block's error falls.
#include <algorithm>
#include <cmath>
#include <limits>

#include "minke/dtype/encode_blocks.h"
#include "minke/dtype/half.h"

namespace minke {
namespace {

constexpr int kRoundsMax = 3;
constexpr int kBatchBlocksMax = 2;  // 16 lanes hold two blocks of eight groups

// Whole numbers of each group, and what levels they led to.
struct Steps {
  int scale[kBatchLanes] = {};
  int min[kBatchLanes] = {};
  GroupBatch::Lanes error, sum_l, sum_ll, sum_xl;
};

struct Units {
  float d = 0.0f, m = 0.0f;
};

// A block's best so far.
struct BestBlock {
  double error = std::numeric_limits<double>::max();
  Units units;
  int scale[kBlockGroupsMax] = {};
  int min[kBlockGroupsMax] = {};
};

struct Range {
  int first, last;  // lanes of a block
};

int whole_near(float x, int low, int high) {
  const float limited = std::max(static_cast<float>(low), std::min(static_cast<float>(high), x));
  return static_cast<int>(std::lrintf(limited));
}

class GroupedBatch {
 public:
  GroupedBatch(const GroupKernels& kernels, const BlockFormat& format, GroupBatch& batch,
               int num_blocks)
      : kernels_(kernels), format_(format), batch_(batch), num_blocks_(num_blocks) {}

  void encode(BlockFields* fields) {
    turn_blocks();
    kernels_.fit_groups(batch_);
    std::copy_n(batch_.s, kBatchLanes, fit_s_);
    std::copy_n(batch_.t, kBatchLanes, fit_t_);
    for (int b = 0; b < num_blocks_; ++b) units_[b] = first_units(lanes_of(b));
    bool falls = true;
    for (int round = 0; round < kRoundsMax && falls; ++round) {
      for (Units& units : units_) {  // as they will be stored
        units = {f16_to_f32(finite_f16(units.d)), f16_to_f32(finite_f16(units.m))};
      }
      choose_steps();
      falls = false;
      for (int b = 0; b < num_blocks_; ++b) falls = keep_if_better(b) || falls;
      if (falls) refit();
    }
    store(fields);
  }

 private:
  Range lanes_of(int block) const {
    return {block * format_.num_groups(), (block + 1) * format_.num_groups()};
  }

  // Groups whose mins are above zero cannot say so, but the block can be turned upside down: with
  // -d and -m it means -x.
  void turn_blocks() {
    if (!format_.has_min) return;
    GroupBatch::Lanes low, high;
    std::copy_n(batch_.x[0], kBatchLanes, low);
    std::copy_n(batch_.x[0], kBatchLanes, high);
    for (int i = 1; i < batch_.size; ++i) {
      for (int j = 0; j < kBatchLanes; ++j) {
        low[j] = std::min(low[j], batch_.x[i][j]);
        high[j] = std::max(high[j], batch_.x[i][j]);
      }
    }
    for (int b = 0; b < num_blocks_; ++b) {
      double above = 0, below = 0;
      for (int j = lanes_of(b).first; j < lanes_of(b).last; ++j) {
        above += std::max(0.0f, low[j]);
        below += std::max(0.0f, -high[j]);
      }
      if (!(above > below)) continue;
      sign_[b] = -1.0f;
      for (int i = 0; i < batch_.size; ++i) {
        for (int j = lanes_of(b).first; j < lanes_of(b).last; ++j) batch_.x[i][j] *= -1.0f;
      }
    }
  }

  int scale_low() const { return -format_.scale_bias; }
  int scale_high() const { return (1 << format_.scale_bits) - 1 - format_.scale_bias; }
  int min_high() const { return format_.has_min ? (1 << format_.scale_bits) - 1 : 0; }

  Units first_units(Range lanes) const {
    float widest = 0.0f, deepest = 0.0f;
    for (int j = lanes.first; j < lanes.last; ++j) {
      if (std::fabs(fit_s_[j]) > std::fabs(widest)) widest = fit_s_[j];
      deepest = std::max(deepest, -fit_t_[j]);
    }
    // The longer side of a signed scale's range is the negative one.
    const int outermost = format_.scale_bias > 0 ? scale_low() : scale_high();
    return {widest / static_cast<float>(outermost),
            format_.has_min ? deepest / static_cast<float>(min_high()) : 0.0f};
  }

  // For each group the scale next to its fit's and its two neighbours, each with the min that suits
  // it, are tried. For held levels the error's slope over t is zero on a line through the fit: when
  // s is off by e, the best t is off by -e sum_l / sum_w.
  void choose_steps() {
    GroupBatch::Lanes slope;
    for (int j = 0; j < kBatchLanes; ++j) {
      slope[j] = batch_.sum_w[j] > 0.0f ? batch_.sum_l[j] / batch_.sum_w[j] : 0.0f;
    }
    std::fill_n(steps_.error, kBatchLanes, std::numeric_limits<float>::max());
    for (const int offset : {0, -1, 1}) {
      int scale[kBatchLanes] = {}, min[kBatchLanes] = {};
      for (int b = 0; b < num_blocks_; ++b) {
        const auto [d, m] = units_[b];
        const float inverse_d = d != 0.0f ? 1.0f / d : 0.0f;
        const float inverse_m = m != 0.0f ? 1.0f / m : 0.0f;
        for (int j = lanes_of(b).first; j < lanes_of(b).last; ++j) {
          const int near = whole_near(fit_s_[j] * inverse_d, scale_low(), scale_high());
          scale[j] = std::clamp(near + offset, scale_low(), scale_high());
          batch_.s[j] = d * static_cast<float>(scale[j]);
          const float t = fit_t_[j] - slope[j] * (batch_.s[j] - fit_s_[j]);
          min[j] = whole_near(-t * inverse_m, 0, min_high());
          batch_.t[j] = -m * static_cast<float>(min[j]);
        }
      }
      kernels_.round_groups(batch_);
      keep_better_groups(scale, min);
    }
  }

  void keep_better_groups(const int* scale, const int* min) {
    for (int j = 0; j < kBatchLanes; ++j) {
      if (!(batch_.error[j] < steps_.error[j])) continue;
      steps_.error[j] = batch_.error[j];
      steps_.scale[j] = scale[j];
      steps_.min[j] = min[j];
      steps_.sum_l[j] = batch_.sum_l[j];
      steps_.sum_ll[j] = batch_.sum_ll[j];
      steps_.sum_xl[j] = batch_.sum_xl[j];
    }
  }

  bool keep_if_better(int block) {
    const Range lanes = lanes_of(block);
    double error = 0;
    for (int j = lanes.first; j < lanes.last; ++j) error += steps_.error[j];
    if (!(error < best_[block].error)) return false;
    best_[block].error = error;
    best_[block].units = units_[block];
    std::copy(steps_.scale + lanes.first, steps_.scale + lanes.last, best_[block].scale);
    std::copy(steps_.min + lanes.first, steps_.min + lanes.last, best_[block].min);
    units_[block] = solve_units(lanes, units_[block]);
    return true;
  }

  // The best d and m when all whole numbers are held: least squares over x = d (scale l) - m min.
  Units solve_units(Range lanes, Units units) const {
    double uu = 0, uv = 0, vv = 0, xu = 0, xv = 0;
    for (int j = lanes.first; j < lanes.last; ++j) {
      const double scale = steps_.scale[j], min = -steps_.min[j];
      uu += scale * scale * steps_.sum_ll[j];
      uv += scale * min * steps_.sum_l[j];
      vv += min * min * batch_.sum_w[j];
      xu += scale * steps_.sum_xl[j];
      xv += min * batch_.sum_x[j];
    }
    const double determinant = uu * vv - uv * uv;
    if (vv > 0 && determinant > 0) {
      return {static_cast<float>((xu * vv - xv * uv) / determinant),
              static_cast<float>((xv * uu - xu * uv) / determinant)};
    }
    return {uu > 0 ? static_cast<float>(xu / uu) : units.d, units.m};
  }

  // The groups' own best s and t for the levels that the steps led to.
  void refit() {
    std::copy_n(steps_.sum_l, kBatchLanes, batch_.sum_l);
    for (int j = 0; j < kBatchLanes; ++j) {
      const float ll = steps_.sum_ll[j], xl = steps_.sum_xl[j], l = steps_.sum_l[j];
      if (!(ll > 0.0f)) continue;
      fit_s_[j] = xl / ll;
      fit_t_[j] = 0.0f;
      const float determinant = batch_.sum_w[j] * ll - l * l;
      if (!format_.has_min || !(determinant > 0.0f)) continue;
      const float s = (batch_.sum_w[j] * xl - batch_.sum_x[j] * l) / determinant;
      const float t = (batch_.sum_x[j] - s * l) / batch_.sum_w[j];
      if (t > 0.0f) continue;
      fit_s_[j] = s;
      fit_t_[j] = t;
    }
  }

  void store(BlockFields* fields) {
    for (int b = 0; b < num_blocks_; ++b) {
      const BestBlock& best = best_[b];
      fields[b].d = f32_to_f16(sign_[b] * best.units.d);
      fields[b].m = f32_to_f16(sign_[b] * best.units.m);
      for (int g = 0; g < format_.num_groups(); ++g) {
        fields[b].scale[g] = static_cast<uint8_t>(best.scale[g] + format_.scale_bias);
        fields[b].min[g] = static_cast<uint8_t>(best.min[g]);
        const int lane = lanes_of(b).first + g;
        batch_.s[lane] = best.units.d * static_cast<float>(best.scale[g]);
        batch_.t[lane] = -best.units.m * static_cast<float>(best.min[g]);
      }
    }
    kernels_.round_groups(batch_);
  }

  const GroupKernels& kernels_;
  const BlockFormat& format_;
  GroupBatch& batch_;
  const int num_blocks_;
  float sign_[kBatchBlocksMax] = {1.0f, 1.0f};
  Units units_[kBatchBlocksMax];
  GroupBatch::Lanes fit_s_, fit_t_;
  Steps steps_;
  BestBlock best_[kBatchBlocksMax];
};

}  // namespace

void encode_grouped(const GroupKernels& kernels, const BlockFormat& format, GroupBatch& batch,
                    int num_blocks, BlockFields* fields) {
  GroupedBatch(kernels, format, batch, num_blocks).encode(fields);
}

}  // namespace minke
