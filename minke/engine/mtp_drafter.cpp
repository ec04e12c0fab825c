#include "minke/engine/mtp_drafter.h"

#include <algorithm>

#include "minke/base/check.h"
#include "minke/engine/sampler.h"

namespace minke {
namespace {

constexpr int64_t kPage = kernels::kPageTokens;

// Weights that a token reads, by what reads them.
struct ReadWeights {
  double attention = 0.0;  // of a layer
  double experts = 0.0;    // the chosen ones of a layer
  double shared = 0.0;     // the rest of such a layer's feed-forward
  double dense = 0.0;      // the feed-forward of a layer without experts
  double head = 0.0;
};

ReadWeights read_weights(const ModelConfig& config) {
  const MlaConfig& mla = config.mla;
  const auto hidden = static_cast<double>(config.hidden_size);
  const auto heads = static_cast<double>(config.num_attention_heads);
  const auto rank = static_cast<double>(mla.kv_lora_rank);
  const auto q_rank = static_cast<double>(mla.q_lora_rank);
  const auto q_rows = heads * static_cast<double>(mla.qk_nope_head_dim + mla.qk_rope_head_dim);
  ReadWeights read;
  read.attention = q_rank > 0 ? q_rank * (hidden + q_rows) : hidden * q_rows;
  read.attention += hidden * (rank + static_cast<double>(mla.qk_rope_head_dim)) +
                    rank * heads * static_cast<double>(mla.qk_nope_head_dim + mla.v_head_dim) +
                    heads * static_cast<double>(mla.v_head_dim) * hidden;
  const double expert = 3.0 * hidden * static_cast<double>(config.moe.moe_intermediate_size);
  read.experts = expert * static_cast<double>(config.moe.routing.top_k);
  read.shared = expert * static_cast<double>(config.moe.n_shared_experts);
  read.dense = 3.0 * hidden * static_cast<double>(config.intermediate_size);
  read.head = hidden * static_cast<double>(config.vocab_size);
  return read;
}

}  // namespace

MtpDrafter::MtpDrafter(const ModelConfig& config, int64_t num_pages, int64_t vocab_size)
    : vocab_size_(vocab_size),
      has_module_(config.num_nextn_predict_layers > 0),
      pays_(has_module_),
      next_tokens_(static_cast<size_t>(num_pages), kNone) {
  if (!has_module_) return;
  const ReadWeights read = read_weights(config);
  const auto layers = static_cast<double>(config.num_hidden_layers);
  const double dense = std::min(layers, static_cast<double>(config.moe.first_k_dense_replace));
  const double experts = (layers - dense) * read.experts;
  const double step = layers * read.attention + dense * read.dense + experts +
                      (layers - dense) * read.shared + read.head;
  const bool has_experts = config.moe.n_routed_experts > 0;
  const double block = read.attention + (has_experts ? read.experts + read.shared : read.dense);
  const auto projection = 2.0 * static_cast<double>(config.hidden_size * config.hidden_size);
  module_cost_ = (block + projection + read.head) / step;
  // A row more finds all weights in the caches but those of its experts.
  row_cost_ = SavedSteps::kRowCost + (1.0 - SavedSteps::kRowCost) * experts / step;
}

// What the module costs on so many rows.
double MtpDrafter::cost(int64_t num_rows) const {
  return module_cost_ * (1.0 + SavedSteps::kRowCost * static_cast<double>(num_rows - 1));
}

// The first row that is worth computing, or rows.end: of a prompt the last page's, as long as it is
// not known whether guessing pays. Rows must follow each other from the beginning of a page.
int64_t MtpDrafter::first_row(const Rows& rows) const {
  int64_t begin = rows.begin;
  if (!is_proven()) {
    const auto num_tokens = static_cast<int64_t>(rows.tokens.size());
    begin = std::max(begin, (num_tokens - 1) / kPage * kPage);
  }
  if (begin % kPage != 0 && begin != rows.state->end) begin = (begin / kPage + 1) * kPage;
  return std::min(begin, rows.end);
}

// Where the pages begin that are right for this text up to row `begin`.
int64_t MtpDrafter::first_page(const Rows& rows, int64_t begin) const {
  int64_t page = begin / kPage;
  const auto is_right = [&](int64_t index) {
    const auto number = static_cast<size_t>((*rows.page_table)[static_cast<size_t>(index)]);
    return next_tokens_[number] == rows.tokens[static_cast<size_t>((index + 1) * kPage)];
  };
  while (page > 0 && is_right(page - 1)) --page;
  return page;
}

// Remembers of the pages that rows from `begin` on have filled what comes after them.
void MtpDrafter::note_pages(const Rows& rows, int64_t begin) {
  rows.state->end = rows.end;
  for (int64_t index = begin / kPage; (index + 1) * kPage <= rows.end; ++index) {
    const int32_t page = (*rows.page_table)[static_cast<size_t>(index)];
    next_tokens_[static_cast<size_t>(page)] = rows.tokens[static_cast<size_t>((index + 1) * kPage)];
  }
}

void MtpDrafter::guess(ModelRunner& runner, const Tensor& hidden,
                       const std::vector<Rows>& sequences) {
  std::vector<ModelRunner::Rows> taken;
  std::vector<int32_t> hidden_rows;
  std::vector<const Rows*> guessed;  // for whom
  for (const Rows& rows : sequences) {
    const auto num_tokens = static_cast<int64_t>(rows.tokens.size());
    MK_CHECK(rows.begin < rows.end && rows.end < num_tokens, "mtp: rows {} to {} of {} tokens",
             rows.begin, rows.end, num_tokens);
    const int64_t begin = first_row(rows), num_rows = rows.end - begin;
    const auto num_taken = static_cast<int64_t>(hidden_rows.size()) + num_rows;
    if (num_rows == 0) continue;
    // A prompt must leave enough for another guess after the first one. What goes on from there
    // is computed in any case: a gap would cost the rest of the page.
    const bool affordable = is_proven() || begin % kPage != 0 ||
                            saved_.count() >= cost(num_taken) + module_cost_ + row_cost_;
    if (!affordable) continue;
    const bool wants_guess = rows.end + 1 == num_tokens;
    taken.push_back(
        {rows.tokens.subspan(static_cast<size_t>(begin + 1), static_cast<size_t>(num_rows)), begin,
         rows.page_table, wants_guess ? 1 : 0, rows.num_prompt, first_page(rows, begin)});
    for (int64_t i = 0; i < num_rows; ++i) {
      hidden_rows.push_back(static_cast<int32_t>(rows.hidden_row + begin - rows.begin + i));
    }
    if (wants_guess) guessed.push_back(&rows);
    note_pages(rows, begin);
  }
  if (taken.empty()) return;
  const Tensor logits = runner.run_mtp(taken, hidden, hidden_rows);
  for (size_t i = 0; i < guessed.size(); ++i) {
    State& state = *guessed[i]->state;
    state.guess_at = static_cast<int64_t>(guessed[i]->tokens.size());
    state.guess = argmax(
        {logits.view().row<float>(static_cast<int64_t>(i)), static_cast<size_t>(vocab_size_)});
  }
  // Where guessing has paid, prompts are read for what is to come.
  add_saved(is_proven() ? -module_cost_ : -cost(static_cast<int64_t>(hidden_rows.size())));
}

// When nothing is left it stops, until there is enough for two guesses.
void MtpDrafter::add_saved(double saved) {
  saved_.add(saved);
  pays_ =
      has_module_ && saved_.count() >= (pays_ ? module_cost_ : 2.0 * (module_cost_ + row_cost_));
}

void MtpDrafter::learn(int num_guessed, int num_right) {
  saved_.earn();
  add_saved(num_right - num_guessed * row_cost_);
}

}  // namespace minke
