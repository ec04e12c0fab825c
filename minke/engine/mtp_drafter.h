#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "minke/engine/model_runner.h"
#include "minke/engine/saved_steps.h"

namespace minke {

/// Guesses the next token of texts with the model's MTP module (DeepSeek-V3, section 2.2), which
/// reads the hidden state that drew the last token, and that token.
///
/// The module has a layer of its own in the sequence's pages. What is there of a row depends on its
/// hidden state and the token after it only, so of each page the token after it is remembered, if
/// all of its rows have been computed: for a text that goes on so, the page is right, whoever
/// computed it. Where a page is not (no rows are computed while guessing does not pay), the module
/// attends over the pages after it only. That can change guesses, never what is drawn.
///
/// Whether guessing pays is learned from all texts together, and costs are taken from the model's
/// shape: the module's share of a step, and that of the experts which a row more reads.
class MtpDrafter {
 public:
  /// What is known of one sequence.
  struct State {
    int64_t end = 0;        ///< its last page has the rows up to here
    int64_t guess_at = -1;  ///< how many tokens it had when `guess` was made
    int32_t guess = 0;

    /// The token that may follow the first `num_tokens`.
    std::optional<int32_t> guess_after(int64_t num_tokens) const {
      return guess_at == num_tokens ? std::optional(guess) : std::nullopt;
    }
  };

  /// Rows of a sequence that a step has computed, without those of wrong guesses.
  struct Rows {
    State* state = nullptr;
    std::span<const int32_t> tokens;  ///< of the sequence; more than `end`
    const std::vector<int32_t>* page_table = nullptr;
    int64_t begin = 0;       ///< position of the first one
    int64_t end = 0;         ///< and after the last
    int64_t hidden_row = 0;  ///< of the first one in `hidden`
    int64_t num_prompt = 0;  ///< see ModelRunner::Rows
  };

  /// For sequences in `num_pages` pages, and tokens below `vocab_size`.
  MtpDrafter(const ModelConfig& config, int64_t num_pages, int64_t vocab_size);

  /// Whether hidden states of the next step are of use.
  bool pays() const { return pays_; }
  /// A page whose contents mean nothing any more.
  void forget(int32_t page) { next_tokens_[static_cast<size_t>(page)] = kNone; }
  /// Computes the module's rows as far as that may pay, and guesses for the sequences of which one
  /// token is not computed yet. hidden [rows of the step, hidden_size].
  void guess(ModelRunner& runner, const Tensor& hidden, const std::vector<Rows>& sequences);
  /// To be told of each sequence after each step that drew tokens: how many were guessed and right.
  void learn(int num_guessed, int num_right);

 private:
  static constexpr int32_t kNone = -1;

  int64_t first_row(const Rows& rows) const;
  int64_t first_page(const Rows& rows, int64_t begin) const;
  void note_pages(const Rows& rows, int64_t begin);
  double cost(int64_t num_rows) const;
  void add_saved(double saved);
  bool is_proven() const { return saved_.count() >= 0.75 * SavedSteps::kMax; }

  const int64_t vocab_size_;
  double module_cost_ = 0.0;  // of a row, in steps that compute one token
  double row_cost_ = 0.0;     // of a guess's row in the model
  SavedSteps saved_{2.0};     // at first a few guesses
  bool has_module_ = false;
  bool pays_ = false;
  std::vector<int32_t> next_tokens_;  // by page: the token after it, or kNone if rows are missing
};

}  // namespace minke
