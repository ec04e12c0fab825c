#pragma once
#include "minke/base/result.h"
#include "minke/text/jinja_interpreter.h"
#include "minke/text/jinja_value.h"

namespace minke::jinja {

/// Python's `format % argument`: %s %r %d %i %u %x %X %o %c %e %f %g %% with flags, width and
/// precision (each at most 10,000), positional or %(name)s.
Result<Value> percent_format(Heap& heap, const Str& format, const Value& argument);

/// Python's str.format: {} {0} {name} {name.attribute} {name[key]}, !r !s, and format specs with
/// fill, align, sign, width, comma, precision and the types s d x X o b e f g %.
Result<Value> brace_format(Interpreter& run, const Str& format, const Arguments& arguments);

/// strftime of Unix seconds in UTC with the C locale's names.
Result<Value> format_time(Heap& heap, const Str& format, int64_t unix_seconds);

}  // namespace minke::jinja
