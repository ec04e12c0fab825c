#include "minke/cli/show_experts.h"

#include <algorithm>
#include <numeric>

#include "minke/base/files.h"
#include "minke/cli/interrupts.h"
#include "minke/cli/loaded_model.h"
#include "minke/cli/token_ids.h"
#include "minke/eval/scoring.h"
#include "minke/hub/model_store.h"
#include "minke/models/expert_loads.h"

namespace minke {
namespace {

constexpr size_t kWindow = 512;

// Prose, code, mathematics and Chinese: experts specialise.
constexpr std::string_view kSample =
    "The minke whale is the smallest of the rorquals. It feeds on krill and small fish, and in "
    "summer it follows them to the edge of the ice. \"Why do they jump?\" asked the girl. Nobody "
    "on the boat knew.\n\n"
    "```python\ndef fibonacci(n):\n    a, b = 0, 1\n    for _ in range(n):\n        a, b = b, a + "
    "b\n    return a\n```\n\n"
    "```cpp\nfor (size_t i = 0; i < rows.size(); ++i) sum += rows[i] * weights[i];\n```\n\n"
    "If x^2 - 5x + 6 = 0, then (x - 2)(x - 3) = 0, so x = 2 or x = 3. The integral of 1/x from 1 "
    "to e is 1. 17 * 24 = 408, and 408 / 12 = 34.\n\n"
    "小须鲸是体型最小的须鲸之一,夏天在极地觅食,冬天游到温暖的海域。\n\n"
    "{\"name\": \"Ada\", \"born\": 1815, \"languages\": [\"en\", \"fr\"]}\n";

// Before the weights are read, which may take minutes.
Result<void> check_experts(const std::string& name) {
  MK_ASSIGN(const auto path, ModelStore::open_default().resolve(name));
  MK_ASSIGN(const ModelFile file, ModelFile::open(path));
  const ModelConfig& config = file.config();
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
    if (config.moe.has_experts(i)) return {};
  }
  return fail(ErrorCode::kUsage,
              "{} ({}) has no experts: each token takes the whole of every layer; --experts is for "
              "mixtures of experts",
              name, config.architecture);
}

// Runs the ids window by window, each a text of its own.
Result<void> run_windows(const LoadedModel& model, std::span<const int32_t> ids) {
  const size_t context = static_cast<size_t>(model.engine_config.context_tokens);
  const size_t window = std::min(kWindow, context);
  MK_ASSIGN(Scorer scorer, Scorer::create(*model.device, *model.model, model.engine_config.kv_dtype,
                                          static_cast<int>(window)));
  const Interrupts interrupts;
  for (size_t begin = 0; begin < ids.size(); begin += window) {
    if (interrupts.count() > 0) return fail(ErrorCode::kInterrupted, "interrupted");
    const auto part = ids.subspan(begin, std::min(window, ids.size() - begin));
    MK_TRY(scorer.forward(part, kWindow, [](size_t, const Tensor&) {}));
  }
  return {};
}

// Experts of a layer with their rows, the most used first.
std::vector<size_t> by_load(const LayerLoads& layer) {
  std::vector<size_t> order(layer.rows.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return layer.rows[a] > layer.rows[b]; });
  return order;
}

Json document(const LoadedModel& model, size_t num_tokens, const std::vector<LayerLoads>& loads) {
  Json::Array layers;
  for (const LayerLoads& layer : loads) {
    layers.push_back(Json::object({{"layer", layer.layer},
                                   {"min", layer.min()},
                                   {"mean", layer.mean()},
                                   {"max", layer.max()},
                                   {"max_violation", layer.max_violation()},
                                   {"unused", layer.num_unused()},
                                   {"tokens", Json::Array(layer.rows.begin(), layer.rows.end())}}));
  }
  const MoeConfig& moe = model.model->config().moe;
  return Json::object({{"model", model.name},
                       {"architecture", model.model->config().architecture},
                       {"n_routed_experts", moe.n_routed_experts},
                       {"n_shared_experts", moe.n_shared_experts},
                       {"num_experts_per_tok", moe.routing.top_k},
                       {"tokens", static_cast<int64_t>(num_tokens)},
                       {"layers", std::move(layers)}});
}

void print_table(const Console& console, const LoadedModel& model, size_t num_tokens,
                 const std::vector<LayerLoads>& loads) {
  const MoeConfig& moe = model.model->config().moe;
  console.print("experts  {} a layer, {} of them chosen a token, and {} shared\n",
                moe.n_routed_experts, moe.routing.top_k, moe.n_shared_experts);
  console.print("tokens   {}; MaxVio is the largest load over the mean one, less 1\n\n",
                num_tokens);
  console.print("{:>5}{:>9}{:>11}{:>9}{:>9}{:>9}  {}\n", "layer", "min", "mean", "max", "MaxVio",
                "unused", "most used");
  for (const LayerLoads& layer : loads) {
    const double unused =
        static_cast<double>(layer.num_unused()) / static_cast<double>(layer.rows.size());
    constexpr size_t kShown = 4;
    std::string most;
    const std::vector<size_t> order = by_load(layer);
    for (size_t i = 0; i < std::min(kShown, order.size()); ++i) {
      most += fmt::format("{}{} ({})", i == 0 ? "" : ", ", order[i], layer.rows[order[i]]);
    }
    console.print("{:>5}{:>9}{:>11.1f}{:>9}{:>9.2f}{:>7.1f} %  {}\n", layer.layer, layer.min(),
                  layer.mean(), layer.max(), layer.max_violation(), 100.0 * unused, most);
  }
}

}  // namespace

Result<void> ShowExperts::run(const Console& console) const {
  if (!ids.empty() && !text_path.empty()) {
    return fail(ErrorCode::kUsage, "--text and --ids are given; expected one of them");
  }
  MK_TRY(check_experts(model));
  std::string text(kSample);
  if (!text_path.empty()) {
    MK_ASSIGN(text, read_file(text_path));
  }
  LoadFlags flags;
  flags.draft = 0;  // so that no MTP module is loaded, which would not run
  MK_ASSIGN(const LoadedModel loaded, ids.empty() ? load_model_for(model, flags, console)
                                                  : load_model_without_text(model, flags, console));
  std::vector<int32_t> tokens;
  if (ids.empty()) {
    tokens = loaded.tokenizer->encode(std::string_view(text));
  } else {
    const auto vocab_size = static_cast<int32_t>(loaded.model->config().vocab_size);
    MK_ASSIGN(tokens, parse_token_ids(ids, vocab_size));
  }
  if (tokens.empty()) return fail(ErrorCode::kUsage, "the text has no token to run");
  MK_TRY(run_windows(loaded, tokens));
  const std::vector<LayerLoads> loads = expert_loads(*loaded.model);
  if (json) {
    console.print_json(document(loaded, tokens.size(), loads));
  } else {
    print_table(console, loaded, tokens.size(), loads);
  }
  return {};
}

}  // namespace minke
