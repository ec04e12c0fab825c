#include "minke/dtype/group_batch.h"

#ifdef EXPERIMENT
extern float kCutFirst, kCutLast, kCutStep;
extern int kAlternations;
#endif
namespace minke::group_plain {
constexpr int kWidth = 4;
#include "minke/dtype/group_batch_impl.h"
}  // namespace minke::group_plain
