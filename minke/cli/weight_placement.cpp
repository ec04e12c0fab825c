#include "minke/cli/weight_placement.h"

#include <algorithm>
#include <optional>

#include "minke/base/clock.h"
#include "minke/base/memory.h"
#include "minke/cli/interrupts.h"
#include "minke/cli/model_facts.h"
#include "minke/cli/progress.h"

namespace minke {
namespace {

// A model whose file is this many times smaller than the free memory fits, whatever its formats
// become (FP8 in f32 is the worst, four times), so that nothing needs to be counted.
constexpr uint64_t kSurelyFits = 5;

// What is left to others, and to the system's cache of pages: a fortieth, and 64 MB.
uint64_t usable(uint64_t available) {
  const uint64_t reserve = available / 40 + 64'000'000;
  return available - std::min(available, reserve);
}

std::string gb(int64_t bytes) { return bytes_text(static_cast<double>(bytes)); }

// What there is, what is needed.
struct Budget {
  AvailableMemory memory;
  int64_t usable_bytes = 0;
  PanelCounter panels;
  int64_t other_bytes = 0;  // KV cache, activations, tokenizer

  int64_t needed() const { return panels.bytes() + other_bytes; }
  bool fits() const { return memory.bytes == 0 || needed() <= usable_bytes; }
  std::string text() const {
    return fmt::format("{} ({} of weights, {} for a context and the rest), and {} can be had ({})",
                       gb(needed()), gb(panels.bytes()), gb(other_bytes), gb(usable_bytes),
                       memory.bound_by);
  }
};

// Shows packing on the terminal, and stops at Ctrl-C, which otherwise ends the program.
class PackingProgress {
 public:
  PackingProgress(const Console& console, int64_t total) : total_(total), bar_(console) {
    if (!Interrupts::any()) interrupts_.emplace();
  }
  bool operator()(uint64_t done) {
    bar_.update(done, static_cast<uint64_t>(total_));
    return !interrupts_ || interrupts_->count() == 0;
  }

 private:
  int64_t total_;
  ProgressBar bar_;
  std::optional<Interrupts> interrupts_;
};

void tell(const Console& console, const Budget& budget, const WeightPlacement& placement,
          const std::filesystem::path& path) {
  std::error_code error;
  const bool is_made = std::filesystem::exists(path, error);
  const char* action =
      is_made ? "are read as needed from" : "are packed once, then read as needed from";
  if (budget.fits()) {
    console.note("weights of {} {} {} ({})", placement.model, action, path.string(),
                 gb(budget.panels.bytes()));
    return;
  }
  console.note("{} needs {}: its weights {} {} ({}), which is slow", placement.model, budget.text(),
               action, path.string(), gb(budget.panels.bytes()));
}

}  // namespace

Result<std::unique_ptr<Model>> place_weights(const Device& device, const ModelFile& file,
                                             const LoadOptions& options,
                                             const WeightPlacement& placement,
                                             const Console& console) {
  const auto in_memory = [&] { return load_model(device, file.weights(), file.config(), options); };
  Budget budget{available_memory(), 0, {}, placement.kv_bytes + kWorkBytes};
  budget.usable_bytes = static_cast<int64_t>(usable(budget.memory.bytes));
  const uint64_t bound =
      kSurelyFits * file.file_bytes() + static_cast<uint64_t>(budget.other_bytes);
  if (placement.where != "disk" && bound <= static_cast<uint64_t>(budget.usable_bytes)) {
    return in_memory();
  }
  MK_ASSIGN(budget.panels, count_panels(device, file, options));
  if (placement.where != "disk" && budget.fits()) return in_memory();
  if (placement.where == "memory") {
    return fail(
        ErrorCode::kWillNotFit,
        "{} needs {}; leave --weights memory out to read weights from disk, lower --ctx, or "
        "take a smaller quantisation",
        placement.model, budget.text());
  }
  if (budget.memory.bytes > 0 && budget.other_bytes > budget.usable_bytes) {
    return fail(ErrorCode::kWillNotFit,
                "{} needs {}, too little even with weights on disk; lower --ctx or take --kv int8",
                placement.model, budget.text());
  }
  PackedModelOptions packed{packed_folder(), 0};
  tell(console, budget, placement, packed_path(device, file, options, packed.folder));
  // Where everything fits, the system's cache will hold all of it.
  if (!budget.fits()) {
    constexpr double kHeld = 0.8;  // the rest is for pages that come and go
    packed.memory_bytes = static_cast<uint64_t>(
        kHeld * static_cast<double>(budget.usable_bytes - budget.other_bytes));
  }
  PackingProgress progress(console, budget.panels.bytes());
  return load_packed_model(device, file, options, packed, progress);
}

std::filesystem::path packed_folder() { return folders_from_environment().cache / "packed"; }

}  // namespace minke
