#include "minke/convert/convert.h"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>
#include <utility>

#include "minke/base/json.h"
#include "minke/convert/destination.h"
#include "minke/convert/folder_as_gguf.h"
#include "minke/convert/folder_files.h"
#include "minke/convert/gguf_config.h"
#include "minke/convert/gguf_tensors.h"
#include "minke/convert/hf_config.h"
#include "minke/convert/hf_tensors.h"
#include "minke/convert/hf_tokenizer.h"
#include "minke/convert/output_folder.h"
#include "minke/models/model_file.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

using Plan = std::vector<PlannedTensor>;

std::vector<WeightDeclaration> declarations_of(const Plan& plan) {
  std::vector<WeightDeclaration> out;
  for (const PlannedTensor& tensor : plan) out.push_back(tensor.declaration);
  return out;
}

ConvertReport report_of(const Plan& plan) {
  ConvertReport report;
  report.num_tensors = plan.size();
  for (const PlannedTensor& tensor : plan) report.tensor_bytes += tensor.declaration.bytes();
  report.main_dtype = main_dtype(plan);
  return report;
}

// The same tensors, in another format perhaps; `dtype_of` says which.
template <class DTypeOf>
Result<Plan> plan_same(const WeightFile& source, const DTypeOf& dtype_of) {
  Plan plan;
  for (const WeightInfo& info : source.weights()) {
    const DType dtype = dtype_of(info);
    MK_TRY(check_retyping(info, dtype));
    plan.push_back(same_rows(info.name, dtype, info));
  }
  return plan;
}

Result<void> write_gguf(const Plan& plan, GgufMetadata& metadata, const WeightFile& source,
                        const fs::path& destination, const ConvertOptions& options) {
  MK_ASSIGN(WeightWriter writer, create_gguf(destination, metadata, declarations_of(plan)));
  return write_tensors(plan, source, options.writing, writer);
}

// What a folder is to have: `plan_as` plans its tensors with their matrices in a format.
template <class PlanAs>
Result<Fp8Plan> plan_folder(const ConvertOptions& options, const PlanAs& plan_as) {
  Fp8Plan out;
  if (options.fp8 == Fp8ScaleFormat::kNone) {
    MK_ASSIGN(out.tensors, plan_as(options.type));
    return out;
  }
  MK_ASSIGN(Plan exact, plan_as(DType::kF32));
  MK_ASSIGN(Plan others, plan_as(DType::kBf16));
  return plan_fp8(std::move(exact), std::move(others), options.fp8);
}

// Readers of safetensors view the file's bytes as numbers: tensors that are no whole words of four
// bytes come last, larger numbers first.
void align(Plan& plan) {
  std::stable_sort(plan.begin(), plan.end(), [](const PlannedTensor& a, const PlannedTensor& b) {
    const auto misalignment = [](const PlannedTensor& tensor) {
      return tensor.declaration.bytes() % 4 == 0             ? 0
             : dtype_bytes(tensor.declaration.dtype, 1) == 2 ? 1
                                                             : 2;
    };
    return misalignment(a) < misalignment(b);
  });
}

Result<void> write_safetensors(Plan& plan, const WeightFile& source, const fs::path& folder,
                               const ConvertOptions& options) {
  align(plan);
  MK_ASSIGN(WeightWriter writer,
            create_safetensors(folder, declarations_of(plan), options.shard_bytes_max));
  return write_tensors(plan, source, options.writing, writer);
}

Result<ConvertReport> gguf_to_gguf(const GgufFile& file, const fs::path& destination,
                                   const ConvertOptions& options) {
  MK_ASSIGN(const Plan plan, plan_same(file, [&](const WeightInfo& info) {
              return options.type ? gguf_dtype(info.name, info.shape, info.dtype, options.type)
                                  : info.dtype;
            }));
  GgufMetadata metadata;
  metadata.copy(file);
  if (const auto type = gguf_file_type(plan); options.type && type) {
    metadata.add("general.file_type", *type);
  }
  MK_TRY(write_gguf(plan, metadata, file, destination, options));
  return report_of(plan);
}

Result<ConvertReport> hf_to_gguf(const HfFolder& source, const fs::path& destination,
                                 const ConvertOptions& options) {
  MK_ASSIGN(FolderAsGguf planned, folder_as_gguf(source, destination.stem().string(), options.type,
                                                 options.with_tokenizer));
  if (const auto type = gguf_file_type(planned.tensors)) {
    planned.metadata.add("general.file_type", *type);
  }
  MK_TRY(write_gguf(planned.tensors, planned.metadata, source.weights, destination, options));
  ConvertReport report = report_of(planned.tensors);
  report.notes = std::move(planned.notes);
  return report;
}

Result<ConvertReport> gguf_to_hf(const GgufFile& file, const fs::path& folder,
                                 const ConvertOptions& options) {
  MK_ASSIGN(const ModelConfig config, config_from_gguf(file));
  MK_ASSIGN(Fp8Plan plan, plan_folder(options, [&](std::optional<DType> type) {
              return plan_hf(file, config, type);
            }));
  const bool is_fp8 = options.fp8 != Fp8ScaleFormat::kNone;
  MK_ASSIGN(Json json, hf_config(file, config, is_fp8 ? DType::kBf16 : main_dtype(plan.tensors)));
  if (is_fp8) json.set("quantization_config", fp8_settings(options.fp8));
  ConvertReport report = report_of(plan.tensors);
  if (options.with_tokenizer && file.find_value("tokenizer.ggml.model") != nullptr) {
    MK_ASSIGN(const HfTokenizer tokenizer, hf_tokenizer(file));
    MK_TRY(write_hf_tokenizer(tokenizer, folder, json));
    if (!tokenizer.note.empty()) report.notes.push_back(tokenizer.note);
  }
  MK_TRY(write_file_atomic(folder / "config.json", json.dump(2) + "\n"));
  MK_TRY(write_safetensors(plan.tensors, file, folder, options));
  return report;
}

Result<ConvertReport> hf_to_hf(const HfFolder& source, const fs::path& folder,
                               const ConvertOptions& options) {
  if (!source.weights.skipped().empty()) {
    return fail(ErrorCode::kUsage, "tensor {} is in a format that minke cannot convert",
                source.weights.skipped().front());
  }
  MK_ASSIGN(Fp8Plan plan, plan_folder(options, [&](std::optional<DType> type) {
              return plan_same(source.weights, [&](const WeightInfo& info) {
                return keeps_format(info.name) ? info.dtype : type.value_or(info.dtype);
              });
            }));
  MK_TRY(copy_other_files(source.folder, folder, options.with_tokenizer));
  Json config = source.config;
  const bool is_fp8 = options.fp8 != Fp8ScaleFormat::kNone;
  if (options.type || is_fp8) {
    for (const char* key : {"dtype", "torch_dtype"}) {
      if (config.find(key) != nullptr || std::string_view(key) == "dtype") {
        config.set(key, hf_dtype_name(options.type.value_or(DType::kBf16)));
      }
    }
  }
  if (is_fp8) config.set("quantization_config", fp8_settings(options.fp8));
  MK_TRY(write_file_atomic(folder / "config.json", config.dump(2) + "\n"));
  MK_TRY(write_safetensors(plan.tensors, source.weights, folder, options));
  return report_of(plan.tensors);
}

bool is_gguf_name(const fs::path& path) { return path.extension() == ".gguf"; }

template <class Source, class ToGguf, class ToFolder>
Result<ConvertReport> convert_to(const Source& source, const fs::path& destination,
                                 const ConvertOptions& options, const ToGguf& to_gguf,
                                 const ToFolder& to_folder) {
  if (is_gguf_name(destination)) return to_gguf(source, destination, options);
  MK_ASSIGN(OutputFolder folder, OutputFolder::create(destination));
  MK_ASSIGN(ConvertReport report, to_folder(source, folder.path(), options));
  MK_TRY(folder.commit());
  return report;
}

}  // namespace

Result<ConvertReport> convert_model(const fs::path& source, const fs::path& destination,
                                    const ConvertOptions& options) {
  const bool is_fp8 = options.fp8 != Fp8ScaleFormat::kNone;
  if (is_fp8 && is_gguf_name(destination)) {
    return fail(ErrorCode::kUsage, "GGUF has no FP8: the destination should be a folder");
  }
  MK_TRY(is_gguf_name(destination)
             ? check_file_destination(source, destination, options.overwrite)
             : check_folder_destination(source, destination, options.overwrite));
  if (ModelFile::names_folder(source)) {
    MK_ASSIGN(HfFolder folder, HfFolder::open(source));
    if (options.type || is_fp8 || is_gguf_name(destination)) MK_TRY(folder.take_fp8_scales());
    return convert_to(folder, destination, options, hf_to_gguf, hf_to_hf);
  }
  MK_ASSIGN(const GgufFile file, GgufFile::open(source));
  return convert_to(file, destination, options, gguf_to_gguf, gguf_to_hf);
}

}  // namespace minke
