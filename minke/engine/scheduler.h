#pragma once
#include <cstdint>
#include <vector>

namespace minke {

/// What the scheduler knows of a sequence.
struct SequenceState {
  int64_t num_tokens = 0;    ///< known: prompt and what was generated
  int64_t num_computed = 0;  ///< of these, tokens whose keys and values are in the cache
  int64_t num_pages = 0;     ///< pages it holds
};

/// Bounds of one step: sequences that run together, and rows of one forward.
struct ScheduleLimits {
  int sequences_max = 16;
  int chunk_tokens = 512;
};

/// What the next forward computes.
struct SchedulePlan {
  int num_admitted = 0;  ///< this many from the front of `waiting` join the end of `running`
  int num_preempted =
      0;  ///< this many from the end of `running` go back to the front of `waiting`;
          ///< they lose their pages and are computed anew later, to the same bits
  std::vector<int> num_rows;  ///< tokens to compute for each sequence of the new `running`
};

/// Plans one step, as a pure function. Sequences run in order of admission. The oldest ones get
/// their pages first: when pages run out, the youngest are preempted, never the oldest, so that one
/// always ends. Sequences that generate take one row each; prompts share what is left of
/// chunk_tokens. A waiting one is admitted when pages for all its tokens and one more are free.
/// Requires that the pool's pages suffice for any one sequence.
SchedulePlan plan_step(const std::vector<SequenceState>& running,
                       const std::vector<SequenceState>& waiting, int64_t num_free_pages,
                       const ScheduleLimits& limits);

/// Pages that `num_tokens` tokens need.
int64_t pages_for(int64_t num_tokens);

}  // namespace minke
