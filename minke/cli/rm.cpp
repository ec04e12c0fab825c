#include <algorithm>

#include "minke/cli/command.h"
#include "minke/cli/packed_cache.h"
#include "minke/hub/model_store.h"

namespace minke {
namespace {

class RmCommand final : public Command {
 public:
  void add_flags(Flags& flags) override {
    flags.positional("MODEL", name_, Flags::Need::kRequired, "a name from minke list");
    flags.add("yes,y", yes_, "do not ask");
    flags.example("minke rm smollm2-135m");
  }

  Result<void> run(const Console& console) override {
    const ModelStore store = ModelStore::open_default();
    const Result<StoredModel> model = store.find(name_);
    const bool is_missing = !model && model.error().code == ErrorCode::kNotFound;
    if (is_missing && !store.has_leftovers(name_)) return pass_on(model);
    if (!yes_) MK_TRY(confirm(console, model ? model->manifest.size_bytes : 0));
    MK_TRY(store.remove(name_));
    console.note("{} is deleted", name_);
    const std::vector<PackedEntry> packed = packed_entries();
    if (std::any_of(packed.begin(), packed.end(),
                    [](const PackedEntry& e) { return e.is_useless(); })) {
      console.note("minke cache prune deletes packed weights that no model has any more");
    }
    return {};
  }

 private:
  Result<void> confirm(const Console& console, uint64_t size_bytes) const {
    if (!is_terminal(console.in)) {
      return fail(ErrorCode::kUsage, "nobody can be asked here: give --yes to delete {}", name_);
    }
    fmt::print(console.err, "delete {} ({})? [y/N] ", name_,
               bytes_text(static_cast<double>(size_bytes)));
    std::fflush(console.err);
    std::string answer;
    read_line(console.in, answer);
    if (answer == "y" || answer == "Y" || answer == "yes") return {};
    return fail(ErrorCode::kFailed, "nothing was deleted");
  }

  std::string name_;
  bool yes_ = false;
};

}  // namespace

std::unique_ptr<Command> make_rm_command() { return std::make_unique<RmCommand>(); }

}  // namespace minke
