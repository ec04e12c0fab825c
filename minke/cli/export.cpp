#include <algorithm>
#include <optional>
#include <system_error>

#include "minke/base/clock.h"
#include "minke/base/files.h"
#include "minke/cli/command.h"
#include "minke/cli/write_flags.h"
#include "minke/convert/compare_models.h"
#include "minke/convert/convert.h"
#include "minke/hub/model_store.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

// What rounding to a format may do to a tensor, as a relative error: half of its last place, for
// f8_e4m3 with the scales of its blocks; formats that are only copied do nothing.
double rounding_of(DType dtype) {
  if (dtype == DType::kF16) return 0x1p-11;
  if (dtype == DType::kBf16) return 0x1p-9;
  return dtype == DType::kF8E4M3 ? 0x1p-4 : 0.0;
}

// Where a model came from, for those who find the folder.
struct Origin {
  std::string source;   // "hf.co/owner/repo", or what the user typed
  std::string license;  // SPDX identifier; empty where it is not known
};

Origin origin_of(const std::string& name) {
  if (!is_model_name(name)) return {name, ""};
  const auto stored = ModelStore::open_default().find(name);
  if (!stored) return {name, ""};
  return {stored->manifest.source, stored->manifest.license};
}

std::string model_card(const Origin& origin, const std::string& command, DType dtype) {
  std::string out;
  if (!origin.license.empty()) out = fmt::format("---\nlicense: {}\n---\n\n", origin.license);
  return out + fmt::format(
                   "# {}\n\nMade of {} by minke {}:\n\n    {}\n\nMost weights are {}. The licence "
                   "is that of the source{}.\n",
                   fs::path(origin.source).filename().string(), origin.source, MINKE_VERSION,
                   command, dtype_info(dtype).name,
                   origin.license.empty() ? "" : ": " + origin.license);
}

class ExportCommand final : public Command {
 public:
  void add_flags(Flags& flags) override {
    write_.add_places(flags, "a file that ends in .gguf, or else a folder as Hugging Face's");
    add_type_flag(flags, type_);
    write_.add_to(flags);
    flags.example("minke export smollm2-135m smollm2-hf");
    flags.example("minke export ./my-model my-model.gguf --type f16");
  }

  Result<void> run(const Console& console) override {
    const Interrupts interrupts;
    const double start = seconds_now();
    MK_ASSIGN(const fs::path source, write_.source_path());
    ProgressBar bar(console);
    ConvertOptions options;
    set_type(type_, options);
    options.with_tokenizer = !write_.no_tokenizer;
    options.overwrite = write_.force;
    options.writing = write_.writing(bar, interrupts);
    MK_ASSIGN(const ConvertReport report, convert_model(source, write_.destination, options));
    bar.clear();
    MK_TRY(write_card(report));
    for (const std::string& note : report.notes) console.note("note: {}", note);
    CompareOptions comparing;
    comparing.num_threads = options.writing.num_threads;
    comparing.with_tokenizer = options.with_tokenizer;
    comparing.progress = [&](uint64_t, uint64_t) { return interrupts.count() == 0; };
    MK_ASSIGN(const ModelComparison found, compare_models(source, write_.destination, comparing));
    const double tolerance = rounding_of(report.main_dtype);
    if (!found.same(tolerance)) return fail_difference(found, tolerance);
    tell(console, report, found, seconds_now() - start);
    return {};
  }

 private:
  // A folder's README.md, unless the source had one.
  Result<void> write_card(const ConvertReport& report) const {
    std::error_code error;
    const fs::path path = fs::path(write_.destination) / "README.md";
    if (!fs::is_directory(write_.destination, error) || fs::exists(path, error)) return {};
    std::string command = fmt::format("minke export {} {}", write_.source, write_.destination);
    if (type_ != "keep") command += " --type " + type_;
    return write_file_atomic(path,
                             model_card(origin_of(write_.source), command, report.main_dtype));
  }

  Result<void> fail_difference(const ModelComparison& found, double tolerance) const {
    std::string first;
    if (!found.config.empty()) first = found.config.front();
    if (!found.tokenizer.empty()) first = found.tokenizer.front();
    for (const TensorDifference& tensor : found.tensors) {
      if (tensor.what.empty() && tensor.relative_error <= tolerance) continue;
      first = fmt::format("{}: {}", tensor.name,
                          tensor.what.empty()
                              ? fmt::format("relative error {:.3g}, expected at most {:.3g}",
                                            tensor.relative_error, tolerance)
                              : tensor.what);
      break;
    }
    return fail(ErrorCode::kCorrupt, "{} was written, but it is not the same model: {}",
                write_.destination, first);
  }

  void tell(const Console& console, const ConvertReport& report, const ModelComparison& found,
            double seconds) const {
    if (write_.json) {
      console.print_json(Json::object({{"path", write_.destination},
                                       {"bytes", report.tensor_bytes},
                                       {"type", dtype_info(report.main_dtype).name},
                                       {"compared_tensors", found.num_tensors},
                                       {"rounded_tensors", found.tensors.size()},
                                       {"relative_error_max", found.relative_error_max()},
                                       {"seconds", seconds},
                                       {"notes", json_texts(report.notes)}}));
      return;
    }
    console.note("{}: {}, most of it {}, in {:.1f} s", write_.destination,
                 bytes_text(static_cast<double>(report.tensor_bytes)),
                 dtype_info(report.main_dtype).name, seconds);
    console.note("read back: same configuration{}, {} of {} tensors equal{}",
                 write_.no_tokenizer ? "" : " and tokenizer",
                 found.num_tensors - static_cast<int64_t>(found.tensors.size()), found.num_tensors,
                 found.tensors.empty() ? ""
                                       : fmt::format(", the others to a relative error of {:.2g}",
                                                     found.relative_error_max()));
  }

  WriteFlags write_;
  std::string type_ = "keep";
};

}  // namespace

std::unique_ptr<Command> make_export_command() { return std::make_unique<ExportCommand>(); }

}  // namespace minke
