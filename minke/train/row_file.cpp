#include "minke/train/row_file.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "minke/base/check.h"
#include "minke/base/files.h"
#include "minke/base/json.h"

namespace minke {
namespace {

constexpr size_t kFileBytesMax = size_t{8} << 30;
constexpr int64_t kIgnoredLabel = -100;

struct Row {
  std::vector<int32_t> tokens;
  std::vector<int32_t> targets;
};

class RowFile final : public BatchSource {
 public:
  RowFile(std::vector<Row> rows, const RowFileShape& shape)
      : rows_(std::move(rows)), shape_(shape) {}

  Result<TokenBatch> batch(int64_t step) const override {
    MK_CHECK(step >= 0 && step < shape_.steps, "row file: step {} of {}", step, shape_.steps);
    TokenBatch batch;
    for (int64_t row = step * shape_.batch; row < (step + 1) * shape_.batch; ++row) {
      batch.append(rows_[static_cast<size_t>(row)].tokens, rows_[static_cast<size_t>(row)].targets,
                   true);
    }
    return batch;
  }
  int64_t steps_per_epoch() const override { return shape_.steps; }

 private:
  std::vector<Row> rows_;
  RowFileShape shape_;
};

// What the line is like when it is not as it should be; empty: its ids and labels are `out`.
std::string objection(const Json* ids, const Json* labels, const RowFileShape& shape, Row& out) {
  const auto is_array = [](const Json* value) { return value != nullptr && value->is_array(); };
  if (!is_array(ids) || !is_array(labels)) {
    return "expected an object with arrays input_ids and labels";
  }
  const auto &id_values = ids->as_array(), &label_values = labels->as_array();
  if (id_values.size() != label_values.size()) {
    return fmt::format("{} input_ids with {} labels", id_values.size(), label_values.size());
  }
  const auto is_id = [&](const Json& value) {
    return value.is_int() && value.as_int() >= 0 && value.as_int() < shape.vocab_size;
  };
  size_t num_read = 0;  // tokens up to the one before the last label
  for (size_t i = 0; i < id_values.size(); ++i) {
    const Json& label = label_values[i];
    const bool is_ignored = label.is_int() && label.as_int() == kIgnoredLabel;
    if (!is_id(id_values[i]) || !(is_ignored || is_id(label))) {
      return fmt::format("element {} is {} with label {}, expected ids from 0 to {}, or label {}",
                         i, id_values[i].dump(), label.dump(), shape.vocab_size - 1, kIgnoredLabel);
    }
    out.tokens.push_back(static_cast<int32_t>(id_values[i].as_int()));
    if (i > 0) out.targets.push_back(is_ignored ? kNoTarget : static_cast<int32_t>(label.as_int()));
    if (i > 0 && !is_ignored) num_read = i;
  }
  if (num_read == 0) return "it has no label after its first token: nothing is to be learnt";
  if (num_read > static_cast<size_t>(shape.seq)) {
    return fmt::format("{} tokens when rows may have {}: raise --seq", num_read, shape.seq);
  }
  out.tokens.resize(num_read);
  out.targets.resize(num_read);
  return {};
}

}  // namespace

Result<std::unique_ptr<BatchSource>> open_row_file(const std::filesystem::path& path,
                                                   const RowFileShape& shape) {
  MK_ASSIGN(const std::string text, read_file(path, kFileBytesMax));
  const auto wanted = static_cast<size_t>(shape.steps * shape.batch);
  std::vector<Row> rows;
  int64_t line = 1;
  for (size_t at = 0; at < text.size() && rows.size() < wanted; ++line) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view content = std::string_view(text).substr(at, end - at);
    at = end + 1;
    if (content.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const auto json = parse_json(content);
    if (!json) {
      return fail(ErrorCode::kUsage, "{}:{}: no JSON: {}", path.string(), line,
                  json.error().message);
    }
    Row row;
    const std::string wrong = objection(json->find("input_ids"), json->find("labels"), shape, row);
    if (!wrong.empty()) return fail(ErrorCode::kUsage, "{}:{}: {}", path.string(), line, wrong);
    rows.push_back(std::move(row));
  }
  if (rows.size() < wanted) {
    return fail(ErrorCode::kUsage, "{} has {} rows, but {} steps of {} rows read {}", path.string(),
                rows.size(), shape.steps, shape.batch, wanted);
  }
  return std::make_unique<RowFile>(std::move(rows), shape);
}

}  // namespace minke
