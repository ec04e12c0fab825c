// Calls: macros, built-ins, recursive loops.
#include <algorithm>

#include "minke/text/jinja_builtins.h"
#include "minke/text/jinja_depth.h"
#include "minke/text/jinja_interpreter.h"
#include "minke/text/jinja_operators.h"

namespace minke::jinja {

Result<void> Interpreter::spread(const Argument& argument, const Value& value, Arguments& out) {
  if (argument.kind == ArgumentKind::kSpread) {
    MK_ASSIGN(const std::vector<Value> items, iterate(heap_, value));
    heap_.try_bytes(static_cast<int64_t>(items.size() * sizeof(Value)));
    out.positional.insert(out.positional.end(), items.begin(), items.end());
    return {};
  }
  if (!value.is(Kind::kDict)) {
    return fail(ErrorCode::kUsage, "** needs a dict, found '{}'", type_name(value));
  }
  const size_t count = value.dict->items.size();
  if (!heap_.try_bytes(static_cast<int64_t>(count * 2 * sizeof(out.keyword[0])))) {
    return limit_error();
  }
  for (const auto& [key, item] : value.dict->items) {
    if (!key.is(Kind::kString)) return fail(ErrorCode::kUsage, "** needs string keys");
    out.keyword.emplace_back(key.string->text, item);
  }
  return {};
}

Result<Arguments> Interpreter::evaluate_arguments(const Expr& expr) {
  Arguments out;
  for (const Argument& argument : expr.arguments) {
    MK_ASSIGN(const Value value, evaluate(*argument.value));
    switch (argument.kind) {
      case ArgumentKind::kPositional:
        out.positional.push_back(value);
        break;
      case ArgumentKind::kKeyword:
        out.keyword.emplace_back(argument.name, value);
        break;
      default:
        MK_TRY(spread(argument, value, out));
    }
  }
  return out;
}

Result<Value> Interpreter::evaluate_call(const Expr& expr) {
  MK_ASSIGN(const Value callee, evaluate(*expr.children[0]));
  MK_ASSIGN(Arguments arguments, evaluate_arguments(expr));
  line_ = expr.line;
  return call(callee, std::move(arguments));
}

Result<Value> Interpreter::call(const Value& callee, Arguments&& arguments) {
  if (callee.is(Kind::kUndefined)) return undefined_error(callee);
  if (callee.is(Kind::kLoop)) return call_loop(*callee.loop, std::move(arguments));
  if (!callee.is(Kind::kFunction)) {
    return fail(ErrorCode::kUsage, "'{}' object is not callable", type_name(callee));
  }
  const Function& function = *callee.function;
  if (function.macro) return call_macro(function, std::move(arguments));
  return call_builtin(*function.builtin, function.self, std::move(arguments));
}

Result<Value> Interpreter::call_builtin(const Builtin& builtin, const Value& self,
                                        Arguments&& arguments) {
  MK_TRY(step(line_));
  Call call;
  call.self = self;
  if (builtin.parameters == "*") {
    call.raw = std::move(arguments);
    return builtin.run(*this, call);
  }
  size_t count = 0;
  std::array<std::string_view, Call::kParametersMax> names;
  for (std::string_view left = builtin.parameters; !left.empty();) {
    const size_t space = std::min(left.find(' '), left.size());
    names[count++] = left.substr(0, space);
    left.remove_prefix(std::min(space + 1, left.size()));
  }
  if (arguments.positional.size() > count) {
    return fail(ErrorCode::kUsage, "{}() takes at most {} arguments, {} were given", builtin.name,
                count, arguments.positional.size());
  }
  std::copy(arguments.positional.begin(), arguments.positional.end(), call.args.begin());
  for (const auto& [name, value] : arguments.keyword) {
    const auto found = std::find(names.begin(), names.begin() + count, name);
    const auto index = static_cast<size_t>(found - names.begin());
    if (index == count || call.args[index].given()) {
      return fail(ErrorCode::kUsage, "{}() got an unexpected or repeated argument '{}'",
                  builtin.name, name.substr(0, 100));
    }
    call.args[index] = value;
  }
  for (size_t i = 0; i < builtin.required; ++i) {
    if (call.args[i].given()) continue;
    return fail(ErrorCode::kUsage, "{}() misses the argument '{}'", builtin.name, names[i]);
  }
  return builtin.run(*this, call);
}

Result<Value> Interpreter::apply_filter(std::string_view name, const Value& self,
                                        Arguments&& arguments) {
  const Builtin* const filter = find_filter(name);
  if (!filter) return fail(ErrorCode::kUsage, "no filter named '{}'", name.substr(0, 100));
  return call_builtin(*filter, self, std::move(arguments));
}

Result<bool> Interpreter::apply_test(std::string_view name, const Value& self,
                                     Arguments&& arguments) {
  const Builtin* const test = find_test(name);
  if (!test) return fail(ErrorCode::kUsage, "no test named '{}'", name.substr(0, 100));
  MK_ASSIGN(const Value result, call_builtin(*test, self, std::move(arguments)));
  return truth(result);
}

/// Fills the macro's scope: positional, then named, then defaults; the rest goes to varargs,
/// kwargs.
Result<void> Interpreter::bind_macro(const MacroCode& code, Arguments&& arguments, Scope* scope) {
  const size_t count = code.parameters.size();
  std::vector<Value> bound(count);
  std::vector<Value> varargs;
  for (size_t i = 0; i < arguments.positional.size(); ++i) {
    (i < count ? bound[i] : varargs.emplace_back()) = arguments.positional[i];
  }
  Dict kwargs;
  Value caller;
  for (const auto& [name, value] : arguments.keyword) {
    const auto found = std::find(code.parameters.begin(), code.parameters.end(), name);
    const auto index = static_cast<size_t>(found - code.parameters.begin());
    if (index < count) {
      if (bound[index].given()) {
        return fail(ErrorCode::kUsage, "macro '{}' got two values for '{}'", code.name, name);
      }
      bound[index] = value;
    } else if (name == "caller") {
      caller = value;
    } else {
      // A ** dict may have brought the caller's keys, so they count as untrusted.
      set_key(heap_, kwargs, heap_.view(name, true), value);
    }
    if (heap_.exhausted()) return limit_error();
  }
  const bool too_many = !varargs.empty() && !code.uses_varargs;
  const bool unknown = !kwargs.items.empty() && !code.uses_kwargs;
  if (too_many || unknown || (caller.given() && !code.uses_caller)) {
    return fail(ErrorCode::kUsage, "macro '{}' takes {} arguments, and was given {}", code.name,
                count,
                unknown    ? "one of another name"
                : too_many ? "more"
                           : "a caller");
  }
  const ScopeSwitch enter(scope_, scope);
  set_variable("caller", caller.given() ? caller : heap_.undefined("caller"));
  set_variable("varargs", heap_.sequence(SequenceType::kTuple, std::move(varargs)));
  set_variable("kwargs", heap_.dict(std::move(kwargs)));
  const size_t first_default = count - code.defaults.size();
  for (size_t i = 0; i < count; ++i) {
    if (!bound[i].given()) {
      if (i < first_default) {
        bound[i] = heap_.undefined(code.parameters[i]);
      } else {
        MK_ASSIGN(bound[i], evaluate(*code.defaults[i - first_default]));
      }
    }
    set_variable(code.parameters[i], bound[i]);
  }
  return {};
}

Result<Value> Interpreter::call_macro(const Function& function, Arguments&& arguments) {
  MK_TRY(step(line_));
  const Depth depth(depth_);
  const int line = line_;
  Scope* const scope = heap_.scope(function.scope);
  MK_TRY(bind_macro(*function.macro, std::move(arguments), scope));
  MarkedBuilder captured(heap_);
  const OutputSwitch redirect(out_, &captured);
  const ScopeSwitch enter(scope_, scope);
  MK_TRY(execute(function.macro->body));
  line_ = line;
  return captured.finish();
}

Result<Value> Interpreter::call_loop(LoopState& loop, Arguments&& arguments) {
  if (!loop.statement->recursive) {
    return fail(ErrorCode::kUsage, "the loop is not marked 'recursive', so it cannot be called");
  }
  if (arguments.positional.size() != 1 || !arguments.keyword.empty()) {
    return fail(ErrorCode::kUsage, "loop() takes one argument");
  }
  MK_TRY(step(line_));
  const Depth depth(depth_);
  MarkedBuilder captured(heap_);
  const OutputSwitch redirect(out_, &captured);
  MK_TRY(run_loop(*loop.statement, arguments.positional[0], loop.outer, loop.depth + 1));
  return captured.finish();
}

Result<Value> Interpreter::loop_attribute(LoopState& loop, std::string_view name) {
  const auto index = static_cast<int64_t>(loop.index);
  const auto size = static_cast<int64_t>(loop.items->size());
  if (name == "index") return Value::of_int(index + 1);
  if (name == "index0") return Value::of_int(index);
  if (name == "revindex") return Value::of_int(size - index);
  if (name == "revindex0") return Value::of_int(size - index - 1);
  if (name == "first") return Value::of_bool(index == 0);
  if (name == "last") return Value::of_bool(index + 1 == size);
  if (name == "length") return Value::of_int(size);
  if (name == "depth") return Value::of_int(loop.depth);
  if (name == "depth0") return Value::of_int(loop.depth - 1);
  if (name == "previtem") {
    return index > 0 ? (*loop.items)[loop.index - 1] : heap_.undefined("there is no previous item");
  }
  if (name == "nextitem") {
    return index + 1 < size ? (*loop.items)[loop.index + 1]
                            : heap_.undefined("there is no next item");
  }
  Value self(Kind::kLoop);
  self.loop = &loop;
  const Builtin* const method = find_container_method(self, name);
  if (!method) return heap_.undefined(name, "LoopContext", Missing::kAttribute);
  return heap_.function({.name = method->name, .builtin = method, .self = self});
}

}  // namespace minke::jinja
