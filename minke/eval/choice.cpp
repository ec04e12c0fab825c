#include "minke/eval/choice.h"

#include <algorithm>
#include <cmath>

#include "minke/base/files.h"
#include "minke/base/json.h"

namespace minke {
namespace {

// What is wrong with a line, or empty.
std::string problem_of(const Json& line) {
  if (!line.is_object()) return fmt::format("found {}, expected an object", line.kind());
  const Json* context = line.find("context");
  if (context == nullptr || !context->is_string()) return "expected a text \"context\"";
  const Json* choices = line.find("choices");
  if (choices == nullptr || !choices->is_array() || choices->as_array().size() < 2) {
    return "expected \"choices\", a list of two texts or more";
  }
  for (const Json& choice : choices->as_array()) {
    if (!choice.is_string() || choice.as_string().empty()) {
      return fmt::format("found {} among the choices, expected texts that are not empty",
                         choice.is_string() ? "an empty text" : choice.kind());
    }
  }
  const Json* answer = line.find("answer");
  const auto count = static_cast<int64_t>(choices->as_array().size());
  if (answer == nullptr || !answer->is_int() || answer->as_int() < 0 || answer->as_int() >= count) {
    return fmt::format("expected \"answer\", the index of the right choice, 0 to {}", count - 1);
  }
  return "";
}

ChoiceQuestion question_of(const Json& line) {
  ChoiceQuestion question;
  question.context = line.find("context")->as_string();
  for (const Json& choice : line.find("choices")->as_array()) {
    question.choices.push_back(choice.as_string());
  }
  question.answer = line.find("answer")->as_int();
  return question;
}

// A text's ids, and the index of the first one of the choice.
struct EncodedChoice {
  std::vector<int32_t> ids;
  size_t first = 0;
};

EncodedChoice encode_choice(const Tokenizer& tokenizer, const ChoiceQuestion& question,
                            const std::string& choice) {
  const size_t end = question.context.find_last_not_of(" \t\n");
  const auto context =
      std::string_view(question.context).substr(0, end == std::string::npos ? 0 : end + 1);
  EncodedChoice encoded;
  encoded.ids = tokenizer.encode(question.context + choice);
  encoded.first = context.empty() ? 0 : tokenizer.encode(context).size();
  // The choice has one token at least, and something is before it.
  encoded.first = std::min(encoded.first, encoded.ids.size() - 1);
  const std::optional<int32_t> start = tokenizer.bos() ? tokenizer.bos() : tokenizer.eos();
  if ((tokenizer.add_bos() || encoded.first == 0) && start) {
    encoded.ids.insert(encoded.ids.begin(), *start);
    ++encoded.first;
  }
  return encoded;
}

// Sum of ln p of the choice's tokens.
Result<double> score_choice(EncodedChoice encoded, Scorer& scorer, size_t window, int64_t& cut) {
  const size_t length = encoded.ids.size() - encoded.first;
  if (encoded.first == 0 || length + 1 > window) {
    return fail(ErrorCode::kUsage,
                "a choice of {} tokens needs {} with one before it, but there is room for {}",
                length, length + 1, encoded.first == 0 ? length : window);
  }
  if (encoded.ids.size() > window) {
    const size_t surplus = encoded.ids.size() - window;
    encoded.ids.erase(encoded.ids.begin(), encoded.ids.begin() + static_cast<int64_t>(surplus));
    encoded.first -= surplus;
    ++cut;
  }
  MK_ASSIGN(const std::vector<double> log_probs, scorer.score_from(encoded.ids, encoded.first));
  double sum = 0.0;
  for (const double log_prob : log_probs) sum += log_prob;
  return sum;
}

int64_t index_of_largest(const std::vector<double>& values) {
  return std::max_element(values.begin(), values.end()) - values.begin();
}

}  // namespace

Result<std::vector<ChoiceQuestion>> read_choice_questions(const std::filesystem::path& path) {
  MK_ASSIGN(const std::string text, read_file(path));
  std::vector<ChoiceQuestion> questions;
  int64_t number = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = std::string_view(text).substr(begin, end - begin);
    begin = end + 1;
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const Result<Json> json = parse_json(line);
    const std::string problem = json ? problem_of(*json) : json.error().message;
    if (!problem.empty()) {
      return fail(ErrorCode::kUsage, "{}:{}: {}", path.string(), number, problem);
    }
    questions.push_back(question_of(*json));
  }
  if (questions.empty()) {
    return fail(ErrorCode::kUsage, "{} has no questions: expected one as JSON a line",
                path.string());
  }
  return questions;
}

double ChoiceScore::interval() const {
  if (questions == 0) return 0.0;
  constexpr double kZ = 1.959964;  // of 95 %
  const auto n = static_cast<double>(questions);
  const double p = accuracy();
  return kZ * std::sqrt(p * (1.0 - p) / n + kZ * kZ / (4.0 * n * n)) / (1.0 + kZ * kZ / n);
}

Result<ChoiceScore> score_choices(const Tokenizer& tokenizer,
                                  std::span<const ChoiceQuestion> questions, Scorer& scorer,
                                  int window, const std::function<bool(int64_t)>& progress) {
  ChoiceScore score;
  for (const ChoiceQuestion& question : questions) {
    std::vector<double> sums, normalized;
    for (const std::string& choice : question.choices) {
      MK_ASSIGN(const double sum, score_choice(encode_choice(tokenizer, question, choice), scorer,
                                               static_cast<size_t>(window), score.cut));
      sums.push_back(sum);
      normalized.push_back(sum / static_cast<double>(choice.size()));
    }
    ++score.questions;
    if (index_of_largest(sums) == question.answer) ++score.correct;
    if (index_of_largest(normalized) == question.answer) ++score.correct_normalized;
    if (progress && !progress(score.questions)) {
      return fail(ErrorCode::kInterrupted, "interrupted");
    }
  }
  return score;
}

}  // namespace minke
