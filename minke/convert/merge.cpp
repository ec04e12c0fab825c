#include "minke/convert/merge.h"

#include <fmt/format.h>

#include <cstring>
#include <functional>
#include <map>
#include <system_error>
#include <utility>

#include "minke/base/utf8.h"
#include "minke/convert/destination.h"
#include "minke/convert/folder_files.h"
#include "minke/convert/output_folder.h"
#include "minke/models/hf_folder.h"
#include "minke/models/hf_names.h"
#include "minke/models/model_file.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

// Adds what adapters add to a row of a tensor; the rows of a stack of matrices count on.
using AddToRow = std::function<void(int64_t row, float* values)>;

// values += scale B[row] A.
void add_row(const LoraDelta& delta, int64_t row, float* values) {
  std::vector<float> sum(static_cast<size_t>(delta.cols));
  for (int64_t r = 0; r < delta.rank; ++r) {
    const float factor = delta.b[static_cast<size_t>(row * delta.rank + r)];
    const float* a = delta.a.data() + r * delta.cols;
    for (int64_t c = 0; c < delta.cols; ++c) sum[static_cast<size_t>(c)] += factor * a[c];
  }
  const auto scale = static_cast<float>(delta.scale);
  for (int64_t c = 0; c < delta.cols; ++c) values[c] += scale * sum[static_cast<size_t>(c)];
}

// values[i] += scale (B A)[first + i, column] for i < count.
void add_column(const LoraDelta& delta, int64_t first, int64_t count, int64_t column,
                float* values) {
  const auto scale = static_cast<float>(delta.scale);
  for (int64_t i = 0; i < count; ++i) {
    float sum = 0.0f;
    for (int64_t r = 0; r < delta.rank; ++r) {
      sum += delta.b[static_cast<size_t>((first + i) * delta.rank + r)] *
             delta.a[static_cast<size_t>(r * delta.cols + column)];
    }
    values[i] += scale * sum;
  }
}

// What the tensors of a model's file get.
class Addends {
 public:
  Addends(const LoraDeltas& deltas, const ModelConfig& config) : deltas_(deltas), config_(config) {}

  // For a tensor under GGUF's name; empty when there is nothing to add.
  AddToRow of(const std::string& name, const Shape& shape) const {
    if (const auto at = deltas_.find(name); at != deltas_.end()) {
      if (config_.gpt2.has_conv1d && is_conv1d(name)) {
        return [&deltas = at->second](int64_t row, float* values) {
          for (const LoraDelta& delta : deltas) add_column(delta, 0, delta.rows, row, values);
        };
      }
      return [&deltas = at->second](int64_t row, float* values) {
        for (const LoraDelta& delta : deltas) add_row(delta, row, values);
      };
    }
    if (shape.num_dims() != 3) return {};
    const std::string stem = name.substr(0, name.rfind('.'));  // without ".weight"
    for (const bool is_k : {true, false}) {
      const std::string_view part = is_k ? ".attn_k_b" : ".attn_v_b";
      if (!stem.ends_with(part)) continue;
      const auto at = deltas_.find(stem.substr(0, stem.size() - part.size()) + ".attn_kv_b.weight");
      if (at == deltas_.end()) return {};
      return is_k ? of_keys(at->second) : of_values(at->second);
    }
    return of_experts(stem, shape);
  }

 private:
  // k_b [heads, kv_lora_rank, nope]: of each head the transpose of its first rows of kv_b.
  AddToRow of_keys(const std::vector<LoraDelta>& deltas) const {
    const int64_t rank = config_.mla.kv_lora_rank, nope = config_.mla.qk_nope_head_dim;
    const int64_t rows = nope + config_.mla.v_head_dim;
    return [&deltas, rank, nope, rows](int64_t row, float* values) {
      for (const LoraDelta& delta : deltas) {
        add_column(delta, row / rank * rows, nope, row % rank, values);
      }
    };
  }

  // v_b [heads, v, kv_lora_rank]: of each head the rest of its rows.
  AddToRow of_values(const std::vector<LoraDelta>& deltas) const {
    const int64_t nope = config_.mla.qk_nope_head_dim, v = config_.mla.v_head_dim;
    return [&deltas, nope, v](int64_t row, float* values) {
      for (const LoraDelta& delta : deltas) {
        add_row(delta, row / v * (nope + v) + nope + row % v, values);
      }
    };
  }

  AddToRow of_experts(const std::string& stem, const Shape& shape) const {
    std::map<int64_t, const std::vector<LoraDelta>*> experts;
    for (int64_t e = 0; e < shape[0]; ++e) {
      const auto at = deltas_.find(fmt::format("{}.{}.weight", stem, e));
      if (at != deltas_.end()) experts[e] = &at->second;
    }
    if (experts.empty()) return {};
    return [experts = std::move(experts), rows = shape[1]](int64_t row, float* values) {
      const auto at = experts.find(row / rows);
      if (at == experts.end()) return;
      for (const LoraDelta& delta : *at->second) add_row(delta, row % rows, values);
    };
  }

  const LoraDeltas& deltas_;
  const ModelConfig& config_;
};

Result<PlannedTensor> merged(const WeightInfo& info, AddToRow add) {
  const DTypeInfo& format = dtype_info(info.dtype);
  if (info.dtype == DType::kF8E4M3 || format.decode == nullptr || format.encode == nullptr ||
      info.shape.back() % format.block_size != 0) {
    return fail(ErrorCode::kUsage,
                "tensor '{}' is {}, in which minke cannot write a merged one; convert the model "
                "first (minke convert --type bf16)",
                printable_name(info.name), format.name);
  }
  return PlannedTensor{{info.name, info.dtype, info.shape},
                       {&info},
                       info.shape.num_rows(),
                       [&info, &format, add = std::move(add)](int64_t row, std::byte* out) {
                         std::vector<float> values;
                         append_decoded(info, row, 1, values);
                         add(row, values.data());
                         format.encode(values.data(), info.shape.back() / format.block_size, out);
                       }};
}

struct Plan {
  std::vector<PlannedTensor> tensors;
  std::vector<WeightDeclaration> declarations;
  MergeReport report;
};

// The tensors as they are, but for those that get something; `name_of` gives GGUF's name.
template <class NameOf>
Result<Plan> make_plan(const WeightFile& source, const Addends& addends, const NameOf& name_of) {
  Plan plan;
  for (const WeightInfo& info : source.weights()) {
    AddToRow add = addends.of(name_of(info.name), info.shape);
    if (add) {
      ++plan.report.num_changed;
      MK_ASSIGN(PlannedTensor tensor, merged(info, std::move(add)));
      plan.tensors.push_back(std::move(tensor));
    } else {
      plan.tensors.push_back(same_rows(info.name, info.dtype, info));
    }
    plan.declarations.push_back(plan.tensors.back().declaration);
    plan.report.tensor_bytes += plan.declarations.back().bytes();
  }
  plan.report.num_tensors = plan.tensors.size();
  return plan;
}

Result<MergeReport> merge_gguf(const GgufFile& file, const Addends& addends,
                               const fs::path& destination, const MergeOptions& options) {
  MK_ASSIGN(const Plan plan,
            make_plan(file, addends, [](const std::string& name) { return name; }));
  GgufMetadata metadata;
  metadata.copy(file);
  MK_ASSIGN(WeightWriter writer, create_gguf(destination, metadata, plan.declarations));
  MK_TRY(write_tensors(plan.tensors, file, options.writing, writer));
  return plan.report;
}

Result<MergeReport> merge_folder(const fs::path& path, const Addends& addends,
                                 const fs::path& destination, const MergeOptions& options) {
  MK_ASSIGN(const HfFolder source, HfFolder::open(path));
  if (!source.weights.skipped().empty()) {
    return fail(ErrorCode::kUsage, "tensor {} is in a format that minke cannot copy",
                source.weights.skipped().front());
  }
  MK_ASSIGN(const Plan plan, make_plan(source.weights, addends, [](const std::string& name) {
              return gguf_name_of(name).value_or("");
            }));
  MK_ASSIGN(OutputFolder folder, OutputFolder::create(destination));
  MK_TRY(copy_other_files(source.folder, folder.path(), options.with_tokenizer));
  MK_TRY(write_file_atomic(folder.path() / "config.json", source.config.dump(2) + "\n"));
  MK_ASSIGN(WeightWriter writer,
            create_safetensors(folder.path(), plan.declarations, options.shard_bytes_max));
  MK_TRY(write_tensors(plan.tensors, source.weights, options.writing, writer));
  MK_TRY(folder.commit());
  return plan.report;
}

Result<void> check_adapter_destination(const fs::path& folder, bool overwrite) {
  std::error_code error;
  if (!fs::exists(folder, error)) return {};
  if (!overwrite) {
    return fail(ErrorCode::kUsage,
                "{} exists; overwrite it with --force (to merge adapters into a model, name the "
                "model, then the destination)",
                folder.string());
  }
  bool only_files = fs::is_directory(folder, error);
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    std::error_code ignored;
    only_files = only_files && at->is_regular_file(ignored);
  }
  if (only_files && !error && fs::exists(folder / "adapter_config.json", error)) return {};
  return fail(ErrorCode::kUsage, "{} is not an adapter's folder; it is not overwritten",
              folder.string());
}

// `sum` with the addend of `delta`, whose ranks follow.
void append(const LoraDelta& delta, LoraDelta& sum) {
  const int64_t rank = sum.rank + delta.rank;
  std::vector<float> b;
  b.reserve(static_cast<size_t>(sum.rows * rank));
  for (int64_t row = 0; row < sum.rows; ++row) {
    const auto from = sum.b.begin() + row * sum.rank;
    b.insert(b.end(), from, from + sum.rank);
    for (int64_t r = 0; r < delta.rank; ++r) {
      b.push_back(static_cast<float>(
          delta.scale * static_cast<double>(delta.b[static_cast<size_t>(row * delta.rank + r)])));
    }
  }
  sum.a.insert(sum.a.end(), delta.a.begin(), delta.a.end());
  sum.b = std::move(b);
  sum.rank = rank;
}

Result<Adapter> sum_of(std::span<const Adapter> adapters) {
  std::map<std::string, LoraDelta> sums;
  Adapter out{"", adapters.front().base_model, {}};
  for (const Adapter& adapter : adapters) {
    if (adapter.base_model != out.base_model) out.base_model.clear();
    for (const auto& [module, delta] : adapter.modules) {
      LoraDelta& sum =
          sums.try_emplace(module, LoraDelta{0, delta.rows, delta.cols, 1.0, {}, {}}).first->second;
      if (sum.rows != delta.rows || sum.cols != delta.cols) {
        return fail(ErrorCode::kUsage,
                    "adapter {}: module '{}' is made for a matrix [{}, {}], and another adapter's "
                    "for [{}, {}]: they are of different models",
                    adapter.name, printable_name(module), delta.rows, delta.cols, sum.rows,
                    sum.cols);
      }
      append(delta, sum);
    }
  }
  for (auto& [module, sum] : sums) out.modules.push_back({module, std::move(sum)});
  return out;
}

}  // namespace

Result<MergeReport> merge_into_model(std::span<const Adapter> adapters, const fs::path& source,
                                     const fs::path& destination, const MergeOptions& options) {
  const bool to_file = destination.extension() == ".gguf";
  MK_ASSIGN(const ModelFile file, ModelFile::open(source));
  if ((file.gguf() != nullptr) != to_file) {
    return fail(ErrorCode::kUsage,
                "{} is {}, so that the merged model is one, too: name {}; minke convert makes the "
                "other from it",
                source.string(), to_file ? "a folder" : "a GGUF file",
                to_file ? "a folder" : "a file that ends in .gguf");
  }
  MK_TRY(to_file ? check_file_destination(source, destination, options.overwrite)
                 : check_folder_destination(source, destination, options.overwrite));
  MK_ASSIGN(const LoraDeltas deltas, fit_adapters(adapters, file.weights(), file.config()));
  const Addends addends(deltas, file.config());
  return to_file ? merge_gguf(*file.gguf(), addends, destination, options)
                 : merge_folder(source, addends, destination, options);
}

Result<MergeReport> merge_adapters(std::span<const Adapter> adapters, const fs::path& destination,
                                   const MergeOptions& options) {
  MK_CHECK(!adapters.empty(), "merge_adapters: {} adapters", adapters.size());
  MK_TRY(check_adapter_destination(destination, options.overwrite));
  MK_ASSIGN(const Adapter sum, sum_of(adapters));
  MK_ASSIGN(OutputFolder folder, OutputFolder::create(destination));
  MK_TRY(write_adapter(folder.path(), sum));
  MK_TRY(folder.commit());
  MergeReport report;
  for (const AdapterModule& module : sum.modules) {
    report.num_tensors += 2;
    report.tensor_bytes += (module.delta.a.size() + module.delta.b.size()) * sizeof(float);
  }
  report.num_changed = report.num_tensors;
  return report;
}

}  // namespace minke
