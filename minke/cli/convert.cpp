#include "minke/convert/convert.h"

#include <signal.h>

#include <cmath>

#include "minke/base/clock.h"
#include "minke/cli/command.h"
#include "minke/cli/interrupts.h"
#include "minke/cli/progress.h"
#include "minke/hub/model_store.h"

namespace minke {
namespace {

class ConvertCommand final : public Command {
 public:
  void add_flags(Flags& flags) override {
    flags.positional("SOURCE", source_, Flags::Need::kRequired,
                     "a name from minke list, a .gguf file, or a folder as Hugging Face's");
    flags.positional("DESTINATION", destination_, Flags::Need::kRequired,
                     "a file that ends in .gguf, or else a folder as Hugging Face's");
    flags.choice(
        "type", type_, {"keep", "f32", "f16", "bf16"},
        "format of the matrices; keep: as they are, but bf16 for block formats in a folder");
    flags.add("shard-gb", shard_gb_, {0.001, 1e6}, "most gigabytes of a file in a folder");
    flags.add("no-tokenizer", no_tokenizer_, "convert the weights only");
    flags.add("force", force_, "overwrite what is there");
    flags.add("threads,t", threads_, {0, 1024}, "threads that compute; 0: all CPUs");
    flags.add("json", json_, "one JSON document about what was written");
    flags.example("minke convert smollm2-135m smollm2-hf");
    flags.example("minke convert ./my-model my-model.gguf --type f16");
  }

  Result<void> run(const Console& console) override {
    ::signal(SIGXFSZ, SIG_IGN);  // a limit on file sizes is an error to tell, not to die of
    const Interrupts interrupts;
    const double start = seconds_now();
    MK_ASSIGN(const std::filesystem::path source, ModelStore::open_default().resolve(source_));
    ProgressBar bar(console);
    ConvertOptions options;
    if (type_ != "keep") {
      options.type = type_ == "f32" ? DType::kF32 : type_ == "f16" ? DType::kF16 : DType::kBf16;
    }
    options.with_tokenizer = !no_tokenizer_;
    options.overwrite = force_;
    options.shard_bytes_max = static_cast<uint64_t>(std::llround(shard_gb_ * 1e9));
    options.writing.num_threads = threads_ > 0 ? threads_ : available_cpus();
    options.writing.progress = [&](uint64_t done, uint64_t total) {
      bar.update(done, total);
      return interrupts.count() == 0;
    };
    MK_ASSIGN(const ConvertReport report, convert_model(source, destination_, options));
    bar.clear();
    for (const std::string& note : report.notes) console.note("note: {}", note);
    tell(console, report, seconds_now() - start);
    return {};
  }

 private:
  void tell(const Console& console, const ConvertReport& report, double seconds) const {
    const auto bytes = static_cast<double>(report.tensor_bytes);
    if (json_) {
      console.print_json(
          Json::object({{"path", destination_},
                        {"tensors", report.num_tensors},
                        {"bytes", report.tensor_bytes},
                        {"type", dtype_info(report.main_dtype).name},
                        {"seconds", seconds},
                        {"notes", Json(Json::Array(report.notes.begin(), report.notes.end()))}}));
      return;
    }
    console.note("{}: {} tensors, {}, most of them {}, in {:.1f} s ({}/s)", destination_,
                 report.num_tensors, bytes_text(bytes), dtype_info(report.main_dtype).name, seconds,
                 bytes_text(bytes / std::max(seconds, 1e-9)));
  }

  std::string source_;
  std::string destination_;
  std::string type_ = "keep";
  double shard_gb_ = static_cast<double>(kShardBytesMax) / 1e9;
  bool no_tokenizer_ = false;
  bool force_ = false;
  int threads_ = 0;
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_convert_command() { return std::make_unique<ConvertCommand>(); }

}  // namespace minke
