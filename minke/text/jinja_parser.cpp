#include "minke/text/jinja_parser.h"

#include <algorithm>
#include <initializer_list>
#include <set>
#include <utility>

#include "minke/text/jinja_check.h"
#include "minke/text/jinja_expr_parser.h"

namespace minke::jinja {
namespace {

using StmtPtr = std::unique_ptr<Stmt>;
constexpr size_t kParametersMax = 255;  // of a macro; their names are searched one by one

class StatementParser {
 public:
  explicit StatementParser(std::vector<Token> tokens)
      : tokens_(std::move(tokens)),
        template_(std::make_unique<Template>()),
        expr_(tokens_, *template_) {}

  Result<std::unique_ptr<Template>> run() {
    MK_ASSIGN(template_->body, body({}));
    return std::move(template_);
  }

 private:
  using EndNames = std::initializer_list<std::string_view>;

  StmtPtr make(StmtKind kind) const {
    auto stmt = std::make_unique<Stmt>();
    stmt->kind = kind;
    stmt->line = tokens_.line();
    return stmt;
  }

  Result<void> block_end() { return tokens_.expect(TokenType::kBlockEnd, "'%}'"); }

  /// Statements up to a block whose name is in `ends`; that name is the current token then. With no
  /// ends, up to the end of the template.
  Result<Body> body(EndNames ends) {
    if (++nesting_ > kNestingMax) {
      return fail(ErrorCode::kCorrupt, "chat template line {}: blocks deeper than {} levels",
                  tokens_.line(), kNestingMax);
    }
    Body statements;
    while (!tokens_.at(TokenType::kEnd)) {
      if (tokens_.at(TokenType::kText)) {
        StmtPtr text = make(StmtKind::kText);
        text->text = template_->literal(tokens_.current().value);
        tokens_.next();
        statements.push_back(std::move(text));
        continue;
      }
      if (tokens_.at(TokenType::kPrintBegin)) {
        StmtPtr print = make(StmtKind::kPrint);
        tokens_.next();
        MK_ASSIGN(print->value, expr_.tuple(true));
        MK_TRY(tokens_.expect(TokenType::kPrintEnd, "'}}'"));
        statements.push_back(std::move(print));
        continue;
      }
      MK_TRY(tokens_.expect(TokenType::kBlockBegin, "a tag"));
      for (const std::string_view end : ends) {
        if (!tokens_.at_name(end)) continue;
        --nesting_;
        return statements;
      }
      MK_ASSIGN(StmtPtr statement, this->statement());
      MK_TRY(block_end());
      statements.push_back(std::move(statement));
    }
    --nesting_;
    if (ends.size() > 0) return tokens_.unexpected(fmt::format("{{% {} %}}", *(ends.end() - 1)));
    return statements;
  }

  /// A body that ends at `end`, which is consumed. The tag's own end must come next.
  Result<Body> body_until(std::string_view end) {
    MK_TRY(block_end());
    MK_ASSIGN(Body statements, body({end}));
    tokens_.next();
    return statements;
  }

  Result<StmtPtr> statement() {
    if (!tokens_.at(TokenType::kName)) return tokens_.unexpected("the name of a tag");
    const std::string& name = tokens_.current().value;
    if (name == "for") return for_loop();
    if (name == "if") return if_chain();
    if (name == "set") return set();
    if (name == "macro") return macro();
    if (name == "call") return call_block();
    if (name == "filter") return filter_block();
    if (name == "with") return with();
    if (name == "generation") return generation();
    if (name == "autoescape") return autoescape();
    if (name == "block") return block();
    if (name == "break") return loop_control(StmtKind::kBreak);
    if (name == "continue") return loop_control(StmtKind::kContinue);
    return tokens_.unexpected("a tag that chat templates may use");
  }

  Result<StmtPtr> loop_control(StmtKind kind) {
    if (loops_ == 0) return tokens_.unexpected("break and continue inside of a for loop only");
    StmtPtr stmt = make(kind);
    tokens_.next();
    return stmt;
  }

  Result<StmtPtr> for_loop() {
    StmtPtr stmt = make(StmtKind::kFor);
    tokens_.next();
    MK_ASSIGN(stmt->target, expr_.target(false));
    MK_TRY(tokens_.expect_name("in"));
    MK_ASSIGN(stmt->value, expr_.tuple(false, "recursive"));
    if (tokens_.skip_name("if")) {
      MK_ASSIGN(stmt->test, expr_.expression());
    }
    stmt->recursive = tokens_.skip_name("recursive");
    MK_TRY(block_end());
    ++loops_;
    MK_ASSIGN(stmt->body, body({"else", "endfor"}));
    --loops_;
    const bool has_else = tokens_.at_name("else");
    tokens_.next();
    if (has_else) {
      MK_ASSIGN(stmt->else_body, body_until("endfor"));
    }
    return stmt;
  }

  Result<StmtPtr> if_chain() {
    StmtPtr stmt = make(StmtKind::kIf);
    do {
      tokens_.next();
      Branch branch;
      MK_ASSIGN(branch.test, expr_.tuple(false));
      MK_TRY(block_end());
      MK_ASSIGN(branch.body, body({"elif", "else", "endif"}));
      stmt->branches.push_back(std::move(branch));
    } while (tokens_.at_name("elif"));
    const bool has_else = tokens_.at_name("else");
    tokens_.next();
    if (has_else) {
      MK_ASSIGN(stmt->else_body, body_until("endif"));
    }
    return stmt;
  }

  Result<StmtPtr> set() {
    StmtPtr stmt = make(StmtKind::kSet);
    tokens_.next();
    MK_ASSIGN(stmt->target, expr_.target(true));
    if (tokens_.skip_op("=")) {
      MK_ASSIGN(stmt->value, expr_.tuple(true));
      return stmt;
    }
    stmt->kind = StmtKind::kSetBlock;
    if (tokens_.at_op("|")) {
      MK_ASSIGN(stmt->value, expr_.filter_chain(nullptr, false));
    }
    MK_ASSIGN(stmt->body, body_until("endset"));
    return stmt;
  }

  /// `(a, b=1)`
  Result<void> signature(MacroCode& code) {
    MK_TRY(tokens_.expect_op("("));
    while (!tokens_.at_op(")")) {
      if (!code.parameters.empty()) MK_TRY(tokens_.expect_op(","));
      MK_ASSIGN(ExprPtr parameter, expr_.target(false, false));
      const std::string& name = parameter->name;
      if (code.parameters.size() >= kParametersMax) {
        return tokens_.unexpected(fmt::format("at most {} parameters", kParametersMax));
      }
      if (std::find(code.parameters.begin(), code.parameters.end(), name) !=
          code.parameters.end()) {
        return tokens_.unexpected(fmt::format("the parameter '{}' once", name));
      }
      code.parameters.push_back(name);
      if (tokens_.skip_op("=")) {
        MK_ASSIGN(ExprPtr value, expr_.expression());
        code.defaults.push_back(std::move(value));
      } else if (!code.defaults.empty()) {
        return tokens_.unexpected("a default value, as the parameters before have one");
      }
    }
    tokens_.next();
    return {};
  }

  /// The body of a macro or call block: a function of its own, so loops outside do not count.
  Result<void> code_body(MacroCode& code, std::string_view end) {
    const int loops = std::exchange(loops_, 0);
    const auto outer = std::exchange(expr_.names_read, {});
    MK_ASSIGN(code.body, body_until(end));
    loops_ = loops;
    code.uses_caller = expr_.names_read.caller;
    code.uses_varargs = expr_.names_read.varargs;
    code.uses_kwargs = expr_.names_read.kwargs;
    expr_.names_read = outer;
    return {};
  }

  Result<StmtPtr> macro() {
    StmtPtr stmt = make(StmtKind::kMacro);
    stmt->code = std::make_unique<MacroCode>();
    tokens_.next();
    MK_ASSIGN(stmt->code->name, tokens_.take_name());
    MK_TRY(signature(*stmt->code));
    const auto& names = stmt->code->parameters;
    const auto caller = std::find(names.begin(), names.end(), "caller");
    const auto after = static_cast<size_t>(names.end() - caller);
    if (after > stmt->code->defaults.size()) {
      return tokens_.unexpected("a default value for the parameter 'caller'");
    }
    MK_TRY(code_body(*stmt->code, "endmacro"));
    return stmt;
  }

  Result<StmtPtr> call_block() {
    StmtPtr stmt = make(StmtKind::kCallBlock);
    stmt->code = std::make_unique<MacroCode>();
    stmt->code->name = "caller";
    tokens_.next();
    if (tokens_.at_op("(")) MK_TRY(signature(*stmt->code));
    MK_ASSIGN(stmt->value, expr_.expression());
    if (stmt->value->kind != ExprKind::kCall) return tokens_.unexpected("a call before it");
    MK_TRY(code_body(*stmt->code, "endcall"));
    return stmt;
  }

  Result<StmtPtr> filter_block() {
    StmtPtr stmt = make(StmtKind::kFilterBlock);
    tokens_.next();
    MK_ASSIGN(stmt->value, expr_.filter_chain(nullptr, true));
    MK_ASSIGN(stmt->body, body_until("endfilter"));
    return stmt;
  }

  Result<StmtPtr> with() {
    StmtPtr stmt = make(StmtKind::kWith);
    tokens_.next();
    while (!tokens_.at(TokenType::kBlockEnd)) {
      if (!stmt->bindings.empty()) MK_TRY(tokens_.expect_op(","));
      MK_ASSIGN(ExprPtr target, expr_.target(false));
      MK_TRY(tokens_.expect_op("="));
      MK_ASSIGN(ExprPtr value, expr_.expression());
      stmt->bindings.emplace_back(std::move(target), std::move(value));
    }
    MK_ASSIGN(stmt->body, body_until("endwith"));
    return stmt;
  }

  /// transformers marks the assistant's part with this tag; it renders as its body does.
  Result<StmtPtr> generation() {
    StmtPtr stmt = make(StmtKind::kScope);
    tokens_.next();
    MK_ASSIGN(stmt->body, body_until("endgeneration"));
    return stmt;
  }

  /// There is no HTML in chats: the flag is parsed and the body rendered as it is.
  Result<StmtPtr> autoescape() {
    StmtPtr stmt = make(StmtKind::kScope);
    tokens_.next();
    MK_ASSIGN(const ExprPtr flag, expr_.expression());
    MK_ASSIGN(stmt->body, body_until("endautoescape"));
    return stmt;
  }

  /// Without a parent template a block shows where it stands.
  Result<StmtPtr> block() {
    StmtPtr stmt = make(StmtKind::kBlock);
    tokens_.next();
    MK_ASSIGN(const std::string name, tokens_.take_name());
    if (!blocks_.insert(name).second) {
      return fail(ErrorCode::kCorrupt, "chat template line {}: block '{}' defined twice",
                  stmt->line, name);
    }
    stmt->scoped = tokens_.skip_name("scoped");
    const int loops = std::exchange(loops_, 0);
    MK_ASSIGN(stmt->body, body_until("endblock"));
    loops_ = loops;
    tokens_.skip_name(name);
    return stmt;
  }

  TokenStream tokens_;
  std::unique_ptr<Template> template_;
  ExprParser expr_;
  int nesting_ = 0;
  int loops_ = 0;
  std::set<std::string> blocks_;  // the names of those that were read
};

}  // namespace

Result<std::unique_ptr<Template>> parse_template(std::string_view source) {
  if (source.size() > kTemplateBytesMax) {
    return fail(ErrorCode::kCorrupt, "chat template has {} bytes, at most {} are allowed",
                source.size(), kTemplateBytesMax);
  }
  MK_ASSIGN(std::vector<Token> tokens, tokenize(source));
  MK_ASSIGN(std::unique_ptr<Template> parsed, StatementParser(std::move(tokens)).run());
  MK_TRY(check_names(*parsed));
  return parsed;
}

}  // namespace minke::jinja
