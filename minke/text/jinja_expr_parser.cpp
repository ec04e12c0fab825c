#include "minke/text/jinja_expr_parser.h"

#include <algorithm>

#include "minke/text/jinja_parser.h"

namespace minke::jinja {
namespace {

std::string describe(const Token& token) {
  switch (token.type) {
    case TokenType::kText:
      return "template text";
    case TokenType::kPrintBegin:
      return "'{{'";
    case TokenType::kPrintEnd:
      return "'}}'";
    case TokenType::kBlockBegin:
      return "'{%'";
    case TokenType::kBlockEnd:
      return "'%}'";
    case TokenType::kString:
      return "a string";
    case TokenType::kEnd:
      return "end of template";
    default:
      return fmt::format("'{}'", token.value.substr(0, 60));
  }
}

/// Counts brackets within brackets for as long as it lives.
struct Nesting {
  explicit Nesting(int& count) : count_(count) { ++count_; }
  ~Nesting() { --count_; }
  Nesting(const Nesting&) = delete;
  Nesting& operator=(const Nesting&) = delete;
  int& count_;
};

}  // namespace

bool TokenStream::skip_name(std::string_view name) {
  if (!at_name(name)) return false;
  next();
  return true;
}

bool TokenStream::skip_op(std::string_view op) {
  if (!at_op(op)) return false;
  next();
  return true;
}

tl::unexpected<Error> TokenStream::unexpected(std::string_view expected) const {
  return fail(ErrorCode::kCorrupt, "chat template line {}: unexpected {}, expected {}", line(),
              describe(current()), expected);
}

Result<void> TokenStream::expect_op(std::string_view op) {
  if (!skip_op(op)) return unexpected(fmt::format("'{}'", op));
  return {};
}

Result<void> TokenStream::expect_name(std::string_view name) {
  if (!skip_name(name)) return unexpected(fmt::format("'{}'", name));
  return {};
}

Result<void> TokenStream::expect(TokenType type, std::string_view what) {
  if (!at(type)) return unexpected(what);
  next();
  return {};
}

Result<std::string> TokenStream::take_name() {
  if (!at(TokenType::kName)) return unexpected("a name");
  std::string name = current().value;
  next();
  return name;
}

ExprPtr ExprParser::make(ExprKind kind) const {
  auto node = std::make_unique<Expr>();
  node->kind = kind;
  node->line = tokens_.line();
  return node;
}

Result<ExprPtr> ExprParser::checked(ExprPtr node) {
  int below = 0;
  for (const ExprPtr& child : node->children) below = std::max(below, child ? child->depth : 0);
  for (const Argument& argument : node->arguments) below = std::max(below, argument.value->depth);
  node->depth = below + 1;
  if (node->depth > kExprDepthMax) {
    return fail(ErrorCode::kCorrupt, "chat template line {}: expression deeper than {} levels",
                node->line, kExprDepthMax);
  }
  return node;
}

Result<ExprPtr> ExprParser::binary(ExprKind kind, Op op, ExprPtr left, ExprPtr right) {
  ExprPtr node = make(kind);
  node->line = left->line;
  node->op = op;
  node->children.push_back(std::move(left));
  node->children.push_back(std::move(right));
  return checked(std::move(node));
}

Result<ExprPtr> ExprParser::expression(bool condition) {
  const Nesting nesting(nesting_);
  if (nesting_ > kNestingMax) {
    return fail(ErrorCode::kCorrupt, "chat template line {}: brackets deeper than {} levels",
                tokens_.line(), kNestingMax);
  }
  MK_ASSIGN(ExprPtr left, parse_or());
  while (condition && tokens_.skip_name("if")) {
    ExprPtr node = make(ExprKind::kCondition);
    MK_ASSIGN(ExprPtr test, parse_or());
    ExprPtr otherwise;
    if (tokens_.skip_name("else")) {
      MK_ASSIGN(otherwise, expression());
    }
    node->children.push_back(std::move(left));
    node->children.push_back(std::move(test));
    node->children.push_back(std::move(otherwise));
    MK_ASSIGN(left, checked(std::move(node)));
  }
  return left;
}

Result<ExprPtr> ExprParser::parse_or() {
  MK_ASSIGN(ExprPtr left, parse_and());
  while (tokens_.skip_name("or")) {
    MK_ASSIGN(ExprPtr right, parse_and());
    MK_ASSIGN(left, binary(ExprKind::kOr, Op::kAdd, std::move(left), std::move(right)));
  }
  return left;
}

Result<ExprPtr> ExprParser::parse_and() {
  MK_ASSIGN(ExprPtr left, parse_not());
  while (tokens_.skip_name("and")) {
    MK_ASSIGN(ExprPtr right, parse_not());
    MK_ASSIGN(left, binary(ExprKind::kAnd, Op::kAdd, std::move(left), std::move(right)));
  }
  return left;
}

Result<ExprPtr> ExprParser::parse_not() {
  if (!tokens_.at_name("not")) return parse_compare();
  const Nesting nesting(nesting_);
  if (nesting_ > kNestingMax) return tokens_.unexpected("fewer 'not' in a row");
  ExprPtr node = make(ExprKind::kUnary);
  node->op = Op::kNot;
  tokens_.next();
  MK_ASSIGN(ExprPtr operand, parse_not());
  node->children.push_back(std::move(operand));
  return checked(std::move(node));
}

bool ExprParser::compare_op(Op& op) {
  static constexpr std::pair<std::string_view, Op> kOps[] = {
      {"==", Op::kEqual},     {"!=", Op::kNotEqual}, {"<", Op::kLess},
      {"<=", Op::kLessEqual}, {">", Op::kGreater},   {">=", Op::kGreaterEqual}};
  for (const auto& [text, value] : kOps) {
    if (!tokens_.skip_op(text)) continue;
    op = value;
    return true;
  }
  if (tokens_.skip_name("in")) {
    op = Op::kIn;
    return true;
  }
  const bool not_in = tokens_.at_name("not") && tokens_.look().type == TokenType::kName &&
                      tokens_.look().value == "in";
  if (!not_in) return false;
  tokens_.next();
  tokens_.next();
  op = Op::kNotIn;
  return true;
}

Result<ExprPtr> ExprParser::parse_compare() {
  ExprPtr node = make(ExprKind::kCompare);
  MK_ASSIGN(ExprPtr first, parse_math1());
  Op op = Op::kEqual;
  if (!compare_op(op)) return first;
  node->children.push_back(std::move(first));
  do {
    node->ops.push_back(op);
    MK_ASSIGN(ExprPtr right, parse_math1());
    node->children.push_back(std::move(right));
  } while (compare_op(op));
  return checked(std::move(node));
}

Result<ExprPtr> ExprParser::parse_math1() {
  MK_ASSIGN(ExprPtr left, parse_concat());
  while (tokens_.at_op("+") || tokens_.at_op("-")) {
    const Op op = tokens_.at_op("+") ? Op::kAdd : Op::kSub;
    tokens_.next();
    MK_ASSIGN(ExprPtr right, parse_concat());
    MK_ASSIGN(left, binary(ExprKind::kBinary, op, std::move(left), std::move(right)));
  }
  return left;
}

Result<ExprPtr> ExprParser::parse_concat() {
  ExprPtr node = make(ExprKind::kConcat);
  MK_ASSIGN(ExprPtr first, parse_math2());
  if (!tokens_.at_op("~")) return first;
  node->children.push_back(std::move(first));
  while (tokens_.skip_op("~")) {
    MK_ASSIGN(ExprPtr part, parse_math2());
    node->children.push_back(std::move(part));
  }
  return checked(std::move(node));
}

Result<ExprPtr> ExprParser::parse_math2() {
  static constexpr std::pair<std::string_view, Op> kOps[] = {
      {"*", Op::kMul}, {"/", Op::kDiv}, {"//", Op::kFloorDiv}, {"%", Op::kMod}};
  MK_ASSIGN(ExprPtr left, parse_pow());
  while (true) {
    const auto* const found = std::find_if(std::begin(kOps), std::end(kOps), [&](const auto& op) {
      return tokens_.skip_op(op.first);
    });
    if (found == std::end(kOps)) return left;
    MK_ASSIGN(ExprPtr right, parse_pow());
    MK_ASSIGN(left, binary(ExprKind::kBinary, found->second, std::move(left), std::move(right)));
  }
}

Result<ExprPtr> ExprParser::parse_pow() {
  MK_ASSIGN(ExprPtr left, parse_unary(true));
  while (tokens_.skip_op("**")) {
    MK_ASSIGN(ExprPtr right, parse_unary(true));
    MK_ASSIGN(left, binary(ExprKind::kBinary, Op::kPow, std::move(left), std::move(right)));
  }
  return left;
}

Result<ExprPtr> ExprParser::parse_unary(bool with_filter) {
  ExprPtr node;
  if (tokens_.at_op("-") || tokens_.at_op("+")) {
    const Nesting nesting(nesting_);
    if (nesting_ > kNestingMax) return tokens_.unexpected("fewer signs in a row");
    node = make(ExprKind::kUnary);
    node->op = tokens_.at_op("-") ? Op::kNegate : Op::kPlus;
    tokens_.next();
    MK_ASSIGN(ExprPtr operand, parse_unary(false));
    node->children.push_back(std::move(operand));
    MK_ASSIGN(node, checked(std::move(node)));
  } else {
    MK_ASSIGN(node, parse_primary(false));
  }
  MK_ASSIGN(node, parse_postfix(std::move(node)));
  if (!with_filter) return node;
  return parse_filters_and_tests(std::move(node));
}

Result<ExprPtr> ExprParser::parse_name(bool with_namespace) {
  ExprPtr node = make(ExprKind::kConst);
  const std::string name = tokens_.current().value;
  tokens_.next();
  if (name == "true" || name == "True" || name == "false" || name == "False") {
    node->constant = Value::of_bool(name[0] == 't' || name[0] == 'T');
    return node;
  }
  if (name == "none" || name == "None") {
    node->constant = Value::none();
    return node;
  }
  node->kind = ExprKind::kName;
  node->name = name;
  names_read.caller |= name == "caller";
  names_read.varargs |= name == "varargs";
  names_read.kwargs |= name == "kwargs";
  if (with_namespace && tokens_.skip_op(".")) {
    node->kind = ExprKind::kNamespaceTarget;
    MK_ASSIGN(node->text, tokens_.take_name());
  }
  return node;
}

Result<ExprPtr> ExprParser::parse_primary(bool with_namespace) {
  const Token& token = tokens_.current();
  ExprPtr node = make(ExprKind::kConst);
  switch (token.type) {
    case TokenType::kName:
      return parse_name(with_namespace);
    case TokenType::kInteger:
      node->constant = Value::of_int(token.integer);
      tokens_.next();
      return node;
    case TokenType::kFloat:
      node->constant = Value::of_float(token.real);
      tokens_.next();
      return node;
    case TokenType::kString: {
      std::string text;
      while (tokens_.at(TokenType::kString)) {
        text += tokens_.current().value;
        tokens_.next();
      }
      node->constant = owner_.literal(std::move(text));
      return node;
    }
    default:
      break;
  }
  if (tokens_.at_op("[")) return parse_list();
  if (tokens_.at_op("{")) return parse_dict();
  if (!tokens_.skip_op("(")) return tokens_.unexpected("an expression");
  if (tokens_.skip_op(")")) return make(ExprKind::kTuple);
  MK_ASSIGN(node, tuple(true));
  MK_TRY(tokens_.expect_op(")"));
  return node;
}

bool ExprParser::at_tuple_end(std::string_view end_name) const {
  return tokens_.at(TokenType::kPrintEnd) || tokens_.at(TokenType::kBlockEnd) ||
         tokens_.at_op(")") || (!end_name.empty() && tokens_.at_name(end_name));
}

Result<ExprPtr> ExprParser::tuple(bool condition, std::string_view end_name) {
  ExprPtr node = make(ExprKind::kTuple);
  MK_ASSIGN(ExprPtr first, expression(condition));
  if (!tokens_.at_op(",")) return first;
  node->children.push_back(std::move(first));
  while (tokens_.skip_op(",")) {
    if (at_tuple_end(end_name)) break;
    MK_ASSIGN(ExprPtr item, expression(condition));
    node->children.push_back(std::move(item));
  }
  return checked(std::move(node));
}

Result<ExprPtr> ExprParser::target(bool with_namespace, bool with_tuple) {
  ExprPtr node = make(ExprKind::kTuple);
  const bool bracketed = with_tuple && tokens_.skip_op("(");
  bool is_tuple = false;
  do {
    const bool starts = tokens_.at(TokenType::kName) || tokens_.at_op("(");
    if (!node->children.empty() && !starts) break;  // a trailing comma
    ExprPtr item;
    if (with_tuple && tokens_.at_op("(")) {
      const Nesting nesting(nesting_);
      if (nesting_ > kNestingMax) return tokens_.unexpected("fewer brackets");
      MK_ASSIGN(item, target(with_namespace, true));
    } else {
      if (!tokens_.at(TokenType::kName)) return tokens_.unexpected("a name to assign to");
      MK_ASSIGN(item, parse_name(with_namespace));
      if (item->kind == ExprKind::kConst) return tokens_.unexpected("a name to assign to");
    }
    node->children.push_back(std::move(item));
    if (!with_tuple || !tokens_.at_op(",")) break;
    is_tuple = true;
  } while (tokens_.skip_op(","));
  if (bracketed) MK_TRY(tokens_.expect_op(")"));
  if (!is_tuple) {
    ExprPtr only = std::move(node->children[0]);
    return only;
  }
  return checked(std::move(node));
}

Result<ExprPtr> ExprParser::parse_list() {
  ExprPtr node = make(ExprKind::kList);
  tokens_.next();
  while (!tokens_.at_op("]")) {
    if (!node->children.empty()) MK_TRY(tokens_.expect_op(","));
    if (tokens_.at_op("]")) break;
    MK_ASSIGN(ExprPtr item, expression());
    node->children.push_back(std::move(item));
  }
  tokens_.next();
  return checked(std::move(node));
}

Result<ExprPtr> ExprParser::parse_dict() {
  ExprPtr node = make(ExprKind::kDict);
  tokens_.next();
  while (!tokens_.at_op("}")) {
    if (!node->children.empty()) MK_TRY(tokens_.expect_op(","));
    if (tokens_.at_op("}")) break;
    MK_ASSIGN(ExprPtr key, expression());
    MK_TRY(tokens_.expect_op(":"));
    MK_ASSIGN(ExprPtr value, expression());
    node->children.push_back(std::move(key));
    node->children.push_back(std::move(value));
  }
  tokens_.next();
  return checked(std::move(node));
}

}  // namespace minke::jinja
