#pragma once
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "minke/base/result.h"
#include "minke/eval/scoring.h"
#include "minke/text/tokenizer.h"

namespace minke {

/// A question that is answered by the likeliest of several continuations.
struct ChoiceQuestion {
  std::string context;
  std::vector<std::string> choices;  ///< two or more; appended to the context as they are
  int64_t answer = 0;                ///< the right one's index
};

/// Questions from JSON lines: {"context": "The sky is", "choices": [" blue", " made"], "answer":
/// 0}. Other members are passed over, and so are empty lines. kUsage, with file and line, for what
/// is none; kNotFound.
Result<std::vector<ChoiceQuestion>> read_choice_questions(const std::filesystem::path& path);

/// How a model answers.
struct ChoiceScore {
  int64_t questions = 0;
  int64_t correct = 0;             ///< by ln p of the choice
  int64_t correct_normalized = 0;  ///< by ln p over the choice's length in bytes
  int64_t cut = 0;  ///< sequences longer than the window, whose context lost its beginning

  double accuracy() const { return share(correct); }
  double accuracy_normalized() const { return share(correct_normalized); }
  /// Half the width of Wilson's interval that holds the true accuracy with 95 %.
  double interval() const;

 private:
  double share(int64_t count) const {
    return questions > 0 ? static_cast<double>(count) / static_cast<double>(questions) : 0.0;
  }
};

/// Scores questions as EleutherAI's lm-evaluation-harness does ("acc" and "acc_norm"): context and
/// choice are one text to the tokenizer; the tokens beyond those of the context alone are the
/// choice's (white space at the context's end counts as the choice's). The first of equal choices
/// wins. `window` is the scorer's; `progress` is told the questions done, false stops with
/// kInterrupted. kUsage for a choice that does not fit the window.
Result<ChoiceScore> score_choices(const Tokenizer& tokenizer,
                                  std::span<const ChoiceQuestion> questions, Scorer& scorer,
                                  int window, const std::function<bool(int64_t)>& progress = {});

}  // namespace minke
