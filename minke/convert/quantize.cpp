#include "minke/convert/quantize.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "minke/base/utf8.h"
#include "minke/convert/destination.h"
#include "minke/convert/folder_as_gguf.h"
#include "minke/convert/gguf_config.h"
#include "minke/convert/tensor_name.h"
#include "minke/dtype/block_format.h"
#include "minke/models/model_file.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

constexpr uint32_t kQuantizationVersion = 2;  // of ggml's block formats
// Elements that a thread encodes at once: 0.1 ms of work, and few enough that they stay in its
// caches between decoding, encoding and the sum of errors.
constexpr int64_t kUnitElementsMax = 16384;

// A model as GGUF has it, whatever it lies in.
struct Source {
  std::optional<GgufFile> gguf;
  std::optional<HfFolder> folder;
  std::vector<PlannedTensor> tensors;
  GgufMetadata metadata;
  QuantizedModel model;
  std::vector<std::string> notes;

  const WeightFile& file() const {
    return gguf ? static_cast<const WeightFile&>(*gguf) : folder->weights;
  }
};

// A count that may be one for each layer: the first, then. 0 without it.
int64_t first_count(const GgufFile& file, const std::string& key) {
  const GgufValue* value = file.find_value(key);
  if (value == nullptr) return 0;
  constexpr uint64_t kCountMax = 1 << 20;  // what a hostile file says must not overflow
  if (!value->is_array()) {
    return static_cast<int64_t>(std::min(file.get_uint_or(key, 0).value_or(0), kCountMax));
  }
  if (value->element_type == GgufType::kU32) {
    const auto counts = value->as_array().numbers<uint32_t>(key);
    return counts && !counts->empty() ? counts->front() : 0;
  }
  const auto counts = value->as_array().numbers<int32_t>(key);
  return counts && !counts->empty() ? counts->front() : 0;
}

Result<void> open_gguf(const fs::path& path, Source& source) {
  MK_ASSIGN(source.gguf, GgufFile::open(path));
  const GgufFile& file = *source.gguf;
  source.metadata.copy(file);
  for (const WeightInfo& info : file.weights()) {
    source.tensors.push_back(same_rows(info.name, info.dtype, info));
  }
  MK_ASSIGN(const std::string_view architecture, file.get_string("general.architecture"));
  QuantizedModel& model = source.model;
  model.architecture = architecture;
  model.num_layers = first_count(file, model.architecture + ".block_count");
  model.num_heads = first_count(file, model.architecture + ".attention.head_count");
  const std::string kv_key = model.architecture + ".attention.head_count_kv";
  model.num_kv_heads =
      file.find_value(kv_key) == nullptr ? model.num_heads : first_count(file, kv_key);
  model.num_experts = first_count(file, model.architecture + ".expert_count");
  return {};
}

Result<void> open_folder(const fs::path& path, const fs::path& destination, bool with_tokenizer,
                         Source& source) {
  MK_ASSIGN(source.folder, HfFolder::open(path));
  MK_TRY(source.folder->take_fp8_scales());
  MK_ASSIGN(FolderAsGguf planned, folder_as_gguf(*source.folder, destination.stem().string(),
                                                 std::nullopt, with_tokenizer));
  source.tensors = std::move(planned.tensors);
  source.metadata = std::move(planned.metadata);
  source.notes = std::move(planned.notes);
  const ModelConfig& config = planned.config;
  const bool is_deepseek = config.architecture.starts_with("deepseek");
  source.model = {gguf_architecture(config),   num_blocks(config),
                  config.num_attention_heads,  is_deepseek ? 1 : config.num_key_value_heads,
                  config.moe.n_routed_experts, false};
  return {};
}

// What rounding did to the elements of one unit.
struct UnitError {
  double squared_error = 0;
  double squared_weights = 0;
};

UnitError error_of(const float* before, const float* after, int64_t count) {
  constexpr int64_t kLanes = 16, kRun = 256;  // sums in vectors, but in a fixed order
  UnitError sum;
  for (int64_t begin = 0; begin < count; begin += kRun) {
    float error[kLanes] = {}, weights[kLanes] = {};
    const int64_t end = std::min(count, begin + kRun), whole = end - (end - begin) % kLanes;
    for (int64_t i = begin; i < whole; i += kLanes) {
      for (int64_t lane = 0; lane < kLanes; ++lane) {
        const float rest = after[i + lane] - before[i + lane];
        error[lane] += rest * rest;
        weights[lane] += before[i + lane] * before[i + lane];
      }
    }
    for (int64_t i = whole; i < end; ++i) {
      error[0] += (after[i] - before[i]) * (after[i] - before[i]);
      weights[0] += before[i] * before[i];
    }
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      sum.squared_error += error[lane];
      sum.squared_weights += weights[lane];
    }
  }
  return sum;
}

// A tensor of the plan in another format, with what that does to it.
class QuantizedTensor {
 public:
  // Units of the tensor are joined to larger ones, so that encoding has groups enough.
  QuantizedTensor(PlannedTensor from, DType to, std::vector<float> weights)
      : from_(std::move(from)), to_(to), weights_(std::move(weights)) {
    const int64_t elements = from_.declaration.shape.num_elements();
    const int64_t unit = elements / from_.num_units;
    joined_ =
        std::clamp<int64_t>(kUnitElementsMax / std::max<int64_t>(unit, 1), 1, from_.num_units);
    while (from_.num_units % joined_ != 0) --joined_;
    unit_elements_ = unit * joined_;
    errors_.resize(static_cast<size_t>(from_.num_units / joined_));
  }

  PlannedTensor plan() {
    WeightDeclaration declaration = from_.declaration;
    declaration.dtype = to_;
    return {std::move(declaration), from_.sources, static_cast<int64_t>(errors_.size()),
            [this](int64_t unit, std::byte* out) { make(unit, out); }};
  }

  UnitError error() const {
    UnitError sum;
    for (const UnitError& unit : errors_) {
      sum.squared_error += unit.squared_error;
      sum.squared_weights += unit.squared_weights;
    }
    return sum;
  }

 private:
  void make(int64_t unit, std::byte* out) {
    const DTypeInfo& source = dtype_info(from_.declaration.dtype);
    const DTypeInfo& target = dtype_info(to_);
    const int64_t source_bytes = dtype_bytes(source.dtype, unit_elements_ / joined_);
    const auto bytes =
        std::make_unique_for_overwrite<std::byte[]>(static_cast<size_t>(source_bytes * joined_));
    for (int64_t i = 0; i < joined_; ++i) {
      from_.make(unit * joined_ + i, bytes.get() + i * source_bytes);
    }
    const auto values =
        std::make_unique_for_overwrite<float[]>(static_cast<size_t>(2 * unit_elements_));
    float* const decoded = values.get() + unit_elements_;
    source.decode(bytes.get(), unit_elements_ / source.block_size, values.get());
    encode(unit, values.get(), out);
    target.decode(out, unit_elements_ / target.block_size, decoded);
    errors_[static_cast<size_t>(unit)] = error_of(values.get(), decoded, unit_elements_);
  }

  void encode(int64_t unit, const float* values, std::byte* out) const {
    const DTypeInfo& target = dtype_info(to_);
    if (weights_.empty() || !is_block_quantized(to_)) {
      target.encode(values, unit_elements_ / target.block_size, out);
      return;
    }
    const int64_t cols = from_.declaration.shape.back();
    const int64_t matrices = static_cast<int64_t>(weights_.size()) / cols;
    const int64_t rows_a_matrix = from_.declaration.shape.num_rows() / matrices;
    for (int64_t i = 0; i < unit_elements_ / cols; ++i) {
      const int64_t row = unit * (unit_elements_ / cols) + i;
      encode_blocks(block_format(to_), values + i * cols,
                    weights_.data() + row / rows_a_matrix * cols, cols / target.block_size,
                    out + i * dtype_bytes(to_, cols));
    }
  }

  PlannedTensor from_;
  DType to_;
  std::vector<float> weights_;  // [matrices, cols], or none
  int64_t joined_ = 1;
  int64_t unit_elements_ = 0;
  std::vector<UnitError> errors_;  // of each unit, so that the sum does not depend on the threads
};

// All tensors as they will be written.
struct Plan {
  std::vector<PlannedTensor> tensors;
  std::vector<WeightDeclaration> declarations;
  std::vector<std::unique_ptr<QuantizedTensor>> quantized;  // null for what is copied
};

int64_t num_matrices(const Shape& shape) {
  int64_t count = 1;
  for (int i = 0; i + 2 < shape.num_dims(); ++i) count *= shape[i];
  return count;
}

Result<Plan> make_plan(Source& source, const QuantizeOptions& options) {
  std::vector<WeightDeclaration> before;
  for (const PlannedTensor& tensor : source.tensors) before.push_back(tensor.declaration);
  std::vector<DType> dtypes = choose_dtypes(*options.mixture, source.model, before);
  MK_TRY(apply_rules(options.rules, before, dtypes));
  Plan plan;
  int64_t without_importance = 0, again = 0, fallen_back = 0;
  for (size_t i = 0; i < before.size(); ++i) {
    const WeightDeclaration& tensor = before[i];
    std::unique_ptr<QuantizedTensor> quantized;
    if (dtypes[i] != tensor.dtype && tensor.shape.num_elements() > 0) {
      if (dtype_info(tensor.dtype).decode == nullptr) {
        return fail(ErrorCode::kUsage, "tensor '{}' is {}, which cannot be quantised",
                    printable_name(tensor.name), dtype_info(tensor.dtype).name);
      }
      std::vector<float> weights;
      if (options.importance != nullptr && is_block_quantized(dtypes[i])) {
        MK_ASSIGN(weights, options.importance->weights(tensor.name, num_matrices(tensor.shape),
                                                       tensor.shape.back()));
        if (weights.empty()) ++without_importance;
      }
      if (is_block_quantized(tensor.dtype)) ++again;
      quantized = std::make_unique<QuantizedTensor>(std::move(source.tensors[i]), dtypes[i],
                                                    std::move(weights));
    }
    if (fitting_dtype(options.mixture->dtype, tensor.shape.back()) != options.mixture->dtype &&
        is_quantizable(tensor.name, tensor.shape)) {
      ++fallen_back;
    }
    plan.tensors.push_back(quantized ? quantized->plan() : std::move(source.tensors[i]));
    plan.declarations.push_back(plan.tensors.back().declaration);
    plan.quantized.push_back(std::move(quantized));
  }
  if (again > 0) {
    source.notes.push_back(fmt::format(
        "{} tensors were quantised before: their errors add up; begin with f16 or bf16 if you can",
        again));
  }
  if (fallen_back > 0) {
    source.notes.push_back(
        fmt::format("{} tensors have rows that {} cannot hold; they take the next larger format",
                    fallen_back, dtype_info(options.mixture->dtype).name));
  }
  if (without_importance > 0) {
    source.notes.push_back(
        fmt::format("{} tensors have no entry in the importance matrix", without_importance));
  }
  return plan;
}

void add_metadata(const QuantizeOptions& options, GgufMetadata& metadata) {
  metadata.add("general.file_type", options.mixture->file_type);
  metadata.add("general.quantization_version", kQuantizationVersion);
  if (options.importance == nullptr) return;
  metadata.add("quantize.imatrix.file", options.importance_name);
  metadata.add("quantize.imatrix.entries_count", static_cast<uint32_t>(options.importance->size()));
}

void add_to_report(const Plan& plan, QuantizeReport& report) {
  for (size_t i = 0; i < plan.tensors.size(); ++i) {
    const WeightDeclaration& tensor = plan.declarations[i];
    auto at = std::find_if(report.formats.begin(), report.formats.end(),
                           [&](const QuantizedFormat& f) { return f.dtype == tensor.dtype; });
    if (at == report.formats.end()) {
      at = report.formats.insert(at, QuantizedFormat{.dtype = tensor.dtype});
    }
    at->num_tensors += 1;
    at->num_elements += tensor.shape.num_elements();
    at->bytes += tensor.bytes();
    report.bytes += tensor.bytes();
    report.num_elements += tensor.shape.num_elements();
    if (plan.quantized[i] == nullptr) continue;
    const UnitError error = plan.quantized[i]->error();
    at->squared_error += error.squared_error;
    at->squared_weights += error.squared_weights;
  }
  std::stable_sort(report.formats.begin(), report.formats.end(),
                   [](const QuantizedFormat& a, const QuantizedFormat& b) {
                     return a.num_elements > b.num_elements;
                   });
}

}  // namespace

Result<QuantizeReport> quantize_model(const fs::path& source_path, const fs::path& destination,
                                      const QuantizeOptions& options) {
  MK_TRY(check_file_destination(source_path, destination, options.overwrite));
  Source source;
  if (ModelFile::names_folder(source_path)) {
    MK_TRY(open_folder(source_path, destination, options.with_tokenizer, source));
  } else {
    MK_TRY(open_gguf(source_path, source));
  }
  source.model.has_importance = options.importance != nullptr;
  QuantizeReport report;
  for (const PlannedTensor& tensor : source.tensors) {
    report.source_bytes += tensor.declaration.bytes();
  }
  MK_ASSIGN(const Plan plan, make_plan(source, options));
  add_metadata(options, source.metadata);
  MK_ASSIGN(WeightWriter writer, create_gguf(destination, source.metadata, plan.declarations));
  MK_TRY(write_tensors(plan.tensors, source.file(), options.writing, writer));
  add_to_report(plan, report);
  report.notes = std::move(source.notes);
  return report;
}

}  // namespace minke
