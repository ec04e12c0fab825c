#pragma once
#include <array>
#include <string_view>
#include <utility>
#include <vector>

#include "minke/base/result.h"
#include "minke/text/chat_template.h"
#include "minke/text/jinja_ast.h"
#include "minke/text/jinja_value.h"

namespace minke::jinja {

class Interpreter;

/// The arguments of a call as they were written.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string_view, Value>> keyword;
};

/// One call of a built-in: its object (the filtered value, the string of a method) and arguments.
struct Call {
  static constexpr size_t kParametersMax = 8;

  Value self;
  std::array<Value, kParametersMax>
      args;       ///< in the order of Builtin::parameters; kMissing if absent
  Arguments raw;  ///< instead of args, for parameters "*"
};

/// A filter, test, method or global function. Tables of them are in jinja_builtins.h.
struct Builtin {
  std::string_view name;
  std::string_view parameters;  ///< names with one space between, or "*": it reads Call::raw
  size_t required;              ///< how many of them must be given
  Result<Value> (*run)(Interpreter&, Call&);
};

/// How a statement ended: on to the next, or out of the loop.
enum class Flow : uint8_t { kNormal, kBreak, kContinue };

/// Runs one template once. Errors carry the template's line. Not reused, not shared.
class Interpreter {
 public:
  Interpreter(const Template& source, const ChatLimits& limits, int64_t now_seconds);

  Heap& heap() { return heap_; }
  int64_t now_seconds() const { return now_seconds_; }

  /// Defines a variable of the outermost context.
  void define(std::string_view name, Value value);
  Result<MarkedText> run();

  /// For built-ins that apply others, such as map and select.
  Result<Value> call(const Value& function, Arguments&& arguments);
  Result<Value> apply_filter(std::string_view name, const Value& self, Arguments&& arguments);
  Result<bool> apply_test(std::string_view name, const Value& self, Arguments&& arguments);
  /// value.name: a method or attribute first, an item second, as jinja2; undefined if neither.
  Result<Value> attribute(const Value& value, std::string_view name);
  /// value[key]: an item first, an attribute second.
  Result<Value> item(const Value& value, const Value& key);

 private:
  struct Depth;

  tl::unexpected<Error> limit_error() const;
  Result<void> step(int line);

  // Statements: jinja_interpreter.cpp.
  Result<Flow> execute(const Body& body);
  Result<Flow> execute(const Stmt& stmt);
  Result<Flow> execute_if(const Stmt& stmt);
  Result<Flow> execute_for(const Stmt& stmt);
  Result<Flow> run_loop(const Stmt& stmt, const Value& iterable, Scope* outer, int64_t depth);
  Result<std::vector<Value>> filter_items(const Stmt& stmt, std::vector<Value>&& items,
                                          Scope* outer);
  Result<Flow> execute_set(const Stmt& stmt);
  Result<Flow> execute_set_block(const Stmt& stmt);
  Result<Flow> execute_macro(const Stmt& stmt);
  Result<Flow> execute_call_block(const Stmt& stmt);
  Result<Flow> execute_filter_block(const Stmt& stmt);
  Result<Flow> execute_with(const Stmt& stmt);
  Result<Flow> execute_scope(const Stmt& stmt);
  Result<Flow> execute_block(const Stmt& stmt);
  Result<void> print(const Value& value);
  Result<Value> captured_body(const Body& body, Flow& flow);
  Result<void> assign(const Expr& target, const Value& value);
  Result<void> assign_attribute(const Expr& target, const Value& value);
  void set_variable(std::string_view name, const Value& value);

  // Expressions: jinja_evaluate.cpp.
  Result<Value> evaluate(const Expr& expr);
  Result<Value> evaluate_name(const Expr& expr);
  Result<Value> evaluate_item(const Expr& expr);
  Result<Value> evaluate_items(const Expr& expr, SequenceType type);
  Result<Value> evaluate_dict(const Expr& expr);
  Result<Value> evaluate_concat(const Expr& expr);
  Result<Value> evaluate_unary(const Expr& expr);
  Result<Value> evaluate_binary(const Expr& expr);
  Result<Value> evaluate_compare(const Expr& expr);
  Result<Value> evaluate_condition(const Expr& expr);
  Result<Value> evaluate_logic(const Expr& expr);
  Result<Value> evaluate_filter(const Expr& expr);
  Result<Value> evaluate_test(const Expr& expr);
  Value lookup(std::string_view name);

  // Calls: jinja_calls.cpp.
  Result<Value> evaluate_call(const Expr& expr);
  Result<Arguments> evaluate_arguments(const Expr& expr);
  Result<void> spread(const Argument& argument, const Value& value, Arguments& out);
  Result<Value> call_builtin(const Builtin& builtin, const Value& self, Arguments&& arguments);
  Result<Value> call_macro(const Function& function, Arguments&& arguments);
  Result<void> bind_macro(const MacroCode& code, Arguments&& arguments, Scope* scope);
  Result<Value> call_loop(LoopState& loop, Arguments&& arguments);
  Result<Value> loop_attribute(LoopState& loop, std::string_view name);
  Result<Value> function_attribute(const Function& function, std::string_view name);

  const Template& template_;
  const ChatLimits limits_;
  const int64_t now_seconds_;
  Heap heap_;
  MarkedBuilder* out_ = nullptr;
  std::vector<std::pair<std::string_view, Value>> context_;
  Scope* scope_ = nullptr;
  const Value* filtered_ = nullptr;  ///< what a filter without an operand applies to
  int64_t depth_ = 0;
  int line_ = 0;
};

}  // namespace minke::jinja
