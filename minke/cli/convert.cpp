#include "minke/convert/convert.h"

#include <cmath>

#include "minke/base/clock.h"
#include "minke/cli/command.h"
#include "minke/cli/quality_flags.h"
#include "minke/cli/write_flags.h"

namespace minke {
namespace {

class ConvertCommand final : public Command {
 public:
  void add_flags(Flags& flags) override {
    write_.add_places(flags, "a file that ends in .gguf, or else a folder as Hugging Face's");
    add_type_flag(flags, type_);
    flags.add("shard-gb", shard_gb_, {0.001, 1e6}, "most gigabytes of a file in a folder");
    quality_.add_to(flags);
    write_.add_to(flags);
    flags.example("minke convert smollm2-135m smollm2-hf");
    flags.example("minke convert ./my-model my-model.gguf --type f16");
  }

  Result<void> run(const Console& console) override {
    const Interrupts interrupts;
    const double start = seconds_now();
    MK_ASSIGN(const std::filesystem::path source, write_.source_path());
    ProgressBar bar(console);
    ConvertOptions options;
    MK_ASSIGN(const auto text, quality_.read_text());
    set_type(type_, options);
    options.with_tokenizer = !write_.no_tokenizer;
    options.overwrite = write_.force;
    options.shard_bytes_max = static_cast<uint64_t>(std::llround(shard_gb_ * 1e9));
    options.writing = write_.writing(bar, interrupts);
    MK_ASSIGN(const ConvertReport report, convert_model(source, write_.destination, options));
    bar.clear();
    for (const std::string& note : report.notes) console.note("note: {}", note);
    const double seconds = seconds_now() - start;
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
  void tell(const Console& console, const ConvertReport& report, double seconds) const {
    const auto bytes = static_cast<double>(report.tensor_bytes);
    console.note("{}: {} tensors, {}, most of them {}, in {:.1f} s ({}/s)", write_.destination,
                 report.num_tensors, bytes_text(bytes), dtype_info(report.main_dtype).name, seconds,
                 bytes_text(bytes / std::max(seconds, 1e-9)));
  }

  Json document(const ConvertReport& report, const std::optional<Divergence>& quality,
                double seconds) const {
    Json out = Json::object({{"path", write_.destination},
                             {"tensors", report.num_tensors},
                             {"bytes", report.tensor_bytes},
                             {"type", dtype_info(report.main_dtype).name},
                             {"seconds", seconds},
                             {"notes", json_texts(report.notes)}});
    if (quality) add_quality(*quality, out);
    return out;
  }

  WriteFlags write_;
  QualityFlags quality_;
  std::string type_ = "keep";
  double shard_gb_ = static_cast<double>(kShardBytesMax) / 1e9;
};

}  // namespace

std::unique_ptr<Command> make_convert_command() { return std::make_unique<ConvertCommand>(); }

}  // namespace minke
