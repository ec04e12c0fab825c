#include <algorithm>
#include <optional>

#include "minke/base/clock.h"
#include "minke/cli/command.h"
#include "minke/cli/quality_flags.h"
#include "minke/cli/write_flags.h"
#include "minke/convert/quantize.h"

namespace minke {
namespace {

double relative_error(const QuantizedFormat& format) {
  return format.squared_weights > 0 ? format.squared_error / format.squared_weights : 0.0;
}

std::string mixture_names() {
  std::string names;
  for (const MixtureInfo& info : mixtures()) {
    names += fmt::format("{}{}", names.empty() ? "" : ", ", info.name);
  }
  return names;
}

class QuantizeCommand final : public Command {
 public:
  void add_flags(Flags& flags) override {
    write_.add_places(flags, "the .gguf file to write");
    flags.add("type", type_, "mixture of formats: " + mixture_names());
    flags.add("rule", rules_,
              "PATTERN=TYPE: a format for the tensors whose names match, such as "
              "'*.ffn_down.*=Q6_K'; the first that matches counts");
    flags.add("imatrix", imatrix_, "importance matrix of the inputs, as llama-imatrix writes it");
    quality_.add_to(flags);
    write_.add_to(flags);
    flags.example("minke quantize ./my-model my-model-q4.gguf --type Q4_K_M");
    flags.example("minke quantize big.gguf small.gguf --rule 'output.weight=Q8_0'");
  }

  Result<void> run(const Console& console) override {
    const Interrupts interrupts;
    MK_ASSIGN(const std::filesystem::path source, write_.source_path());
    MK_ASSIGN(const auto text, quality_.read_text());
    QuantizeOptions options;
    MK_TRY(set(options));
    std::optional<Importance> importance;
    if (!imatrix_.empty()) {
      MK_ASSIGN(importance, Importance::open(imatrix_));
      options.importance = &*importance;
      options.importance_name = imatrix_;
    }
    const double start = seconds_now();
    ProgressBar bar(console);
    options.writing = write_.writing(bar, interrupts);
    MK_ASSIGN(const QuantizeReport report, quantize_model(source, write_.destination, options));
    bar.clear();
    const double seconds = seconds_now() - start;
    for (const std::string& note : report.notes) console.note("note: {}", note);
    if (!write_.json) tell(console, report, seconds);
    std::optional<Divergence> quality;
    if (text) {
      MK_ASSIGN(quality, quality_.compare(console, interrupts, source.string(), write_.destination,
                                          *text, write_.threads));
      if (!write_.json) tell_quality(console, *quality);
    }
    if (write_.json) console.print_json(document(report, quality, seconds));
    return {};
  }

 private:
  Result<void> set(QuantizeOptions& options) const {
    options.mixture = find_mixture(type_);
    if (options.mixture == nullptr) {
      return fail(ErrorCode::kUsage, "--type is '{}', expected one of {}", type_, mixture_names());
    }
    for (const std::string& text : rules_) {
      MK_ASSIGN(DTypeRule rule, DTypeRule::parse(text));
      options.rules.push_back(std::move(rule));
    }
    options.overwrite = write_.force;
    options.with_tokenizer = !write_.no_tokenizer;
    return {};
  }

  void tell(const Console& console, const QuantizeReport& report, double seconds) const {
    console.note("{:<8}{:>8}{:>16}{:>12}{:>18}", "format", "tensors", "weights", "size",
                 "relative error");
    for (const QuantizedFormat& format : report.formats) {
      const std::string error = format.squared_weights > 0
                                    ? fmt::format("{:.3e}", relative_error(format))
                                    : std::string("copied");
      console.note("{:<8}{:>8}{:>16}{:>12}{:>18}", dtype_info(format.dtype).name,
                   format.num_tensors, format.num_elements,
                   bytes_text(static_cast<double>(format.bytes)), error);
    }
    console.note("{}: {} from {}, {:.2f} bits a weight, in {:.1f} s", write_.destination,
                 bytes_text(static_cast<double>(report.bytes)),
                 bytes_text(static_cast<double>(report.source_bytes)), report.bits_per_weight(),
                 seconds);
  }

  Json document(const QuantizeReport& report, const std::optional<Divergence>& quality,
                double seconds) const {
    Json::Array formats;
    for (const QuantizedFormat& format : report.formats) {
      formats.push_back(Json::object({{"format", dtype_info(format.dtype).name},
                                      {"tensors", format.num_tensors},
                                      {"weights", format.num_elements},
                                      {"bytes", format.bytes},
                                      {"relative_squared_error", relative_error(format)}}));
    }
    Json out = Json::object({{"path", write_.destination},
                             {"type", find_mixture(type_)->name},
                             {"source_bytes", report.source_bytes},
                             {"bytes", report.bytes},
                             {"bits_per_weight", report.bits_per_weight()},
                             {"formats", std::move(formats)},
                             {"notes", Json(Json::Array(report.notes.begin(), report.notes.end()))},
                             {"seconds", seconds}});
    if (quality) add_quality(*quality, out);
    return out;
  }

  WriteFlags write_;
  std::string type_ = "Q4_K_M";
  std::vector<std::string> rules_;
  std::string imatrix_;
  QualityFlags quality_;
};

}  // namespace

std::unique_ptr<Command> make_quantize_command() { return std::make_unique<QuantizeCommand>(); }

}  // namespace minke
