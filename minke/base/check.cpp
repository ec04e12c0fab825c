#include "minke/base/check.h"

#include <cstdio>
#include <cstdlib>

namespace minke {

void check_failed(const char* file, int line, const char* condition, const std::string& message) {
  std::fprintf(stderr, "minke: bug at %s:%d: %s\n  failed: %s\n", file, line, message.c_str(),
               condition);
  std::abort();
}

}  // namespace minke
