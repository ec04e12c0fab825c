#pragma once
#include <initializer_list>
#include <string_view>
#include <vector>

#include "minke/base/result.h"
#include "minke/text/jinja_ast.h"
#include "minke/text/jinja_lexer.h"

namespace minke::jinja {

/// The tokens of a template with a cursor.
class TokenStream {
 public:
  explicit TokenStream(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& current() const { return tokens_[at_]; }
  const Token& look() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  int line() const { return current().line; }
  bool at(TokenType type) const { return current().type == type; }
  bool at_name(std::string_view name) const {
    return current().type == TokenType::kName && current().value == name;
  }
  bool at_op(std::string_view op) const {
    return current().type == TokenType::kOperator && current().value == op;
  }
  void next() { at_ += at_ + 1 < tokens_.size() ? 1 : 0; }
  bool skip_name(std::string_view name);
  bool skip_op(std::string_view op);
  Result<void> expect_op(std::string_view op);
  Result<void> expect_name(std::string_view name);
  Result<void> expect(TokenType type, std::string_view what);
  /// The next token's text, which must be a name.
  Result<std::string> take_name();
  /// "line N: unexpected X, expected Y".
  tl::unexpected<Error> unexpected(std::string_view expected) const;

 private:
  std::vector<Token> tokens_;
  size_t at_ = 0;
};

/// Parses expressions with jinja2's grammar, one function per level of precedence.
class ExprParser {
 public:
  ExprParser(TokenStream& tokens, Template& owner) : tokens_(tokens), owner_(owner) {}

  /// A whole expression; without `condition`, "a if b" stops before the if.
  Result<ExprPtr> expression(bool condition = true);
  /// Expressions with commas between them make a tuple. `end_name` also ends it ("in").
  Result<ExprPtr> tuple(bool condition, std::string_view end_name = {});
  /// What can be assigned to: names, tuples of names, and where allowed namespace.attribute.
  Result<ExprPtr> target(bool with_namespace, bool with_tuple = true);
  /// `| filter(...)` chains after a set block's target, or the name after {% filter.
  Result<ExprPtr> filter_chain(ExprPtr node, bool first_without_pipe);

  /// Which of a macro's special names were read since it was last cleared.
  struct SpecialNames {
    bool caller = false;
    bool varargs = false;
    bool kwargs = false;
  };
  SpecialNames names_read;

  /// Refuses a tree that the interpreter could not walk without deep recursion.
  Result<ExprPtr> checked(ExprPtr node);
  ExprPtr make(ExprKind kind) const;

 private:
  Result<ExprPtr> parse_or();
  Result<ExprPtr> parse_and();
  Result<ExprPtr> parse_not();
  Result<ExprPtr> parse_compare();
  Result<ExprPtr> parse_math1();
  Result<ExprPtr> parse_concat();
  Result<ExprPtr> parse_math2();
  Result<ExprPtr> parse_pow();
  Result<ExprPtr> parse_unary(bool with_filter);
  Result<ExprPtr> parse_primary(bool with_namespace);
  Result<ExprPtr> parse_name(bool with_namespace);
  Result<ExprPtr> parse_list();
  Result<ExprPtr> parse_dict();
  Result<ExprPtr> parse_postfix(ExprPtr node);
  Result<ExprPtr> parse_filters_and_tests(ExprPtr node);
  Result<ExprPtr> parse_attribute(ExprPtr node);
  Result<ExprPtr> parse_subscript(ExprPtr node);
  Result<ExprPtr> parse_slice_or_index();
  Result<ExprPtr> parse_call(ExprPtr node);
  Result<ExprPtr> parse_test(ExprPtr node);
  Result<std::vector<Argument>> parse_arguments();
  Result<std::string> parse_dotted_name();
  Result<ExprPtr> binary(ExprKind kind, Op op, ExprPtr left, ExprPtr right);
  bool at_tuple_end(std::string_view end_name) const;
  bool compare_op(Op& op);

  TokenStream& tokens_;
  Template& owner_;
  int nesting_ = 0;
};

}  // namespace minke::jinja
