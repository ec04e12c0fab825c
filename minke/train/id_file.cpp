#include "minke/train/id_file.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <utility>

#include "minke/base/check.h"
#include "minke/base/files.h"
#include "minke/base/utf8.h"

namespace minke {
namespace {

constexpr size_t kFileBytesMax = size_t{8} << 30;

class IdFile final : public BatchSource {
 public:
  IdFile(std::vector<int32_t> ids, const IdFileShape& shape)
      : ids_(std::move(ids)), shape_(shape) {}

  Result<TokenBatch> batch(int64_t step) const override {
    MK_CHECK(step >= 0 && step < shape_.steps, "id file: step {} of {}", step, shape_.steps);
    TokenBatch batch;
    batch.seq_len = shape_.seq;
    for (int64_t row = 0; row < shape_.batch; ++row) {
      const auto first = ids_.begin() + (step * shape_.batch + row) * shape_.seq;
      batch.append({first, first + shape_.seq}, {first + 1, first + shape_.seq + 1}, true);
    }
    return batch;
  }
  int64_t steps_per_epoch() const override { return shape_.steps; }

 private:
  std::vector<int32_t> ids_;
  IdFileShape shape_;
};

Result<std::vector<int32_t>> parse_ids(std::string_view text, const std::string& name,
                                       const IdFileShape& shape) {
  constexpr std::string_view kSeparators = " \t\r\n,[]";
  std::vector<int32_t> ids;
  int64_t line = 1;
  for (size_t at = 0; at < text.size();) {
    if (kSeparators.find(text[at]) != std::string_view::npos) {
      line += text[at++] == '\n' ? 1 : 0;
      continue;
    }
    const size_t end = std::min(text.find_first_of(kSeparators, at), text.size());
    int32_t id = -1;
    const auto [stop, error] = std::from_chars(text.data() + at, text.data() + end, id);
    if (error != std::errc() || stop != text.data() + end || id < 0 || id >= shape.vocab_size) {
      return fail(ErrorCode::kUsage, "{}:{}: '{}' is no token id, expected 0 to {}", name, line,
                  printable_name(text.substr(at, std::min<size_t>(end - at, 40))),
                  shape.vocab_size - 1);
    }
    ids.push_back(id);
    at = end;
  }
  return ids;
}

}  // namespace

Result<std::unique_ptr<BatchSource>> open_id_file(const std::filesystem::path& path,
                                                  const IdFileShape& shape) {
  MK_ASSIGN(const std::string text, read_file(path, kFileBytesMax));
  MK_ASSIGN(std::vector<int32_t> ids, parse_ids(text, path.string(), shape));
  const int64_t wanted = shape.steps * shape.batch * shape.seq + 1;
  if (static_cast<int64_t>(ids.size()) < wanted) {
    return fail(
        ErrorCode::kUsage,
        "{} has {} token ids, but {} steps of {} rows of {} tokens read {}: give more ids, "
        "or at most {} steps",
        path.string(), ids.size(), shape.steps, shape.batch, shape.seq, wanted,
        (std::max<int64_t>(static_cast<int64_t>(ids.size()), 1) - 1) / (shape.batch * shape.seq));
  }
  return std::make_unique<IdFile>(std::move(ids), shape);
}

}  // namespace minke
