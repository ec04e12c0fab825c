#include "minke/cli/write_flags.h"

#include <signal.h>

#include "minke/base/thread_pool.h"
#include "minke/hub/model_store.h"

namespace minke {

void WriteFlags::add_places(Flags& flags, std::string_view destination_help) {
  flags.positional("SOURCE", source, Flags::Need::kRequired,
                   "a name from minke list, a .gguf file, or a folder as Hugging Face's");
  flags.positional("DESTINATION", destination, Flags::Need::kRequired, destination_help);
}

void WriteFlags::add_to(Flags& flags) {
  flags.add("no-tokenizer", no_tokenizer, "the weights only");
  flags.add("force", force, "overwrite what is there");
  flags.add("threads,t", threads, {0, 1024}, "threads that compute; 0: all CPUs");
  flags.add("json", json, "one JSON document about what was written");
}

Result<std::filesystem::path> WriteFlags::source_path() const {
  return ModelStore::open_default().resolve(source);
}

WriteTensorsOptions WriteFlags::writing(ProgressBar& bar, const Interrupts& interrupts) const {
  ::signal(SIGXFSZ, SIG_IGN);
  WriteTensorsOptions options;
  options.num_threads = threads > 0 ? threads : available_cpus();
  options.progress = [&bar, &interrupts](uint64_t done, uint64_t total) {
    bar.update(done, total);
    return interrupts.count() == 0;
  };
  return options;
}

void add_type_flag(Flags& flags, std::string& type) {
  flags.choice("type", type, {"keep", "f32", "f16", "bf16", "fp8", "fp8-ue8m0"},
               "format of the matrices; keep: as they are, but bf16 for block formats in a folder; "
               "fp8: a folder as DeepSeek-V3's, fp8-ue8m0: as V3.1's");
}

void set_type(std::string_view type, ConvertOptions& options) {
  if (type == "fp8") options.fp8 = Fp8ScaleFormat::kFloat;
  if (type == "fp8-ue8m0") options.fp8 = Fp8ScaleFormat::kUe8m0;
  if (type == "f32") options.type = DType::kF32;
  if (type == "f16") options.type = DType::kF16;
  if (type == "bf16") options.type = DType::kBf16;
}

}  // namespace minke
