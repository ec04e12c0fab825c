// What may follow an operand: .attribute, [subscript], (call), | filter, is test.
#include "minke/text/jinja_expr_parser.h"

namespace minke::jinja {

Result<ExprPtr> ExprParser::parse_postfix(ExprPtr node) {
  while (true) {
    if (tokens_.at_op(".")) {
      MK_ASSIGN(node, parse_attribute(std::move(node)));
    } else if (tokens_.at_op("[")) {
      MK_ASSIGN(node, parse_subscript(std::move(node)));
    } else if (tokens_.at_op("(")) {
      MK_ASSIGN(node, parse_call(std::move(node)));
    } else {
      return node;
    }
  }
}

Result<ExprPtr> ExprParser::parse_filters_and_tests(ExprPtr node) {
  while (true) {
    if (tokens_.at_op("|")) {
      MK_ASSIGN(node, filter_chain(std::move(node), false));
    } else if (tokens_.at_name("is")) {
      MK_ASSIGN(node, parse_test(std::move(node)));
    } else if (tokens_.at_op("(")) {
      MK_ASSIGN(node, parse_call(std::move(node)));
    } else {
      return node;
    }
  }
}

Result<ExprPtr> ExprParser::parse_attribute(ExprPtr node) {
  ExprPtr access = make(ExprKind::kAttribute);
  tokens_.next();
  access->children.push_back(std::move(node));
  if (tokens_.at(TokenType::kInteger)) {
    access->kind = ExprKind::kItem;
    ExprPtr index = make(ExprKind::kConst);
    index->constant = Value::of_int(tokens_.current().integer);
    tokens_.next();
    access->children.push_back(std::move(index));
    return checked(std::move(access));
  }
  MK_ASSIGN(access->name, tokens_.take_name());
  return checked(std::move(access));
}

Result<ExprPtr> ExprParser::parse_subscript(ExprPtr node) {
  ExprPtr access = make(ExprKind::kItem);
  tokens_.next();
  ExprPtr keys = make(ExprKind::kTuple);
  while (!tokens_.at_op("]")) {
    if (!keys->children.empty()) MK_TRY(tokens_.expect_op(","));
    MK_ASSIGN(ExprPtr key, parse_slice_or_index());
    keys->children.push_back(std::move(key));
  }
  tokens_.next();
  ExprPtr key;
  if (keys->children.size() == 1) {
    key = std::move(keys->children[0]);
  } else {
    MK_ASSIGN(key, checked(std::move(keys)));
  }
  access->children.push_back(std::move(node));
  access->children.push_back(std::move(key));
  return checked(std::move(access));
}

Result<ExprPtr> ExprParser::parse_slice_or_index() {
  ExprPtr slice = make(ExprKind::kSlice);
  ExprPtr start;
  if (!tokens_.at_op(":")) {
    MK_ASSIGN(start, expression());
    if (!tokens_.at_op(":")) return start;
  }
  tokens_.next();
  slice->children.push_back(std::move(start));
  const auto at_end = [&] { return tokens_.at_op("]") || tokens_.at_op(","); };
  ExprPtr stop;
  if (!at_end() && !tokens_.at_op(":")) {
    MK_ASSIGN(stop, expression());
  }
  slice->children.push_back(std::move(stop));
  ExprPtr step;
  if (tokens_.skip_op(":") && !at_end()) {
    MK_ASSIGN(step, expression());
  }
  slice->children.push_back(std::move(step));
  return checked(std::move(slice));
}

Result<std::vector<Argument>> ExprParser::parse_arguments() {
  std::vector<Argument> arguments;
  MK_TRY(tokens_.expect_op("("));
  auto last = ArgumentKind::kPositional;
  while (!tokens_.at_op(")")) {
    if (!arguments.empty()) MK_TRY(tokens_.expect_op(","));
    if (tokens_.at_op(")")) break;
    Argument argument;
    if (tokens_.skip_op("*")) {
      argument.kind = ArgumentKind::kSpread;
    } else if (tokens_.skip_op("**")) {
      argument.kind = ArgumentKind::kSpreadKeywords;
    } else if (tokens_.at(TokenType::kName) && tokens_.look().type == TokenType::kOperator &&
               tokens_.look().value == "=") {
      argument.kind = ArgumentKind::kKeyword;
      argument.name = tokens_.current().value;
      tokens_.next();
      tokens_.next();
    }
    if (argument.kind < last && last != ArgumentKind::kSpread) {
      return tokens_.unexpected("positional arguments before named ones");
    }
    last = std::max(last, argument.kind);
    MK_ASSIGN(argument.value, expression());
    arguments.push_back(std::move(argument));
  }
  tokens_.next();
  return arguments;
}

Result<ExprPtr> ExprParser::parse_call(ExprPtr node) {
  ExprPtr call = make(ExprKind::kCall);
  MK_ASSIGN(call->arguments, parse_arguments());
  call->children.push_back(std::move(node));
  return checked(std::move(call));
}

Result<std::string> ExprParser::parse_dotted_name() {
  MK_ASSIGN(std::string name, tokens_.take_name());
  while (tokens_.skip_op(".")) {
    MK_ASSIGN(const std::string part, tokens_.take_name());
    name += "." + part;
  }
  return name;
}

Result<ExprPtr> ExprParser::filter_chain(ExprPtr node, bool first_without_pipe) {
  while (first_without_pipe || tokens_.at_op("|")) {
    if (!first_without_pipe) tokens_.next();
    first_without_pipe = false;
    ExprPtr filter = make(ExprKind::kFilter);
    MK_ASSIGN(filter->name, parse_dotted_name());
    if (tokens_.at_op("(")) {
      MK_ASSIGN(filter->arguments, parse_arguments());
    }
    filter->children.push_back(std::move(node));
    MK_ASSIGN(node, checked(std::move(filter)));
  }
  return node;
}

Result<ExprPtr> ExprParser::parse_test(ExprPtr node) {
  ExprPtr test = make(ExprKind::kTest);
  tokens_.next();
  const bool negated = tokens_.skip_name("not");
  MK_ASSIGN(test->name, parse_dotted_name());
  test->children.push_back(std::move(node));
  const TokenType type = tokens_.current().type;
  const bool name_follows = type == TokenType::kName && !tokens_.at_name("else") &&
                            !tokens_.at_name("or") && !tokens_.at_name("and");
  const bool operand_follows = name_follows || type == TokenType::kString ||
                               type == TokenType::kInteger || type == TokenType::kFloat ||
                               tokens_.at_op("[") || tokens_.at_op("{");
  if (tokens_.at_op("(")) {
    MK_ASSIGN(test->arguments, parse_arguments());
  } else if (operand_follows) {
    if (tokens_.at_name("is")) return tokens_.unexpected("'and' between two tests");
    MK_ASSIGN(ExprPtr operand, parse_primary(false));
    MK_ASSIGN(operand, parse_postfix(std::move(operand)));
    test->arguments.push_back({.value = std::move(operand)});
  }
  MK_ASSIGN(ExprPtr result, checked(std::move(test)));
  if (!negated) return result;
  ExprPtr negation = make(ExprKind::kUnary);
  negation->op = Op::kNot;
  negation->children.push_back(std::move(result));
  return checked(std::move(negation));
}

}  // namespace minke::jinja
