#include "minke/convert/importance.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>

#include "minke/base/check.h"
#include "minke/base/files.h"
#include "minke/base/utf8.h"
#include "minke/format/gguf.h"
#include "minke/format/weight_writer.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSumsSuffix = ".in_sum2", kCountsSuffix = ".counts";
// An input that the text never used still gets so much of the mean weight: another text may use it.
constexpr double kWeightMin = 1e-3;

Result<void> check_values(std::string_view name, const InputSquares& squares) {
  for (const std::vector<double>* values : {&squares.sums, &squares.counts}) {
    for (const double value : *values) {
      if (std::isfinite(value) && value >= 0) continue;
      return fail(ErrorCode::kCorrupt, "importance of '{}' has the value {}, expected 0 or more",
                  printable_name(name), value);
    }
  }
  return {};
}

Result<std::vector<double>> decoded(const WeightInfo& info) {
  if (info.dtype != DType::kF32) {
    return fail(ErrorCode::kCorrupt, "importance '{}' is {}, expected f32",
                printable_name(info.name), dtype_info(info.dtype).name);
  }
  std::vector<float> values(static_cast<size_t>(info.shape.num_elements()));
  if (!values.empty()) std::memcpy(values.data(), info.bytes.data(), info.bytes.size());
  return std::vector<double>(values.begin(), values.end());
}

// The older form, read in place.
class LegacyReader {
 public:
  explicit LegacyReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  template <class T>
  std::optional<T> number() {
    if (bytes_.size() < sizeof(T)) return std::nullopt;
    T value;
    std::memcpy(&value, bytes_.data(), sizeof value);
    bytes_ = bytes_.subspan(sizeof value);
    return value;
  }
  std::optional<std::string> text(int32_t length) {
    if (length < 0 || bytes_.size() < static_cast<size_t>(length)) return std::nullopt;
    std::string out(reinterpret_cast<const char*>(bytes_.data()), static_cast<size_t>(length));
    bytes_ = bytes_.subspan(out.size());
    return out;
  }
  std::optional<std::vector<float>> floats(int32_t count) {
    if (count < 1 || bytes_.size() / sizeof(float) < static_cast<size_t>(count))
      return std::nullopt;
    std::vector<float> out(static_cast<size_t>(count));
    std::memcpy(out.data(), bytes_.data(), out.size() * sizeof(float));
    bytes_ = bytes_.subspan(out.size() * sizeof(float));
    return out;
  }

 private:
  std::span<const std::byte> bytes_;
};

Result<Importance> read_legacy(std::span<const std::byte> bytes, const fs::path& path) {
  const auto broken = [&](int entry) {
    return fail(ErrorCode::kCorrupt,
                "{}: neither GGUF nor an importance matrix of llama.cpp's older form (entry {})",
                path.string(), entry);
  };
  LegacyReader reader(bytes);
  const auto count = reader.number<int32_t>();
  if (!count || *count < 1) return broken(0);
  Importance importance;
  for (int entry = 1; entry <= *count; ++entry) {
    const auto length = reader.number<int32_t>();
    auto name = length ? reader.text(*length) : std::nullopt;
    const auto calls = name ? reader.number<int32_t>() : std::nullopt;
    const auto size = calls ? reader.number<int32_t>() : std::nullopt;
    const auto values = size ? reader.floats(*size) : std::nullopt;
    if (!values) return broken(entry);
    InputSquares squares{static_cast<int64_t>(values->size()),
                         std::vector<double>(values->begin(), values->end()),
                         {static_cast<double>(std::max(1, *calls))}};
    MK_TRY(check_values(*name, squares));
    importance.add(std::move(*name), std::move(squares));
  }
  return importance;
}

Result<Importance> read_gguf(const GgufFile& file, const fs::path& path) {
  Importance importance;
  for (const WeightInfo& sums : file.weights()) {
    if (!sums.name.ends_with(kSumsSuffix)) continue;
    const std::string name = sums.name.substr(0, sums.name.size() - kSumsSuffix.size());
    const WeightInfo* counts = file.find(name + std::string(kCountsSuffix));
    const int64_t matrices = sums.shape.num_rows();
    if (counts == nullptr || counts->shape.num_elements() != matrices || sums.bytes.empty()) {
      return fail(ErrorCode::kCorrupt, "{}: '{}' {} should have {} counts", path.string(),
                  printable_name(sums.name), sums.shape.text(), matrices);
    }
    InputSquares squares;
    squares.cols = sums.shape.back();
    MK_ASSIGN(squares.sums, decoded(sums));
    MK_ASSIGN(squares.counts, decoded(*counts));
    MK_TRY(check_values(name, squares));
    importance.add(name, std::move(squares));
  }
  if (importance.size() > 0) return importance;
  return fail(ErrorCode::kCorrupt, "{} has no importance matrix: expected tensors NAME{}",
              path.string(), kSumsSuffix);
}

}  // namespace

Result<Importance> Importance::open(const fs::path& path) {
  MK_ASSIGN(const MappedFile file, MappedFile::open(path));
  const std::span<const std::byte> bytes = file.bytes();
  if (bytes.size() < 4 || std::memcmp(bytes.data(), "GGUF", 4) != 0) {
    return read_legacy(bytes, path);
  }
  MK_ASSIGN(const GgufFile gguf, GgufFile::open(path));
  return read_gguf(gguf, path);
}

void Importance::add(std::string name, InputSquares squares) {
  MK_CHECK(squares.cols > 0 && squares.sums.size() % static_cast<size_t>(squares.cols) == 0 &&
               !squares.counts.empty(),
           "importance: {} sums in rows of {}", squares.sums.size(), squares.cols);
  entries_.insert_or_assign(std::move(name), std::move(squares));
}

Result<std::vector<float>> Importance::weights(std::string_view name, int64_t matrices,
                                               int64_t cols) const {
  const auto at = entries_.find(name);
  if (at == entries_.end()) return std::vector<float>{};
  const std::vector<double>& sums = at->second.sums;
  const auto size = static_cast<size_t>(cols);
  const size_t known = sums.size() / size;  // one for all, or one a matrix
  if (sums.size() % size != 0 || (known != 1 && known != static_cast<size_t>(matrices))) {
    return fail(ErrorCode::kUsage,
                "the importance of '{}' has {} values when {} columns and {} matrices need {}: it "
                "is of another model",
                printable_name(name), sums.size(), cols, matrices, cols * matrices);
  }
  std::vector<float> out(size * static_cast<size_t>(matrices), 1.0f);
  for (size_t m = 0; m < static_cast<size_t>(matrices); ++m) {
    const double* row = sums.data() + (known == 1 ? 0 : m) * size;
    double mean = 0;
    for (size_t i = 0; i < size; ++i) mean += row[i] / static_cast<double>(size);
    if (!(mean > 0)) continue;  // an expert that the text never chose
    for (size_t i = 0; i < size; ++i) {
      out[m * size + i] = static_cast<float>(kWeightMin + (1 - kWeightMin) * row[i] / mean);
    }
  }
  return out;
}

Result<void> Importance::write(const fs::path& path, std::string_view text_name) const {
  GgufMetadata metadata;
  metadata.add("general.type", "imatrix");
  metadata.add_array("imatrix.datasets", std::vector<std::string>{std::string(text_name)});
  metadata.add("imatrix.chunk_count", static_cast<uint32_t>(num_chunks_));
  metadata.add("imatrix.chunk_size", static_cast<uint32_t>(chunk_tokens_));
  std::vector<WeightDeclaration> tensors;
  std::vector<float> values;
  for (const auto& [name, squares] : entries_) {
    const auto matrices = static_cast<int64_t>(squares.counts.size());
    tensors.push_back({name + std::string(kSumsSuffix), DType::kF32, {matrices, squares.cols}});
    tensors.push_back({name + std::string(kCountsSuffix), DType::kF32, {matrices, 1}});
    for (const double sum : squares.sums) values.push_back(static_cast<float>(sum));
    for (const double count : squares.counts) values.push_back(static_cast<float>(count));
  }
  MK_ASSIGN(WeightWriter writer, create_gguf(path, metadata, tensors));
  MK_TRY(writer.write(std::as_bytes(std::span<const float>(values))));
  return writer.finish();
}

}  // namespace minke
