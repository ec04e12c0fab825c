// Goal: the loss of preference optimisation is that of TRL, and does not overflow. Method:
// tests/golden/dpo.json (PyTorch; dpo.py beside it has the formulas); micro-batches against the
// whole.
#include "minke/train/dpo.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

#include "minke/base/files.h"
#include "minke/base/json.h"
#include "tests/models/tiny_llama.h"

namespace minke {
namespace {

// The answers of dpo.py.
struct Answers {
  std::vector<int32_t> lengths;
  std::vector<double> reference;
  Tensor log_probs;

  explicit Answers(const std::vector<int>& numbers) {
    std::vector<float> values;
    for (const int i : numbers) {
      lengths.push_back(3 + 5 * i % 7);
      double sum = 0;
      for (int j = 0; j < lengths.back(); ++j) {
        const double value = -3 + 2.5 * std::sin(1 + 0.7 * j + 2.3 * i + 0.01 * i * j);
        values.push_back(j % 3 == 0 ? 0.0f : static_cast<float>(value));
        sum += static_cast<double>(values.back());
      }
      reference.push_back(sum * (0.9 + 0.05 * (i % 5)));
    }
    log_probs = Tensor::zeros(DType::kF32, {static_cast<int64_t>(values.size())});
    std::copy(values.begin(), values.end(), log_probs.data<float>());
  }
};

struct Found {
  double loss = 0;
  std::vector<double> gradients;  // of each answer's second token
  DpoSums sums;
};

Found found(const Answers& answers, const DpoConfig& config, double divisor) {
  const Device device(1, false, supported_levels().front());
  Tape tape;
  const Context context{device, &tape};
  Found out;
  const Tensor leaf = tape.watch(answers.log_probs);
  const Tensor loss =
      dpo_loss(context, leaf, answers.lengths, answers.reference, config, divisor, out.sums);
  out.loss = static_cast<double>(*loss.data<float>());
  tape.backward(device, loss);
  const float* gradient = tape.grad(leaf).data<float>();
  for (const int32_t length : answers.lengths) {
    out.gradients.push_back(static_cast<double>(gradient[1]));
    gradient += length;
  }
  return out;
}

std::vector<int> numbers(int pairs) {
  std::vector<int> out;
  for (int i = 0; i < 2 * pairs; ++i) out.push_back(i);
  return out;
}

TEST(Dpo, IsPyTorchsLossAndGradient) {
  const char* root = std::getenv("MINKE_SOURCE_DIR");
  const auto text =
      read_file(std::string(root != nullptr ? root : ".") + "/tests/golden/dpo.json", 1 << 20);
  ASSERT_TRUE(text) << "run in the source folder, or set MINKE_SOURCE_DIR";
  const Json document = *parse_json(*text);
  for (const Json& wanted : document.find("cases")->as_array()) {
    const auto number = [&](const char* key) { return wanted.find(key)->as_double(); };
    const double pairs = number("pairs");
    const Found got = found(Answers(numbers(static_cast<int>(pairs))),
                            {number("beta"), number("label_smoothing")}, pairs);
    EXPECT_NEAR(got.loss, number("loss"), 1e-6);
    size_t i = 0;
    for (const Json& gradient : wanted.find("gradients")->as_array()) {
      EXPECT_NEAR(got.gradients[i++], gradient.as_double(), 1e-6);
    }
    EXPECT_NEAR(got.sums.chosen_reward / pairs, number("chosen_reward"), 1e-9);
    EXPECT_NEAR(got.sums.rejected_reward / pairs, number("rejected_reward"), 1e-9);
    EXPECT_NEAR(got.sums.num_right / pairs, number("accuracy"), 1e-9);
  }
}

TEST(Dpo, OfMicroBatchesAddsUp) {
  const DpoConfig config{0.5, 0.1};
  const Found whole = found(Answers(numbers(4)), config, 4);
  const Found first = found(Answers({0, 4}), config, 4);
  const Found rest = found(Answers({1, 2, 3, 5, 6, 7}), config, 4);
  EXPECT_NEAR(first.loss + rest.loss, whole.loss, 1e-6);
  EXPECT_EQ(first.gradients[0], whole.gradients[0]);
  EXPECT_EQ(rest.gradients[3], whole.gradients[5]);
}

TEST(Dpo, StaysFiniteFarFromTheReference) {
  Answers answers(numbers(1));
  for (const double away : {1e6, -1e6}) {
    answers.reference = {away, -away};
    const Found got = found(answers, {1.0, 0.0}, 1);
    EXPECT_TRUE(std::isfinite(got.loss) && std::isfinite(got.gradients[0])) << away;
  }
}

}  // namespace
}  // namespace minke
