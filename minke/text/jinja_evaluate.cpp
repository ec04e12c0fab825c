// Expressions.
#include <algorithm>

#include "minke/base/check.h"
#include "minke/text/jinja_builtins.h"
#include "minke/text/jinja_depth.h"
#include "minke/text/jinja_interpreter.h"
#include "minke/text/jinja_operators.h"
#include "minke/text/jinja_print.h"

namespace minke::jinja {
namespace {

/// What Python's objects have and the immutable sandbox refuses: methods that change their object,
/// and the interpreter's internals.
bool is_unsafe_attribute(const Value& value, std::string_view name) {
  static constexpr std::string_view kList[] = {"append", "clear",  "extend",  "insert",
                                               "pop",    "remove", "reverse", "sort"};
  static constexpr std::string_view kDict[] = {"clear", "pop", "popitem", "setdefault", "update"};
  const auto has = [name](const auto& names) {
    return std::find(std::begin(names), std::end(names), name) != std::end(names);
  };
  if (name.size() > 4 && name.starts_with("__") && name.ends_with("__")) return true;
  if (value.is(Kind::kDict)) return has(kDict);
  const bool list = value.is(Kind::kSequence) && value.sequence->type == SequenceType::kList;
  return list && has(kList);
}

}  // namespace

Result<Value> Interpreter::evaluate(const Expr& expr) {
  if (expr.kind == ExprKind::kConst) return expr.constant;
  MK_TRY(step(expr.line));
  const Depth depth(depth_);
  switch (expr.kind) {
    case ExprKind::kConst:
      return expr.constant;
    case ExprKind::kName:
      return evaluate_name(expr);
    case ExprKind::kAttribute: {
      MK_ASSIGN(const Value owner, evaluate(*expr.children[0]));
      line_ = expr.line;
      return attribute(owner, expr.name);
    }
    case ExprKind::kItem:
      return evaluate_item(expr);
    case ExprKind::kSlice:
      return fail(ErrorCode::kUsage, "a slice is only possible in x[a:b]");
    case ExprKind::kCall:
      return evaluate_call(expr);
    case ExprKind::kFilter:
      return evaluate_filter(expr);
    case ExprKind::kTest:
      return evaluate_test(expr);
    case ExprKind::kTuple:
      return evaluate_items(expr, SequenceType::kTuple);
    case ExprKind::kList:
      return evaluate_items(expr, SequenceType::kList);
    case ExprKind::kDict:
      return evaluate_dict(expr);
    case ExprKind::kConcat:
      return evaluate_concat(expr);
    case ExprKind::kUnary:
      return evaluate_unary(expr);
    case ExprKind::kBinary:
      return evaluate_binary(expr);
    case ExprKind::kAnd:
    case ExprKind::kOr:
      return evaluate_logic(expr);
    case ExprKind::kCompare:
      return evaluate_compare(expr);
    case ExprKind::kCondition:
      return evaluate_condition(expr);
    case ExprKind::kNamespaceTarget:
      break;
  }
  return fail(ErrorCode::kUsage, "'{}.{}' is no expression", expr.name, expr.text);
}

Value Interpreter::lookup(std::string_view name) {
  for (const Scope* scope = scope_; scope; scope = scope->parent) {
    heap_.try_steps(static_cast<int64_t>(scope->variables.size() / 2));
    for (const auto& [known, value] : scope->variables) {
      if (known == name) return value;
    }
  }
  for (const auto& [known, value] : context_) {
    if (known == name) return value;
  }
  const Builtin* const global = find_global(name);
  if (global) return heap_.function({.name = global->name, .builtin = global});
  return heap_.undefined(name);
}

Result<Value> Interpreter::evaluate_name(const Expr& expr) { return lookup(expr.name); }

Result<Value> Interpreter::evaluate_item(const Expr& expr) {
  MK_ASSIGN(const Value owner, evaluate(*expr.children[0]));
  const Expr& key = *expr.children[1];
  if (key.kind != ExprKind::kSlice) {
    MK_ASSIGN(const Value index, evaluate(key));
    line_ = expr.line;
    return item(owner, index);
  }
  Value parts[3];
  for (size_t i = 0; i < 3; ++i) {
    if (!key.children[i]) continue;
    MK_ASSIGN(parts[i], evaluate(*key.children[i]));
  }
  line_ = expr.line;
  return get_slice(heap_, owner, parts[0], parts[1], parts[2]);
}

Result<Value> Interpreter::item(const Value& value, const Value& key) {
  if (value.is(Kind::kUndefined)) return undefined_error(value);
  MK_ASSIGN(const Value found, get_item(heap_, value, key));
  if (found.given()) return found;
  if (key.is(Kind::kString)) {
    // The item is not there, so what attribute() finds is a method or nothing.
    return attribute(value, key.string->text);
  }
  MK_ASSIGN(const Value name, to_str(heap_, key));
  return heap_.undefined(name.string->text, type_name(value), Missing::kElement);
}

Result<Value> Interpreter::attribute(const Value& value, std::string_view name) {
  if (value.is(Kind::kUndefined)) return undefined_error(value);
  if (value.is(Kind::kNamespace)) {
    heap_.try_steps(static_cast<int64_t>(value.name_space->attributes.size() / 2));
    for (const auto& [known, attribute] : value.name_space->attributes) {
      if (known->text == name) return attribute;
    }
  }
  if (value.is(Kind::kLoop)) return loop_attribute(*value.loop, name);
  const Builtin* const method =
      value.is(Kind::kString) ? find_string_method(name) : find_container_method(value, name);
  if (method) {
    return heap_.function({.name = method->name, .builtin = method, .self = value});
  }
  if (value.is(Kind::kFunction)) return function_attribute(*value.function, name);
  if (value.is(Kind::kSequence) && value.sequence->is_group) {
    if (name == "grouper") return value.sequence->items[0];
    if (name == "list") return value.sequence->items[1];
  }
  if (is_unsafe_attribute(value, name)) {
    return heap_.undefined(name, type_name(value), Missing::kUnsafe);
  }
  if (value.is(Kind::kDict)) {
    if (const Value* const found = find_key(heap_, *value.dict, name)) return *found;
  }
  return heap_.undefined(name, type_name(value), Missing::kAttribute);
}

Result<Value> Interpreter::function_attribute(const Function& function, std::string_view name) {
  if (function.builtin && function.name == "dict" && name == "fromkeys") {
    return heap_.function({.name = name, .builtin = find_global("dict.fromkeys")});
  }
  if (function.builtin && function.name == "cycler" && function.self.given()) {
    const auto& state = function.self.name_space->attributes;
    if (name == "current") {
      return state[0].second.sequence->items[static_cast<size_t>(state[1].second.integer)];
    }
    const Builtin* const method = find_global(name == "next"    ? "cycler.next"
                                              : name == "reset" ? "cycler.reset"
                                                                : "");
    if (method) return heap_.function({.name = name, .builtin = method, .self = function.self});
  }
  if (function.macro) {
    const MacroCode& code = *function.macro;
    if (name == "name") return heap_.view(function.name, false);
    if (name == "caller") return Value::of_bool(code.uses_caller);
    if (name == "catch_kwargs") return Value::of_bool(code.uses_kwargs);
    if (name == "catch_varargs") return Value::of_bool(code.uses_varargs);
    if (name == "arguments") {
      std::vector<Value> names;
      for (const std::string& parameter : code.parameters) {
        names.push_back(heap_.view(parameter, false));
      }
      return heap_.sequence(SequenceType::kTuple, std::move(names));
    }
  }
  return heap_.undefined(name, "function", Missing::kAttribute);
}

Result<Value> Interpreter::evaluate_items(const Expr& expr, SequenceType type) {
  std::vector<Value> items;
  items.reserve(expr.children.size());
  for (const ExprPtr& child : expr.children) {
    MK_ASSIGN(const Value item, evaluate(*child));
    items.push_back(item);
  }
  return heap_.sequence(type, std::move(items));
}

Result<Value> Interpreter::evaluate_dict(const Expr& expr) {
  Dict dict;
  for (size_t i = 0; i < expr.children.size(); i += 2) {
    MK_ASSIGN(const Value key, evaluate(*expr.children[i]));
    MK_TRY(check_hashable(key));
    MK_ASSIGN(const Value value, evaluate(*expr.children[i + 1]));
    set_key(heap_, dict, key, value);
  }
  return heap_.dict(std::move(dict));
}

Result<Value> Interpreter::evaluate_concat(const Expr& expr) {
  MK_ASSIGN(const Value first, evaluate(*expr.children[0]));
  MK_ASSIGN(Value text, to_str(heap_, first));
  for (size_t i = 1; i < expr.children.size(); ++i) {
    MK_ASSIGN(const Value part, evaluate(*expr.children[i]));
    MK_ASSIGN(const Value part_text, to_str(heap_, part));
    text = heap_.concat(*text.string, *part_text.string);
  }
  return text;
}

Result<Value> Interpreter::evaluate_unary(const Expr& expr) {
  MK_ASSIGN(const Value operand, evaluate(*expr.children[0]));
  if (expr.op == Op::kNot) return Value::of_bool(!truth(operand));
  line_ = expr.line;
  if (expr.op == Op::kNegate) return negate(operand);
  if (operand.is(Kind::kBool)) return Value::of_int(operand.as_int(), operand.untrusted);
  if (operand.is_number()) return operand;
  return fail(ErrorCode::kUsage, "bad operand type for unary +: '{}'", type_name(operand));
}

Result<Value> Interpreter::evaluate_binary(const Expr& expr) {
  MK_ASSIGN(const Value left, evaluate(*expr.children[0]));
  MK_ASSIGN(const Value right, evaluate(*expr.children[1]));
  line_ = expr.line;
  return arithmetic(heap_, expr.op, left, right);
}

Result<Value> Interpreter::evaluate_logic(const Expr& expr) {
  MK_ASSIGN(const Value left, evaluate(*expr.children[0]));
  if (truth(left) == (expr.kind == ExprKind::kOr)) return left;
  return evaluate(*expr.children[1]);
}

Result<Value> Interpreter::evaluate_compare(const Expr& expr) {
  MK_ASSIGN(Value left, evaluate(*expr.children[0]));
  for (size_t i = 0; i < expr.ops.size(); ++i) {
    MK_ASSIGN(const Value right, evaluate(*expr.children[i + 1]));
    line_ = expr.line;
    MK_ASSIGN(const bool holds, compare(heap_, expr.ops[i], left, right));
    if (!holds) return Value::of_bool(false);
    left = right;
  }
  return Value::of_bool(true);
}

Result<Value> Interpreter::evaluate_condition(const Expr& expr) {
  MK_ASSIGN(const Value test, evaluate(*expr.children[1]));
  if (truth(test)) return evaluate(*expr.children[0]);
  if (expr.children[2]) return evaluate(*expr.children[2]);
  return heap_.undefined("the inline if without an else, whose condition is false");
}

Result<Value> Interpreter::evaluate_filter(const Expr& expr) {
  Value operand;
  if (expr.children[0]) {
    MK_ASSIGN(operand, evaluate(*expr.children[0]));
  } else {
    MK_CHECK(filtered_, "filter {} has nothing to filter", expr.name);
    operand = *filtered_;
  }
  MK_ASSIGN(Arguments arguments, evaluate_arguments(expr));
  line_ = expr.line;
  return apply_filter(expr.name, operand, std::move(arguments));
}

Result<Value> Interpreter::evaluate_test(const Expr& expr) {
  MK_ASSIGN(const Value operand, evaluate(*expr.children[0]));
  MK_ASSIGN(Arguments arguments, evaluate_arguments(expr));
  line_ = expr.line;
  MK_ASSIGN(const bool holds, apply_test(expr.name, operand, std::move(arguments)));
  return Value::of_bool(holds);
}

}  // namespace minke::jinja
