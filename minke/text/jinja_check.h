#pragma once
#include "minke/base/result.h"
#include "minke/text/jinja_ast.h"

namespace minke::jinja {

/// Refuses a template that names a filter or test which does not exist, as jinja2 does when it
/// compiles one; where a condition guards the place, only running it is an error. Error: kCorrupt,
/// with the line.
Result<void> check_names(const Template& parsed);

}  // namespace minke::jinja
