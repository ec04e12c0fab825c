#include <algorithm>

#include "minke/cli/command.h"
#include "minke/cli/loaded_model.h"
#include "minke/cli/token_ids.h"
#include "minke/eval/scoring.h"

namespace minke {
namespace {

class LogitsCommand final : public Command {
 public:
  void add_flags(Flags& flags) override {
    flags.positional("MODEL", name_, Flags::Need::kRequired, kModelHelp);
    flags.add("ids", ids_, "the tokens, as 1,2,3");
    flags.require("ids");
    flags.add("chunk", chunk_, {1, 1 << 16}, "tokens of a forward, the rest from the cache");
    flags.add("last", last_, "of the last position only");
    flags.add("json", json_, "one JSON document");
    load_.add_to(flags);
    flags.example("minke logits smollm2-135m --ids 19556,905 --precision f32 --json");
  }

  Result<void> run(const Console& console) override {
    MK_ASSIGN(LoadedModel model, load_model_without_text(name_, load_, console));
    const ModelConfig& config = model.model->config();
    MK_ASSIGN(const std::vector<int32_t> ids,
              parse_token_ids(ids_, static_cast<int32_t>(config.vocab_size)));
    if (ids.empty()) return fail(ErrorCode::kUsage, "--ids has no token, expected 1,2,3");
    const int context = model.engine_config.context_tokens;
    if (ids.size() > static_cast<size_t>(context)) {
      return fail(ErrorCode::kWillNotFit, "{} tokens for a context of {}; raise --ctx", ids.size(),
                  context);
    }
    MK_ASSIGN(Scorer scorer,
              Scorer::create(*model.device, *model.model, model.engine_config.kv_dtype, context));
    Json::Array rows;
    const auto sink = [&](size_t begin, const Tensor& logits) {
      for (int64_t i = 0; i < logits.size(0); ++i) {
        const size_t position = begin + static_cast<size_t>(i);
        if (last_ && position + 1 < ids.size()) continue;
        const auto* row = logits.view().row<float>(i);
        if (json_) {
          rows.emplace_back(Json::Array(row, row + config.vocab_size));
        } else {
          print_best(console, position, row, config.vocab_size);
        }
      }
    };
    MK_TRY(scorer.forward(ids, static_cast<size_t>(chunk_), sink));
    if (json_) console.print_json(document(model, rows));
    return {};
  }

 private:
  static Json document(const LoadedModel& model, Json::Array& rows) {
    return Json::object({{"model", model.name},
                         {"architecture", model.model->config().architecture},
                         {"precision", model.precision},
                         {"logits", std::move(rows)}});
  }

  static void print_best(const Console& console, size_t position, const float* row,
                         int64_t vocab_size) {
    const int64_t best = std::max_element(row, row + vocab_size) - row;
    console.print("{:>6}  best {:>7}  logit {:.6f}\n", position, best, row[best]);
  }

  std::string name_;
  std::string ids_;
  LoadFlags load_;
  int chunk_ = 512;
  bool last_ = false;
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_logits_command() { return std::make_unique<LogitsCommand>(); }

}  // namespace minke
