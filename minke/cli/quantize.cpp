#include <algorithm>
#include <optional>

#include "minke/base/clock.h"
#include "minke/base/files.h"
#include "minke/cli/command.h"
#include "minke/cli/loaded_model.h"
#include "minke/cli/quality_flags.h"
#include "minke/cli/write_flags.h"
#include "minke/convert/calibrate.h"
#include "minke/convert/destination.h"
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
    flags.add("calibrate", calibrate_,
              "find the importance by running the source over this text, in f32, before");
    flags.add("calibrate-chunks", calibrate_chunks_, {0, 1 << 24},
              "most chunks of 512 tokens of that text; 0: all");
    flags.add("save-importance", save_importance_,
              "write the importance as a file of llama-imatrix's form (GGUF)");
    quality_.add_to(flags);
    write_.add_to(flags);
    flags.example("minke quantize ./my-model my-model-q4.gguf --type Q4_K_M");
    flags.example("minke quantize big.gguf small.gguf --rule 'output.weight=Q8_0'");
    flags.example("minke quantize big.gguf small.gguf --type Q4_0 --calibrate text.txt");
  }

  Result<void> run(const Console& console) override {
    const Interrupts interrupts;
    MK_ASSIGN(const std::filesystem::path source, write_.source_path());
    MK_ASSIGN(const auto text, quality_.read_text());
    QuantizeOptions options;
    MK_TRY(set(options));
    MK_ASSIGN(const std::optional<Importance> importance,
              find_importance(console, interrupts, source));
    if (importance) {
      options.importance = &*importance;
      options.importance_name = imatrix_.empty() ? calibrate_ : imatrix_;
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

  // That of --imatrix or --calibrate; saved if that is wanted.
  Result<std::optional<Importance>> find_importance(const Console& console,
                                                    const Interrupts& interrupts,
                                                    const std::filesystem::path& source) const {
    std::optional<Importance> out;
    const bool given = !imatrix_.empty(), made = !calibrate_.empty();
    if (given && made) {
      return fail(ErrorCode::kUsage,
                  "--imatrix and --calibrate both tell the importance; give one");
    }
    if (!given && !made && !save_importance_.empty()) {
      return fail(ErrorCode::kUsage, "--save-importance needs --calibrate, or --imatrix");
    }
    if (!save_importance_.empty()) {
      MK_TRY(check_file_destination(source, save_importance_, write_.force));
    }
    if (given) {
      MK_ASSIGN(out, Importance::open(imatrix_));
    } else if (made) {
      // Told now, and not after minutes.
      MK_TRY(check_file_destination(source, write_.destination, write_.force));
      MK_ASSIGN(out, calibrated(console, interrupts, source));
    }
    if (!save_importance_.empty()) {
      MK_TRY(out->write(save_importance_, given ? imatrix_ : calibrate_));
    }
    return out;
  }

  // What the source's matrices are multiplied with on the text of --calibrate.
  Result<Importance> calibrated(const Console& console, const Interrupts& interrupts,
                                const std::filesystem::path& source) const {
    MK_ASSIGN(const std::string text, read_file(calibrate_));
    CalibrateOptions options;
    options.chunks_max = calibrate_chunks_;
    LoadFlags flags;
    flags.threads = write_.threads;
    flags.precision = "f32";
    flags.draft = 0;  // no MTP modules
    MK_ASSIGN(const LoadedModel loaded, load_model_for(source.string(), flags, console));
    const int64_t limit = loaded.model->config().max_position_embeddings;
    options.chunk_tokens =
        std::min({options.chunk_tokens, limit, int64_t{loaded.engine_config.context_tokens}});
    double told = seconds_now();
    options.progress = [&](int64_t done, int64_t total) {
      if (seconds_now() - told >= 10) {
        told = seconds_now();
        console.note("calibrated on {} of {} chunks", done, total);
      }
      return interrupts.count() == 0;
    };
    const Tokenizer& tokenizer = *loaded.tokenizer;
    const std::vector<int32_t> ids = calibration_ids(tokenizer, text);
    const int32_t bos = tokenizer.add_bos() ? tokenizer.bos().value_or(-1) : -1;
    const double start = seconds_now();
    MK_ASSIGN(Importance found, calibrate(*loaded.device, *loaded.model, ids, bos, options));
    console.note("calibrated on {} tokens of {} in {:.1f} s: {} matrices",
                 found.num_chunks() * found.chunk_tokens(), calibrate_, seconds_now() - start,
                 found.size());
    return found;
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
                             {"notes", json_texts(report.notes)},
                             {"seconds", seconds}});
    if (quality) add_quality(*quality, out);
    return out;
  }

  WriteFlags write_;
  std::string type_ = "Q4_K_M";
  std::vector<std::string> rules_;
  std::string imatrix_;
  std::string calibrate_;
  int calibrate_chunks_ = 0;
  std::string save_importance_;
  QualityFlags quality_;
};

}  // namespace

std::unique_ptr<Command> make_quantize_command() { return std::make_unique<QuantizeCommand>(); }

}  // namespace minke
