#pragma once
#include <fmt/core.h>

#include <string>

namespace minke {

/// Prints the failed condition and message to stderr and aborts. Called by MK_CHECK only.
[[noreturn]] void check_failed(const char* file, int line, const char* condition,
                               const std::string& message);

}  // namespace minke

/// Aborts when `condition` is false: a bug in minke, never something that input can cause. Always
/// on; keep it O(1). The message names the operation and the shapes (fmt syntax).
#define MK_CHECK(condition, ...)                                                       \
  do {                                                                                 \
    if (!(condition)) [[unlikely]] {                                                   \
      ::minke::check_failed(__FILE__, __LINE__, #condition, fmt::format(__VA_ARGS__)); \
    }                                                                                  \
  } while (false)

/// Per-element checks: on in debug and sanitizer builds only.
#ifdef MINKE_DEBUG
#define MK_DCHECK(condition, ...) MK_CHECK(condition, __VA_ARGS__)
#else
#define MK_DCHECK(condition, ...) \
  do {                            \
  } while (false)
#endif
