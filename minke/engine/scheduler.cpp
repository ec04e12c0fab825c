#include "minke/engine/scheduler.h"

#include <algorithm>

#include "minke/base/check.h"
#include "minke/kernels/panel.h"

namespace minke {
namespace {

// Rows for each sequence within the budget: first one for each that generates, then the prompts in
// order.
std::vector<int> share_rows(const std::vector<SequenceState>& sequences, int budget) {
  std::vector<int> rows(sequences.size(), 0);
  const auto left_of = [&](size_t i) {
    return sequences[i].num_tokens - sequences[i].num_computed;
  };
  for (size_t i = 0; i < sequences.size() && budget > 0; ++i) {
    if (left_of(i) == 1) {
      rows[i] = 1;
      --budget;
    }
  }
  for (size_t i = 0; i < sequences.size() && budget > 0; ++i) {
    if (rows[i] > 0) continue;
    rows[i] = static_cast<int>(std::min<int64_t>(left_of(i), budget));
    budget -= rows[i];
  }
  return rows;
}

int64_t pages_wanted(const SequenceState& sequence, int rows) {
  return std::max<int64_t>(0, pages_for(sequence.num_computed + rows) - sequence.num_pages);
}

}  // namespace

int64_t pages_for(int64_t num_tokens) {
  return (num_tokens + kernels::kPageTokens - 1) / kernels::kPageTokens;
}

SchedulePlan plan_step(const std::vector<SequenceState>& running,
                       const std::vector<SequenceState>& waiting, int64_t num_free_pages,
                       const ScheduleLimits& limits) {
  SchedulePlan plan;
  std::vector<SequenceState> active = running;
  // Admit, leaving a page of room for each sequence that already runs.
  int64_t spare = num_free_pages - static_cast<int64_t>(active.size());
  for (const SequenceState& next : waiting) {
    const int64_t needed = pages_for(next.num_tokens + 1);
    const bool alone = active.empty();
    if (static_cast<int>(active.size()) >= limits.sequences_max) break;
    if (!alone && needed > spare) break;
    spare -= needed;
    active.push_back(next);
    ++plan.num_admitted;
  }
  // Share the rows; while their pages are not free, the youngest sequence gives its own back.
  int64_t free_pages = num_free_pages;
  while (true) {
    plan.num_rows = share_rows(active, limits.chunk_tokens);
    int64_t wanted = 0;
    for (size_t i = 0; i < active.size(); ++i) {
      wanted += pages_wanted(active[i], plan.num_rows[i]);
    }
    if (wanted <= free_pages) return plan;
    MK_CHECK(active.size() > 1, "scheduler: {} pages wanted by one sequence, {} are free", wanted,
             free_pages);
    free_pages += active.back().num_pages;
    active.pop_back();
    if (plan.num_admitted > 0) {
      --plan.num_admitted;
    } else {
      ++plan.num_preempted;
    }
  }
}

}  // namespace minke
