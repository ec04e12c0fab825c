#include "minke/text/jinja_check.h"

#include "minke/text/jinja_builtins.h"

namespace minke::jinja {
namespace {

/// Whether a condition decides if the place runs at all: the branches of an if, but not a loop or a
/// macro within them (these are jinja2's rules).
enum class Place { kCertain, kGuarded };

Result<void> check(const Body& body, Place place);

Result<void> check(const Expr& expr, Place place) {
  if (expr.kind == ExprKind::kCondition) place = Place::kGuarded;
  const bool filter = expr.kind == ExprKind::kFilter;
  const bool named = filter || expr.kind == ExprKind::kTest;
  if (named && place == Place::kCertain &&
      !(filter ? find_filter(expr.name) : find_test(expr.name))) {
    return fail(ErrorCode::kCorrupt, "chat template line {}: no {} named '{}'", expr.line,
                filter ? "filter" : "test", expr.name.substr(0, 100));
  }
  for (const ExprPtr& child : expr.children) {
    if (child) MK_TRY(check(*child, place));
  }
  for (const Argument& argument : expr.arguments) MK_TRY(check(*argument.value, place));
  return {};
}

Result<void> check_macro(const MacroCode& code) {
  for (const ExprPtr& value : code.defaults) MK_TRY(check(*value, Place::kCertain));
  return check(code.body, Place::kCertain);
}

Result<void> check(const Stmt& stmt, Place place) {
  const bool is_filter = stmt.kind == StmtKind::kFilterBlock || stmt.kind == StmtKind::kSetBlock;
  if (stmt.value) MK_TRY(check(*stmt.value, is_filter ? Place::kCertain : place));
  if (stmt.test) MK_TRY(check(*stmt.test, Place::kCertain));
  for (const auto& [target, value] : stmt.bindings) MK_TRY(check(*value, place));
  for (const Branch& branch : stmt.branches) {
    MK_TRY(check(*branch.test, Place::kGuarded));
    MK_TRY(check(branch.body, Place::kGuarded));
  }
  if (stmt.code) MK_TRY(check_macro(*stmt.code));
  MK_TRY(check(stmt.body, Place::kCertain));
  return check(stmt.else_body, stmt.kind == StmtKind::kIf ? Place::kGuarded : Place::kCertain);
}

// Parsing bounded the depth of statements and expressions, and with it this recursion.
Result<void> check(const Body& body, Place place) {
  for (const auto& stmt : body) MK_TRY(check(*stmt, place));
  return {};
}

}  // namespace

Result<void> check_names(const Template& parsed) { return check(parsed.body, Place::kCertain); }

}  // namespace minke::jinja
