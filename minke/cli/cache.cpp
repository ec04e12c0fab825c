#include "minke/cli/command.h"
#include "minke/cli/packed_cache.h"
#include "minke/cli/weight_placement.h"

namespace minke {
namespace {

class CacheCommand final : public Command {
 public:
  void add_flags(Flags& flags) override {
    flags.positional_choice("ACTION", action_, {"list", "prune", "clear"},
                            "list what is there; prune deletes files whose model changed or is "
                            "gone, clear all of them");
    flags.add("yes,y", yes_, "do not ask");
    flags.add("json", json_, "one JSON document");
    flags.example("minke cache list");
    flags.example("minke cache prune --yes");
  }

  Result<void> run(const Console& console) override {
    const std::vector<PackedEntry> entries = packed_entries();
    if (action_ == "list") {
      json_ ? print_document(console, entries) : print_table(console, entries);
      return {};
    }
    std::vector<PackedEntry> chosen;
    for (const PackedEntry& entry : entries) {
      if (action_ == "clear" ? entry.state != PackedState::kInWork : entry.is_useless()) {
        chosen.push_back(entry);
      }
    }
    return remove(console, chosen);
  }

 private:
  static uint64_t total_bytes(const std::vector<PackedEntry>& entries) {
    uint64_t sum = 0;
    for (const PackedEntry& entry : entries) sum += entry.bytes;
    return sum;
  }

  static void print_document(const Console& console, const std::vector<PackedEntry>& entries) {
    Json::Array rows;
    for (const PackedEntry& entry : entries) {
      rows.push_back(
          Json::object({{"path", entry.path.string()},
                        {"bytes", entry.bytes},
                        {"state", packed_state_name(entry.state)},
                        {"source", entry.source.empty() ? Json() : Json(entry.source)}}));
    }
    console.print_json(Json::object({{"folder", packed_folder().string()},
                                     {"bytes", total_bytes(entries)},
                                     {"files", std::move(rows)}}));
  }

  static void print_table(const Console& console, const std::vector<PackedEntry>& entries) {
    bool has_useless = false;
    for (const PackedEntry& entry : entries) {
      has_useless = has_useless || entry.is_useless();
      console.print("{:>8}  {:<10}  {}  {}\n", bytes_text(static_cast<double>(entry.bytes)),
                    packed_state_name(entry.state), entry.path.filename().string(), entry.source);
    }
    console.note("{} of packed weights in {}",
                 bytes_text(static_cast<double>(total_bytes(entries))), packed_folder().string());
    if (has_useless) console.note("minke cache prune deletes those that are not current");
  }

  Result<void> remove(const Console& console, const std::vector<PackedEntry>& chosen) const {
    const std::string size = bytes_text(static_cast<double>(total_bytes(chosen)));
    if (!chosen.empty() && !yes_) MK_TRY(confirm(console, chosen.size(), size));
    for (const PackedEntry& entry : chosen) {
      std::error_code error;
      std::filesystem::remove(entry.path, error);
      if (error) {
        return fail(ErrorCode::kFailed, "cannot delete {}: {}", entry.path.string(),
                    error.message());
      }
    }
    console.note("{} files with {} are deleted", chosen.size(), size);
    return {};
  }

  static Result<void> confirm(const Console& console, size_t count, const std::string& size) {
    if (!is_terminal(console.in)) {
      return fail(ErrorCode::kUsage,
                  "nobody can be asked here: give --yes to delete {} files with "
                  "{}",
                  count, size);
    }
    fmt::print(console.err, "delete {} files with {} of packed weights? [y/N] ", count, size);
    std::fflush(console.err);
    std::string answer;
    read_line(console.in, answer);
    if (answer == "y" || answer == "Y" || answer == "yes") return {};
    return fail(ErrorCode::kFailed, "nothing was deleted");
  }

  std::string action_;
  bool yes_ = false;
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_cache_command() { return std::make_unique<CacheCommand>(); }

}  // namespace minke
