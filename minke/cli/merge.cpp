#include "minke/convert/merge.h"

#include <algorithm>
#include <cmath>

#include "minke/base/clock.h"
#include "minke/cli/adapter_flags.h"
#include "minke/cli/command.h"
#include "minke/cli/write_flags.h"

namespace minke {
namespace {

class MergeCommand final : public Command {
 public:
  void add_flags(Flags& flags) override {
    flags.positional("MODEL", write_.source, Flags::Need::kRequired,
                     "a name from minke list, a .gguf file, or a folder as Hugging Face's; or, "
                     "alone, the folder for one adapter that is the sum of all");
    flags.positional("DESTINATION", write_.destination, Flags::Need::kOptional,
                     "of the model with the adapters in its weights: a file that ends in .gguf "
                     "where it is one, else a folder");
    flags.add("adapter", adapters_, kAdapterHelp);
    flags.require("adapter");
    flags.add("shard-gb", shard_gb_, {0.001, 1e6}, "most gigabytes of a file in a folder");
    write_.add_to(flags);
    flags.example("minke merge model.gguf merged.gguf --adapter ./my-adapter");
    flags.example("minke merge both --adapter ./one:0.5 --adapter ./other");
  }

  Result<void> run(const Console& console) override {
    const Interrupts interrupts;
    const double start = seconds_now();
    MK_ASSIGN(const std::vector<Adapter> adapters, open_adapters(adapters_));
    ProgressBar bar(console);
    MergeOptions options;
    options.overwrite = write_.force;
    options.with_tokenizer = !write_.no_tokenizer;
    options.shard_bytes_max = static_cast<uint64_t>(std::llround(shard_gb_ * 1e9));
    options.writing = write_.writing(bar, interrupts);
    const bool to_model = !write_.destination.empty();
    const std::string& destination = to_model ? write_.destination : write_.source;
    MK_ASSIGN(const MergeReport report, to_model ? merge_model(adapters, options)
                                                 : merge_adapters(adapters, destination, options));
    bar.clear();
    const double seconds = seconds_now() - start;
    if (write_.json) {
      console.print_json(Json::object({{"path", destination},
                                       {"tensors", report.num_tensors},
                                       {"changed", report.num_changed},
                                       {"bytes", report.tensor_bytes},
                                       {"seconds", seconds}}));
      return {};
    }
    const auto bytes = static_cast<double>(report.tensor_bytes);
    console.note("{}: {} tensors, {}, of which {} have the adapters in them, in {:.1f} s ({}/s)",
                 destination, report.num_tensors, bytes_text(bytes), report.num_changed, seconds,
                 bytes_text(bytes / std::max(seconds, 1e-9)));
    return {};
  }

 private:
  Result<MergeReport> merge_model(std::span<const Adapter> adapters,
                                  const MergeOptions& options) const {
    MK_ASSIGN(const std::filesystem::path model, write_.source_path());
    return merge_into_model(adapters, model, write_.destination, options);
  }

  WriteFlags write_;
  std::vector<std::string> adapters_;
  double shard_gb_ = static_cast<double>(kShardBytesMax) / 1e9;
};

}  // namespace

std::unique_ptr<Command> make_merge_command() { return std::make_unique<MergeCommand>(); }

}  // namespace minke
