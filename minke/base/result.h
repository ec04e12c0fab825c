#pragma once
#include <fmt/core.h>

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace minke {

/// What went wrong, in the classes that a caller can act on. The value is the program's exit code
/// (DESIGN section 6); the server maps the same classes to HTTP statuses.
enum class ErrorCode {
  kFailed = 1,          ///< anything without a class of its own
  kUsage = 2,           ///< wrong flag, setting or request
  kNotFound = 3,        ///< no such file, model, tensor
  kAuth = 4,            ///< credentials missing or refused
  kWillNotFit = 5,      ///< memory, disk or context too small
  kNetwork = 6,         ///< connection, protocol or port
  kCorrupt = 7,         ///< bytes that are not what their format says
  kBelowThreshold = 8,  ///< an evaluation missed the wanted score
  kInterrupted = 130,   ///< stopped by the user
  kTerminated = 143,    ///< stopped by SIGTERM
};

/// An error that a user, file, disk or network caused. `message` says what was found, what was
/// expected and what to do, in one line without a final full stop.
struct Error {
  ErrorCode code = ErrorCode::kFailed;
  std::string message;
};

/// A value or an Error. Bugs of minke itself are MK_CHECKs instead (base/check.h).
template <class T>
using Result = tl::expected<T, Error>;

/// Makes the error branch of a Result: `return fail(ErrorCode::kNotFound, "no model {}", name);`
template <class... Args>
tl::unexpected<Error> fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  return tl::unexpected<Error>(Error{code, fmt::format(format, std::forward<Args>(args)...)});
}

/// Hands the error of one Result on as the error of another.
template <class T>
tl::unexpected<Error> pass_on(const Result<T>& failed) {
  return tl::unexpected<Error>(failed.error());
}

}  // namespace minke

#define MK_CONCAT_INNER(a, b) a##b
#define MK_CONCAT(a, b) MK_CONCAT_INNER(a, b)

/// Returns the error of `expression` (a Result) from the calling function, if it has one.
#define MK_TRY(expression)                                                 \
  do {                                                                     \
    if (auto mk_result = (expression); !mk_result) {                       \
      return tl::unexpected<::minke::Error>(std::move(mk_result).error()); \
    }                                                                      \
  } while (false)

/// `MK_ASSIGN(auto x, f());` declares x from a Result, or returns its error.
#define MK_ASSIGN(declaration, expression) \
  MK_ASSIGN_INNER(MK_CONCAT(mk_result_, __LINE__), declaration, expression)
#define MK_ASSIGN_INNER(name, declaration, expression)              \
  auto name = (expression);                                         \
  if (!name) {                                                      \
    return tl::unexpected<::minke::Error>(std::move(name).error()); \
  }                                                                 \
  declaration = std::move(*name)
