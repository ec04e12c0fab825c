#include "minke/dtype/group_batch.h"

namespace minke {
namespace group_any {
constexpr int kWidth = 4;  // SSE2 and NEON
#include "minke/dtype/group_batch_impl.h"
}  // namespace group_any

// Vectors of AVX-512 gained a tenth over AVX2 on Zen 5, too little for a third row.
#ifdef __x86_64__
namespace group_avx2 {
void fit_groups(GroupBatch& batch);
void round_groups(GroupBatch& batch);
}  // namespace group_avx2
#endif

GroupKernelList group_kernels() {
  static constexpr GroupKernels kRows[] = {
#ifdef __x86_64__
      {"avx2", [] { return __builtin_cpu_supports("avx2") != 0; }, group_avx2::fit_groups,
       group_avx2::round_groups},
#endif
      {"any", [] { return true; }, group_any::fit_groups, group_any::round_groups},
  };
  return {kRows, static_cast<int>(sizeof kRows / sizeof kRows[0])};
}

}  // namespace minke
