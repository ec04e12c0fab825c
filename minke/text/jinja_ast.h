#pragma once
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "minke/text/jinja_value.h"

/// The parsed template. One struct for expressions and one for statements, with the meaning of
/// their fields listed per kind: the interpreter is one switch over each.
namespace minke::jinja {

struct Expr;
struct Stmt;
using ExprPtr = std::unique_ptr<Expr>;
using Body = std::vector<std::unique_ptr<Stmt>>;

/// The kinds of expression.
enum class ExprKind : uint8_t {
  kConst,            ///< constant
  kName,             ///< name
  kAttribute,        ///< children[0].name
  kNamespaceTarget,  ///< name.attribute as the target of a set; attribute in `text`
  kItem,             ///< children[0][children[1]]
  kSlice,            ///< start : stop : step, each child may be null
  kCall,             ///< children[0](arguments)
  kFilter,           ///< children[0] | name(arguments); children[0] is null in a filter block
  kTest,             ///< children[0] is name(arguments)
  kTuple,            ///< children
  kList,             ///< children
  kDict,             ///< children: key, value, key, value, ...
  kConcat,           ///< children joined by ~
  kUnary,            ///< op: not, -, +
  kBinary,           ///< op: + - * / // % **
  kAnd,
  kOr,
  kCompare,    ///< children[0] ops[0] children[1] ops[1] children[2] ...
  kCondition,  ///< children[0] if children[1] else children[2] (may be null)
};

/// Operators, by precedence groups.
enum class Op : uint8_t {
  kAdd,
  kSub,
  kMul,
  kDiv,
  kFloorDiv,
  kMod,
  kPow,
  kNot,
  kNegate,
  kPlus,
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kIn,
  kNotIn,
};

/// How an argument is passed in a call.
enum class ArgumentKind : uint8_t { kPositional, kKeyword, kSpread, kSpreadKeywords };

/// One argument of a call.
struct Argument {
  ArgumentKind kind = ArgumentKind::kPositional;
  std::string name{};  ///< of a keyword argument
  ExprPtr value;
};

/// A node of an expression; which fields count depends on its kind.
struct Expr {
  ExprKind kind = ExprKind::kConst;
  Op op = Op::kAdd;
  int line = 0;
  int depth = 1;  ///< 1 + the largest depth below; limits the recursion of the interpreter
  Value constant;
  std::string name;
  std::string text;
  std::vector<Op> ops;
  std::vector<ExprPtr> children;
  std::vector<Argument> arguments;
};

/// The kinds of statement.
enum class StmtKind : uint8_t {
  kText,         ///< text
  kPrint,        ///< value
  kFor,          ///< target in value if test: body, else_body; recursive
  kIf,           ///< branches (test, body), else_body
  kSet,          ///< target = value
  kSetBlock,     ///< target = body, through the filter `value` if there is one
  kMacro,        ///< code
  kCallBlock,    ///< value is the call, code its caller
  kFilterBlock,  ///< value is the filter, body
  kWith,         ///< bindings (target, value), body
  kScope,        ///< body: generation, autoescape
  kBlock,        ///< body, which sees the variables around it only if scoped
  kBreak,
  kContinue,
};

/// A macro, or the body of a call block.
struct MacroCode {
  std::string name;
  std::vector<std::string> parameters;
  std::vector<ExprPtr> defaults;  ///< of the last parameters
  Body body;
  bool uses_caller = false;
  bool uses_varargs = false;
  bool uses_kwargs = false;
};

/// A condition of an if and what it guards.
struct Branch {
  ExprPtr test;
  Body body;
};

/// A statement; which fields count depends on its kind.
struct Stmt {
  StmtKind kind = StmtKind::kText;
  int line = 0;
  bool recursive = false;
  bool scoped = false;
  Value text;
  ExprPtr target;
  ExprPtr value;
  ExprPtr test;
  Body body;
  Body else_body;
  std::vector<Branch> branches;
  std::vector<std::pair<ExprPtr, ExprPtr>> bindings;
  std::unique_ptr<MacroCode> code;
};

/// A whole template. Its strings own the literals that the tree's values point to.
struct Template {
  Body body;
  std::deque<std::string> literals;
  std::deque<Str> strings;

  /// A trusted string value that lives as long as the template.
  Value literal(std::string text) {
    const std::string& kept = literals.emplace_back(std::move(text));
    Str& string = strings.emplace_back();
    string.text = kept;
    string.length();  // counted now: later, several threads read it
    return Value::of_string(&string);
  }
};

}  // namespace minke::jinja
