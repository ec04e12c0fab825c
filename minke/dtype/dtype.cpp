#include "minke/dtype/dtype.h"

#include "minke/dtype/formats.h"

namespace minke {
namespace {

constexpr DTypeInfo kTable[] = {
#define MK_DTYPE(id, name, gguf_type, block, bytes, decode, encode) \
  {DType::id, name, gguf_type, block, bytes, decode, encode},
#include "minke/dtype/dtypes.def"
#undef MK_DTYPE
};

}  // namespace

const DTypeInfo& dtype_info(DType dtype) { return kTable[static_cast<int>(dtype)]; }

std::optional<DType> dtype_from_gguf(uint32_t gguf_type) {
  for (const DTypeInfo& info : kTable) {
    if (info.gguf_type >= 0 && static_cast<uint32_t>(info.gguf_type) == gguf_type) {
      return info.dtype;
    }
  }
  return std::nullopt;
}

}  // namespace minke
