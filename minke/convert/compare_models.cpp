#include "minke/convert/compare_models.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <numeric>
#include <utility>

#include "minke/base/thread_pool.h"
#include "minke/base/utf8.h"
#include "minke/convert/compare_config.h"
#include "minke/convert/tokenizer_check.h"

namespace minke {
namespace {

// Elements that a thread compares at once; see QuantizedTensor.
constexpr int64_t kPieceElements = 16384;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct PieceError {
  double max_abs = 0;
  double squared_error = 0;
  double squared_values = 0;
};

PieceError error_of(const float* a, const float* b, int64_t count) {
  PieceError out;
  for (int64_t i = 0; i < count; ++i) {
    const double x = a[i], y = b[i];
    if (std::isfinite(x)) out.squared_values += x * x;
    if (x == y || (std::isnan(x) && std::isnan(y))) continue;
    const double difference = std::isfinite(x) && std::isfinite(y) ? std::abs(x - y) : kInfinity;
    out.max_abs = std::max(out.max_abs, difference);
    out.squared_error += difference * difference;
  }
  return out;
}

// Two tensors of one shape, in pieces that are whole units of both.
class TensorPair {
 public:
  TensorPair(const PlannedTensor& a, const PlannedTensor& b) : a_(a), b_(b) {
    elements_ = a.declaration.shape.num_elements();
    unit_a_ = elements_ / a.num_units;
    unit_b_ = elements_ / b.num_units;
    const int64_t both = std::lcm(unit_a_, unit_b_);
    piece_ = both * std::max<int64_t>(1, kPieceElements / both);
  }

  TensorDifference compare(ThreadPool& pool) const {
    const int64_t pieces = (elements_ + piece_ - 1) / piece_;
    std::vector<PieceError> errors(static_cast<size_t>(pieces));  // summed in order afterwards
    pool.parallel_for(pieces, 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i) errors[static_cast<size_t>(i)] = compare_piece(i);
    });
    PieceError sum;
    for (const PieceError& error : errors) {
      sum.max_abs = std::max(sum.max_abs, error.max_abs);
      sum.squared_error += error.squared_error;
      sum.squared_values += error.squared_values;
    }
    TensorDifference out{a_.declaration.name, "", sum.max_abs, 0};
    if (sum.squared_error > 0) {
      out.relative_error = std::sqrt(sum.squared_error / sum.squared_values);
    }
    return out;
  }

 private:
  PieceError compare_piece(int64_t index) const {
    const int64_t begin = index * piece_, count = std::min(piece_, elements_ - begin);
    const DType dtype = a_.declaration.dtype;
    const auto bytes = static_cast<size_t>(dtype_bytes(dtype, count));
    const auto make = [&](const PlannedTensor& tensor, int64_t unit) {
      std::vector<std::byte> out(bytes);
      for (int64_t i = 0; i < count / unit; ++i) {
        tensor.make(begin / unit + i, out.data() + dtype_bytes(dtype, i * unit));
      }
      return out;
    };
    const std::vector<std::byte> a = make(a_, unit_a_), b = make(b_, unit_b_);
    if (a == b) {  // which the sum of squares still needs
      const auto* values = reinterpret_cast<const float*>(a.data());
      return dtype == DType::kF32 ? error_of(values, values, count) : PieceError{};
    }
    if (dtype != DType::kF32) return {kInfinity, kInfinity, 0};
    return error_of(reinterpret_cast<const float*>(a.data()),
                    reinterpret_cast<const float*>(b.data()), count);
  }

  const PlannedTensor& a_;
  const PlannedTensor& b_;
  int64_t elements_ = 0;
  int64_t unit_a_ = 0, unit_b_ = 0;
  int64_t piece_ = 0;
};

// What keeps two tensors of one name from being compared; empty: nothing.
std::string misfit(const WeightDeclaration& a, const WeightDeclaration& b) {
  if (!(a.shape == b.shape)) return fmt::format("{} and {}", a.shape.text(), b.shape.text());
  if (a.dtype == b.dtype) return "";
  return fmt::format("{} and {}", dtype_info(a.dtype).name, dtype_info(b.dtype).name);
}

void drop_sources(const PlannedTensor& tensor, const WeightFile& file) {
  for (const WeightInfo* info : tensor.sources) file.drop(info->bytes);
}

Result<void> compare_tensors(const OpenedModel& model_a, const OpenedModel& model_b,
                             const CompareOptions& options, ModelComparison& out) {
  const bool as_gguf = model_a.gguf || model_b.gguf;
  MK_ASSIGN(const std::vector<PlannedTensor> all_a, model_a.decoded_tensors(as_gguf));
  MK_ASSIGN(const std::vector<PlannedTensor> all_b, model_b.decoded_tensors(as_gguf));
  std::map<std::string_view, const PlannedTensor*> in_b;
  for (const PlannedTensor& tensor : all_b) in_b.emplace(tensor.declaration.name, &tensor);
  uint64_t done = 0, total = 0;
  for (const PlannedTensor& tensor : all_a) {
    total += static_cast<uint64_t>(tensor.declaration.shape.num_elements());
  }
  ThreadPool pool(options.num_threads);
  for (const PlannedTensor& a : all_a) {
    const std::string& name = a.declaration.name;
    const auto at = in_b.find(name);
    if (at == in_b.end()) {
      out.tensors.push_back({name, "only in the first", 0, 0});
      continue;
    }
    const PlannedTensor& b = *at->second;
    in_b.erase(at);
    ++out.num_tensors;
    const int64_t elements = a.declaration.shape.num_elements();
    if (std::string what = misfit(a.declaration, b.declaration); !what.empty()) {
      out.tensors.push_back({name, std::move(what), 0, 0});
    } else if (elements > 0) {
      TensorDifference difference = TensorPair(a, b).compare(pool);
      if (difference.max_abs_difference > 0) out.tensors.push_back(std::move(difference));
    }
    drop_sources(a, model_a.file());
    drop_sources(b, model_b.file());
    done += static_cast<uint64_t>(elements);
    if (options.progress && !options.progress(done, total)) {
      return fail(ErrorCode::kInterrupted, "{}", "");
    }
  }
  for (const PlannedTensor& tensor : all_b) {
    if (!in_b.contains(tensor.declaration.name)) continue;
    out.tensors.push_back({tensor.declaration.name, "only in the second", 0, 0});
  }
  return {};
}

}  // namespace

double ModelComparison::relative_error_max() const {
  double most = 0;
  for (const TensorDifference& tensor : tensors) most = std::max(most, tensor.relative_error);
  return most;
}

bool ModelComparison::same(double tolerance) const {
  return config.empty() && tokenizer.empty() &&
         std::all_of(tensors.begin(), tensors.end(), [&](const TensorDifference& tensor) {
           return tensor.what.empty() && tensor.relative_error <= tolerance;
         });
}

Result<ModelComparison> compare_models(const OpenedModel& a, const OpenedModel& b,
                                       const CompareOptions& options) {
  ModelComparison out;
  out.config = config_differences(a.config, b.config, a.gguf.has_value() == b.gguf.has_value());
  if (options.with_tokenizer) {
    const auto tokenizer_a = a.tokenizer(), tokenizer_b = b.tokenizer();
    for (const auto* tokenizer : {&tokenizer_a, &tokenizer_b}) {
      if (*tokenizer) continue;
      out.tokenizer.push_back(fmt::format("of the {} cannot be read: {}",
                                          tokenizer == &tokenizer_a ? "first" : "second",
                                          tokenizer->error().message));
    }
    if (out.tokenizer.empty()) out.tokenizer = tokenizer_differences(*tokenizer_a, *tokenizer_b);
  }
  MK_TRY(compare_tensors(a, b, options, out));
  return out;
}

Result<ModelComparison> compare_models(const std::filesystem::path& a,
                                       const std::filesystem::path& b,
                                       const CompareOptions& options) {
  MK_ASSIGN(const OpenedModel first, OpenedModel::open(a));
  MK_ASSIGN(const OpenedModel second, OpenedModel::open(b));
  return compare_models(first, second, options);
}

}  // namespace minke
