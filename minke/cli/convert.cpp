#include "minke/convert/convert.h"

#include <cmath>

#include "minke/base/clock.h"
#include "minke/cli/command.h"
#include "minke/cli/write_flags.h"

namespace minke {
namespace {

class ConvertCommand final : public Command {
 public:
  void add_flags(Flags& flags) override {
    write_.add_places(flags, "a file that ends in .gguf, or else a folder as Hugging Face's");
    flags.choice(
        "type", type_, {"keep", "f32", "f16", "bf16"},
        "format of the matrices; keep: as they are, but bf16 for block formats in a folder");
    flags.add("shard-gb", shard_gb_, {0.001, 1e6}, "most gigabytes of a file in a folder");
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
    if (type_ != "keep") {
      options.type = type_ == "f32" ? DType::kF32 : type_ == "f16" ? DType::kF16 : DType::kBf16;
    }
    options.with_tokenizer = !write_.no_tokenizer;
    options.overwrite = write_.force;
    options.shard_bytes_max = static_cast<uint64_t>(std::llround(shard_gb_ * 1e9));
    options.writing = write_.writing(bar, interrupts);
    MK_ASSIGN(const ConvertReport report, convert_model(source, write_.destination, options));
    bar.clear();
    for (const std::string& note : report.notes) console.note("note: {}", note);
    tell(console, report, seconds_now() - start);
    return {};
  }

 private:
  void tell(const Console& console, const ConvertReport& report, double seconds) const {
    const auto bytes = static_cast<double>(report.tensor_bytes);
    if (write_.json) {
      console.print_json(
          Json::object({{"path", write_.destination},
                        {"tensors", report.num_tensors},
                        {"bytes", report.tensor_bytes},
                        {"type", dtype_info(report.main_dtype).name},
                        {"seconds", seconds},
                        {"notes", Json(Json::Array(report.notes.begin(), report.notes.end()))}}));
      return;
    }
    console.note("{}: {} tensors, {}, most of them {}, in {:.1f} s ({}/s)", write_.destination,
                 report.num_tensors, bytes_text(bytes), dtype_info(report.main_dtype).name, seconds,
                 bytes_text(bytes / std::max(seconds, 1e-9)));
  }

  WriteFlags write_;
  std::string type_ = "keep";
  double shard_gb_ = static_cast<double>(kShardBytesMax) / 1e9;
};

}  // namespace

std::unique_ptr<Command> make_convert_command() { return std::make_unique<ConvertCommand>(); }

}  // namespace minke
