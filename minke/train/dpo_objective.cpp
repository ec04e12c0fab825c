#include "minke/train/dpo_objective.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "minke/base/files.h"
#include "minke/base/json.h"

namespace minke {
namespace {

constexpr size_t kFileBytesMax = size_t{4} << 30;

template <class Value>
void append(std::vector<Value>& to, const std::vector<Value>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

// Both answers of all pairs as one batch: those that were chosen, then the rejected ones.
TokenBatch joined(PairBatch pairs) {
  TokenBatch all = std::move(pairs.chosen);
  const TokenBatch& rest = pairs.rejected;
  all.seq_len = std::max(all.seq_len, rest.seq_len);
  append(all.tokens, rest.tokens);
  append(all.targets, rest.targets);
  append(all.positions, rest.positions);
  append(all.lengths, rest.lengths);
  append(all.row_lengths, rest.row_lengths);
  return all;
}

// Of the pairs whose reference is not known yet.
PairBatch unknown_pairs(const PairBatch& batch, const std::map<int64_t, PairLogProbs>& known) {
  PairBatch out;
  for (int64_t i = 0; i < batch.num_pairs(); ++i) {
    const int64_t index = batch.indices[static_cast<size_t>(i)];
    if (known.contains(index) || std::ranges::find(out.indices, index) != out.indices.end()) {
      continue;
    }
    const PairBatch pair = batch.pairs(i, i + 1);
    out.chosen.append(pair.chosen.tokens, pair.chosen.targets, true);
    out.rejected.append(pair.rejected.tokens, pair.rejected.targets, true);
    out.indices.push_back(index);
  }
  return out;
}

}  // namespace

Result<int64_t> ReferenceLogProbs::compute(const Device& device, const Model& model,
                                           const PairSource& source, int64_t num_steps,
                                           int64_t micro_batch,
                                           FunctionRef<bool(int64_t)> progress) {
  MK_CHECK(micro_batch > 0, "reference: micro-batches of {} pairs", micro_batch);
  const size_t num_known = pairs_.size();
  for (int64_t step = 0; step < num_steps; ++step) {
    MK_ASSIGN(const PairBatch batch, source.batch(step));
    const PairBatch pairs = unknown_pairs(batch, pairs_);
    for (int64_t begin = 0; begin < pairs.num_pairs(); begin += micro_batch) {
      add(device, model, pairs.pairs(begin, std::min(begin + micro_batch, pairs.num_pairs())));
    }
    if (!progress(step + 1)) {
      return fail(ErrorCode::kInterrupted,
                  "stopped while the reference's log-probabilities were computed, before step 1");
    }
  }
  return static_cast<int64_t>(pairs_.size() - num_known);
}

void ReferenceLogProbs::add(const Device& device, const Model& model, const PairBatch& pairs) {
  const TokenBatch answers = joined(pairs);
  const Tensor log_probs = model.log_probs({device}, forward_batch(answers), answers.targets);
  const std::vector<double> sums = answer_log_probs(log_probs, answers.row_lengths);
  for (size_t i = 0; i < pairs.indices.size(); ++i) {
    pairs_[pairs.indices[i]] = {sums[i], sums[pairs.indices.size() + i]};
  }
}

const PairLogProbs& ReferenceLogProbs::of(int64_t index) const {
  const auto at = pairs_.find(index);
  MK_CHECK(at != pairs_.end(), "reference: pair {} was not computed", index);
  return at->second;
}

bool ReferenceLogProbs::has(const PairBatch& batch) const {
  return std::ranges::all_of(batch.indices, [&](int64_t i) { return pairs_.contains(i); });
}

Result<void> ReferenceLogProbs::write(const std::filesystem::path& path) const {
  std::string text;
  for (const auto& [index, pair] : pairs_) {
    text += Json::object({{"pair", index}, {"chosen", pair.chosen}, {"rejected", pair.rejected}})
                .dump() +
            "\n";
  }
  return write_file_atomic(path, text);
}

Result<ReferenceLogProbs> ReferenceLogProbs::read(const std::filesystem::path& path) {
  MK_ASSIGN(const std::string text, read_file(path, kFileBytesMax));
  ReferenceLogProbs out;
  int64_t line = 1;
  for (size_t at = 0; at < text.size(); ++line) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const auto json = parse_json(std::string_view(text).substr(at, end - at));
    at = end + 1;
    const Json* index = json ? json->find("pair") : nullptr;
    const Json* chosen = json ? json->find("chosen") : nullptr;
    const Json* rejected = json ? json->find("rejected") : nullptr;
    const auto is_log_prob = [](const Json* value) {
      return value != nullptr && value->is_number() && std::isfinite(value->as_double());
    };
    if (index == nullptr || !index->is_int() || !is_log_prob(chosen) || !is_log_prob(rejected)) {
      return fail(ErrorCode::kCorrupt, "{}:{}: expected numbers: pair, chosen, rejected",
                  path.string(), line);
    }
    out.pairs_[index->as_int()] = {chosen->as_double(), rejected->as_double()};
  }
  return out;
}

Result<StepSize> DpoObjective::begin_step(int64_t step) {
  MK_ASSIGN(batch_, source_.batch(step));
  sums_ = {};
  if (!reference_.has(batch_)) {
    return fail(ErrorCode::kCorrupt,
                "step {}: the reference's log-probabilities are of other pairs: the data have "
                "changed since the run began",
                step);
  }
  const TokenBatch &chosen = batch_.chosen, &rejected = batch_.rejected;
  return StepSize{batch_.num_pairs(), chosen.num_tokens() + rejected.num_tokens(),
                  chosen.num_targets() + rejected.num_targets()};
}

Tensor DpoObjective::loss(const Context& context, int64_t begin, int64_t end) {
  PairBatch pairs = batch_.pairs(begin, end);
  std::vector<double> reference;
  for (const int64_t index : pairs.indices) reference.push_back(reference_.of(index).chosen);
  for (const int64_t index : pairs.indices) reference.push_back(reference_.of(index).rejected);
  answers_ = joined(std::move(pairs));
  inputs_ = forward_batch(answers_);
  const Tensor log_probs = model_.log_probs(context, inputs_, answers_.targets);
  return dpo_loss(context, log_probs, answers_.row_lengths, reference, config_,
                  static_cast<double>(batch_.num_pairs()), sums_);
}

std::vector<StepMetric> DpoObjective::metrics() const {
  const auto pairs = static_cast<double>(batch_.num_pairs());
  return {{"rewards/chosen", sums_.chosen_reward / pairs},
          {"rewards/rejected", sums_.rejected_reward / pairs},
          {"rewards/margins", (sums_.chosen_reward - sums_.rejected_reward) / pairs},
          {"rewards/accuracies", sums_.num_right / pairs}};
}

}  // namespace minke
