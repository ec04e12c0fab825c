#pragma once

// The part of encoding that takes the time, over sixteen groups side by side: a group is one lane
// of every vector, so its sums run over its own elements in their order, and the bits of the result
// do not depend on how many lanes an instruction set handles at once.
namespace minke {

inline constexpr int kBatchLanes = 16;
inline constexpr int kGroupSizeMax = 32;

/// Sixteen groups whose elements x are to be near s l + t with l whole in [low, high].
struct alignas(64) GroupBatch {
  using Lanes = float[kBatchLanes];

  Lanes x[kGroupSizeMax];
  Lanes weight[kGroupSizeMax];  ///< of each element's squared error; read where `weighted`
  Lanes l[kGroupSizeMax];       ///< set by round_groups()
  Lanes s, t;

  // Weighted sums over each group: of x, of the levels, and of the squared rest.
  Lanes sum_w, sum_x;           ///< set by fit_groups() only
  Lanes sum_l, sum_ll, sum_xl;  ///< set by both
  Lanes error;                  ///< set by round_groups()

  float low = 0.0f, high = 0.0f;
  int size = 0;                 ///< elements a group: 16 or 32
  bool has_min = false;         ///< t is sought; else it is 0
  bool min_below_zero = false;  ///< t <= 0 is all that the format can say
  bool weighted = false;
};

/// The functions for one instruction set. All rows of group_kernels() give the same bits.
struct GroupKernels {
  const char* name;
  bool (*is_supported)();  ///< by this CPU
  /// Seeks the s and t of every group that leave the least squared error.
  void (*fit_groups)(GroupBatch& batch);
  /// Rounds to the levels of the given s and t.
  void (*round_groups)(GroupBatch& batch);
};

/// Those for this kind of CPU, the fastest first; the last is supported by all.
struct GroupKernelList {
  const GroupKernels* rows;
  int count;
};
/// See GroupKernelList.
GroupKernelList group_kernels();

}  // namespace minke
