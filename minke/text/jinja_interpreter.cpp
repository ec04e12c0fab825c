#include "minke/text/jinja_interpreter.h"

#include "minke/text/jinja_depth.h"
#include "minke/text/jinja_operators.h"
#include "minke/text/jinja_print.h"

namespace minke::jinja {

Interpreter::Interpreter(const Template& source, const ChatLimits& limits, int64_t now_seconds)
    : template_(source),
      limits_(limits),
      now_seconds_(now_seconds),
      heap_(limits.steps_max, limits.memory_bytes_max) {}

void Interpreter::define(std::string_view name, Value value) {
  for (auto& [known, old] : context_) {
    if (known == name) {
      old = value;
      return;
    }
  }
  context_.emplace_back(name, value);
}

tl::unexpected<Error> Interpreter::limit_error() const {
  return fail(ErrorCode::kWillNotFit, "the template needs {}", heap_.exhausted());
}

Result<void> Interpreter::step(int line) {
  line_ = line;
  if (!heap_.try_steps(1)) return limit_error();
  if (depth_ >= limits_.depth_max) {
    return fail(ErrorCode::kWillNotFit, "the template nests deeper than {} levels",
                limits_.depth_max);
  }
  return {};
}

Result<MarkedText> Interpreter::run() {
  MarkedBuilder out(heap_);
  out_ = &out;
  scope_ = heap_.scope(nullptr);
  const Result<Flow> done = execute(template_.body);
  Error error;
  if (!done) {
    error = done.error();
  } else if (heap_.exhausted()) {
    error = limit_error().value();
  } else if (static_cast<int64_t>(out.size()) > limits_.output_bytes_max) {
    error = {ErrorCode::kWillNotFit,
             fmt::format("the result is larger than {} bytes", limits_.output_bytes_max)};
  } else {
    return out.take();
  }
  return fail(error.code, "chat template line {}: {}", line_, error.message);
}

Result<Flow> Interpreter::execute(const Body& body) {
  for (const auto& stmt : body) {
    MK_ASSIGN(const Flow flow, execute(*stmt));
    if (flow != Flow::kNormal) return flow;
  }
  return Flow::kNormal;
}

Result<Flow> Interpreter::execute(const Stmt& stmt) {
  MK_TRY(step(stmt.line));
  const Depth depth(depth_);
  switch (stmt.kind) {
    case StmtKind::kText:
      MK_TRY(print(stmt.text));
      return Flow::kNormal;
    case StmtKind::kPrint: {
      MK_ASSIGN(const Value value, evaluate(*stmt.value));
      line_ = stmt.line;
      MK_TRY(print(value));
      return Flow::kNormal;
    }
    case StmtKind::kFor:
      return execute_for(stmt);
    case StmtKind::kIf:
      return execute_if(stmt);
    case StmtKind::kSet:
      return execute_set(stmt);
    case StmtKind::kSetBlock:
      return execute_set_block(stmt);
    case StmtKind::kMacro:
      return execute_macro(stmt);
    case StmtKind::kCallBlock:
      return execute_call_block(stmt);
    case StmtKind::kFilterBlock:
      return execute_filter_block(stmt);
    case StmtKind::kWith:
      return execute_with(stmt);
    case StmtKind::kScope:
      return execute_scope(stmt);
    case StmtKind::kBlock:
      return execute_block(stmt);
    case StmtKind::kBreak:
      return Flow::kBreak;
    case StmtKind::kContinue:
      return Flow::kContinue;
  }
  return Flow::kNormal;
}

Result<void> Interpreter::print(const Value& value) {
  MK_TRY(print_str(*out_, value));
  if (heap_.exhausted()) return limit_error();
  if (static_cast<int64_t>(out_->size()) > limits_.output_bytes_max) {
    return fail(ErrorCode::kWillNotFit, "the result is larger than {} bytes",
                limits_.output_bytes_max);
  }
  return {};
}

Result<Flow> Interpreter::execute_if(const Stmt& stmt) {
  for (const Branch& branch : stmt.branches) {
    MK_ASSIGN(const Value test, evaluate(*branch.test));
    if (truth(test)) return execute(branch.body);
  }
  return execute(stmt.else_body);
}

Result<Flow> Interpreter::execute_for(const Stmt& stmt) {
  MK_ASSIGN(const Value iterable, evaluate(*stmt.value));
  return run_loop(stmt, iterable, scope_, 1);
}

Result<std::vector<Value>> Interpreter::filter_items(const Stmt& stmt, std::vector<Value>&& items,
                                                     Scope* outer) {
  std::vector<Value> kept;
  const ScopeSwitch enter(scope_, heap_.scope(outer));
  for (const Value& item : items) {
    MK_TRY(step(stmt.line));
    MK_TRY(assign(*stmt.target, item));
    MK_ASSIGN(const Value test, evaluate(*stmt.test));
    if (truth(test)) kept.push_back(item);
  }
  return kept;
}

Result<Flow> Interpreter::run_loop(const Stmt& stmt, const Value& iterable, Scope* outer,
                                   int64_t depth) {
  MK_ASSIGN(std::vector<Value> items, iterate(heap_, iterable));
  if (stmt.test) {
    MK_ASSIGN(items, filter_items(stmt, std::move(items), outer));
  }
  if (items.empty()) {
    const ScopeSwitch enter(scope_, heap_.scope(outer));
    return execute(stmt.else_body);
  }
  LoopState* const loop = heap_.loop();
  *loop = {.statement = &stmt, .outer = outer, .items = &items, .depth = depth};
  Value loop_value(Kind::kLoop);
  loop_value.loop = loop;
  const ScopeSwitch enter(scope_, heap_.scope(outer));
  Flow flow = Flow::kNormal;
  for (; loop->index < items.size(); ++loop->index) {
    MK_TRY(step(stmt.line));
    // Each turn has variables of its own; the storage is new only if a macro still refers to it.
    if (scope_->captured) scope_ = heap_.scope(outer);
    scope_->variables.clear();
    set_variable("loop", loop_value);
    MK_TRY(assign(*stmt.target, items[loop->index]));
    MK_ASSIGN(flow, execute(stmt.body));
    if (flow == Flow::kBreak) break;
  }
  // The template may have kept `loop`, whose items go away here.
  static const std::vector<Value> kNoItems;
  loop->items = &kNoItems;
  loop->index = 0;
  heap_.release(static_cast<int64_t>(items.size() * sizeof(Value)));
  return Flow::kNormal;
}

void Interpreter::set_variable(std::string_view name, const Value& value) {
  heap_.try_steps(static_cast<int64_t>(scope_->variables.size() / 2));
  for (auto& [known, old] : scope_->variables) {
    if (known == name) {
      old = value;
      return;
    }
  }
  heap_.try_bytes(static_cast<int64_t>(2 * sizeof(scope_->variables[0])));
  scope_->variables.emplace_back(name, value);
}

Result<void> Interpreter::assign_attribute(const Expr& target, const Value& value) {
  const Value owner = lookup(target.name);
  if (!owner.is(Kind::kNamespace)) {
    return fail(ErrorCode::kUsage, "cannot assign attribute '{}' on a non-namespace object",
                target.text);
  }
  if (target.text.starts_with('_')) {
    return fail(ErrorCode::kUsage, "namespace attributes may not start with '_': '{}'",
                target.text);
  }
  auto& attributes = owner.name_space->attributes;
  heap_.try_steps(static_cast<int64_t>(attributes.size() / 2));
  for (auto& [name, old] : attributes) {
    if (name->text == target.text) {
      old = value;
      return {};
    }
  }
  heap_.try_bytes(2 * sizeof(attributes[0]));
  attributes.emplace_back(heap_.view(target.text, false).string, value);
  return {};
}

Result<void> Interpreter::assign(const Expr& target, const Value& value) {
  if (target.kind == ExprKind::kName) {
    set_variable(target.name, value);
    return {};
  }
  if (target.kind == ExprKind::kNamespaceTarget) return assign_attribute(target, value);
  if (value.is(Kind::kUndefined)) return undefined_error(value);
  MK_ASSIGN(const std::vector<Value> items, iterate(heap_, value));
  if (items.size() != target.children.size()) {
    return fail(ErrorCode::kUsage, "{} values to unpack, expected {}", items.size(),
                target.children.size());
  }
  for (size_t i = 0; i < items.size(); ++i) MK_TRY(assign(*target.children[i], items[i]));
  return {};
}

Result<Flow> Interpreter::execute_set(const Stmt& stmt) {
  MK_ASSIGN(const Value value, evaluate(*stmt.value));
  line_ = stmt.line;
  MK_TRY(assign(*stmt.target, value));
  return Flow::kNormal;
}

Result<Value> Interpreter::captured_body(const Body& body, Flow& flow) {
  MarkedBuilder captured(heap_);
  const OutputSwitch redirect(out_, &captured);
  const ScopeSwitch enter(scope_, heap_.scope(scope_));
  MK_ASSIGN(flow, execute(body));
  return captured.finish();
}

Result<Flow> Interpreter::execute_set_block(const Stmt& stmt) {
  Flow flow = Flow::kNormal;
  MK_ASSIGN(Value value, captured_body(stmt.body, flow));
  if (flow != Flow::kNormal) return flow;
  if (stmt.value) {
    const FilteredSwitch operand(filtered_, &value);
    MK_ASSIGN(value, evaluate(*stmt.value));
  }
  MK_TRY(assign(*stmt.target, value));
  return Flow::kNormal;
}

Result<Flow> Interpreter::execute_filter_block(const Stmt& stmt) {
  Flow flow = Flow::kNormal;
  MK_ASSIGN(const Value body, captured_body(stmt.body, flow));
  if (flow != Flow::kNormal) return flow;
  const FilteredSwitch operand(filtered_, &body);
  MK_ASSIGN(const Value value, evaluate(*stmt.value));
  MK_TRY(print(value));
  return Flow::kNormal;
}

Result<Flow> Interpreter::execute_macro(const Stmt& stmt) {
  for (Scope* scope = scope_; scope && !scope->captured; scope = scope->parent) {
    scope->captured = true;
  }
  const std::string_view name = stmt.code->name;
  set_variable(name, heap_.function({.name = name, .macro = stmt.code.get(), .scope = scope_}));
  return Flow::kNormal;
}

Result<Flow> Interpreter::execute_call_block(const Stmt& stmt) {
  const ScopeSwitch enter(scope_, heap_.scope(scope_));
  for (Scope* scope = scope_; scope && !scope->captured; scope = scope->parent) {
    scope->captured = true;
  }
  const Value caller =
      heap_.function({.name = "caller", .macro = stmt.code.get(), .scope = scope_});
  const Expr& call_expr = *stmt.value;
  MK_ASSIGN(const Value callee, evaluate(*call_expr.children[0]));
  MK_ASSIGN(Arguments arguments, evaluate_arguments(call_expr));
  arguments.keyword.emplace_back("caller", caller);
  MK_ASSIGN(const Value value, call(callee, std::move(arguments)));
  MK_TRY(print(value));
  return Flow::kNormal;
}

Result<Flow> Interpreter::execute_with(const Stmt& stmt) {
  std::vector<Value> values;  // all are evaluated outside of the new scope
  for (const auto& [target, value] : stmt.bindings) {
    MK_ASSIGN(const Value bound, evaluate(*value));
    values.push_back(bound);
  }
  const ScopeSwitch enter(scope_, heap_.scope(scope_));
  for (size_t i = 0; i < values.size(); ++i) {
    MK_TRY(assign(*stmt.bindings[i].first, values[i]));
  }
  return execute(stmt.body);
}

Result<Flow> Interpreter::execute_block(const Stmt& stmt) {
  Scope* around = scope_;
  while (!stmt.scoped && around->parent) around = around->parent;
  const ScopeSwitch enter(scope_, heap_.scope(around));
  return execute(stmt.body);
}

Result<Flow> Interpreter::execute_scope(const Stmt& stmt) {
  const ScopeSwitch enter(scope_, heap_.scope(scope_));
  return execute(stmt.body);
}

}  // namespace minke::jinja
