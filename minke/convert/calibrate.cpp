#include "minke/convert/calibrate.h"

#include <algorithm>
#include <deque>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "minke/autograd/context.h"
#include "minke/convert/tensor_name.h"

namespace minke {
namespace {

// The records of a model's matrices, set for as long as this lives.
class Recorder {
 public:
  explicit Recorder(ParameterStore& store) {
    for (Parameter& parameter : store.parameters()) {
      const bool is_of_layer = !parameter.names.empty() && parameter.names[0].starts_with("blk.");
      if (parameter.rows == 0 || !is_of_layer) continue;
      parameter.inputs = &records_.emplace_back(parameter.cols);
      parameters_.push_back(&parameter);
    }
  }
  ~Recorder() {
    for (Parameter* parameter : parameters_) parameter->inputs = nullptr;
  }
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  std::map<std::string, InputSquares> squares(const ModelConfig& config) const {
    std::map<std::string, InputSquares> out;
    for (const Parameter* parameter : parameters_) {
      for (const std::string& name : parameter->names) {
        const TensorName parts = TensorName::of(name);
        const std::string stem = fmt::format("blk.{}.", parts.layer);
        if (parts.expert >= 0) {
          put(out[stem + parts.part + ".weight"], *parameter->inputs, parts.expert,
              config.moe.n_routed_experts);
          continue;
        }
        put(out[name], *parameter->inputs, 0, 1);
        if (parts.part != "attn_kv_b") continue;
        for (int64_t head = 0; head < config.num_attention_heads; ++head) {
          put(out[stem + "attn_v_b.weight"], *parameter->inputs, head, config.num_attention_heads);
        }
      }
    }
    return out;
  }

 private:
  static void put(InputSquares& squares, const InputRecord& record, int64_t matrix,
                  int64_t num_matrices) {
    const std::span<const double> sums = record.sums();
    squares.cols = static_cast<int64_t>(sums.size());
    squares.sums.resize(sums.size() * static_cast<size_t>(num_matrices));
    squares.counts.resize(static_cast<size_t>(num_matrices));
    std::copy(sums.begin(), sums.end(), squares.sums.begin() + matrix * squares.cols);
    squares.counts[static_cast<size_t>(matrix)] = static_cast<double>(record.num_rows());
  }

  std::deque<InputRecord> records_;  // which keep their addresses
  std::vector<Parameter*> parameters_;
};

Result<void> check_ids(std::span<const int32_t> ids, int64_t vocab_size) {
  if (ids.size() < 2) {
    return fail(ErrorCode::kUsage, "the text to calibrate with has {} tokens: give a longer one",
                ids.size());
  }
  for (const int32_t id : ids) {
    if (id >= 0 && id < vocab_size) continue;
    return fail(ErrorCode::kUsage, "token id {} is outside the vocabulary of {}", id, vocab_size);
  }
  return {};
}

}  // namespace

std::vector<int32_t> calibration_ids(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<int32_t> ids = tokenizer.encode(text);
  if (tokenizer.add_bos() && tokenizer.bos()) ids.insert(ids.begin(), *tokenizer.bos());
  return ids;
}

Result<Importance> calibrate(const Device& device, Model& model, std::span<const int32_t> ids,
                             int32_t bos, const CalibrateOptions& options) {
  const ModelConfig& config = model.config();
  MK_TRY(check_ids(ids, config.vocab_size));
  const int64_t num_ids = static_cast<int64_t>(ids.size());
  const int64_t chunk = std::min(options.chunk_tokens, num_ids);
  int64_t chunks = num_ids / chunk;
  if (options.chunks_max > 0) chunks = std::min(chunks, options.chunks_max);
  const Recorder recorder(model.parameters());
  const Context context{device};
  for (int64_t i = 0; i < chunks; ++i) {
    ForwardBatch batch;
    batch.tokens.assign(ids.begin() + i * chunk, ids.begin() + (i + 1) * chunk);
    if (bos >= 0) batch.tokens[0] = bos;
    batch.positions.resize(batch.tokens.size());
    std::iota(batch.positions.begin(), batch.positions.end(), 0);
    batch.seq_len = chunk;
    batch.logit_rows = {0};  // nobody looks at the head's logits
    model.forward(context, batch);
    if (options.progress && !options.progress(i + 1, chunks)) {
      return fail(ErrorCode::kInterrupted, "{}", "");
    }
  }
  Importance importance;
  for (auto& [name, squares] : recorder.squares(config)) {
    importance.add(name, std::move(squares));
  }
  importance.set_chunks(chunks, chunk);
  return importance;
}

}  // namespace minke
