#include "minke/dtype/group_batch.h"

#ifdef __AVX2__
namespace minke::group_avx2 {
constexpr int kWidth = 8;
#include "minke/dtype/group_batch_impl.h"
}  // namespace minke::group_avx2
#endif
