#include "minke/base/clock.h"
#include "minke/base/files.h"
#include "minke/base/sha256.h"
#include "minke/base/utf8.h"
#include "minke/cli/command.h"
#include "minke/cli/interrupts.h"
#include "minke/cli/loaded_model.h"
#include "minke/cli/progress.h"
#include "minke/convert/check_model.h"
#include "minke/convert/compare_models.h"
#include "minke/hub/model_store.h"
#include "minke/hub/pull.h"
#include "minke/hub/source_lookup.h"

namespace minke {
namespace {

class VerifyCommand final : public Command {
 public:
  void add_flags(Flags& flags) override {
    flags.positional("MODEL", name_, Flags::Need::kRequired, kModelHelp);
    flags.add("against", against_, "compare with this model, tensor by tensor");
    flags.add("tolerance", tolerance_, {0, 1e30},
              "relative error of a tensor that --against accepts (f16: 3e-4, Q8_0: 6e-3)");
    flags.add("no-tokenizer", no_tokenizer_, "--against compares weights and shape only");
    flags.add("threads,t", threads_, {0, 1024}, "threads that compute; 0: all CPUs");
    flags.add("json", json_, "one JSON document");
    flags.example("minke verify smollm2-135m");
    flags.example("minke verify small.gguf --against ./my-model --tolerance 0.01");
  }

  Result<void> run(const Console& console) override {
    const double start = seconds_now();
    const Interrupts interrupts;
    MK_ASSIGN(const std::filesystem::path path, ModelStore::open_default().resolve(name_));
    Json document = Json::object({{"path", path.string()}});
    if (against_.empty()) {
      MK_TRY(verify_hashes(console, path, document));
    }
    const auto opened = OpenedModel::open(path);
    if (!opened && document.find("source") != nullptr) {  // pulled
      // The bytes are right, whatever minke can do with such a model.
      document.set("verified", true);
      document.set("notes", json_texts({opened.error().message}));
      if (json_) console.print_json(document);
      console.note("what is in it was not checked: {}", opened.error().message);
      return {};
    }
    if (!opened) return pass_on(opened);
    if (!against_.empty()) return compare(console, interrupts, *opened, start);
    return check(console, interrupts, *opened, std::move(document), start);
  }

 private:
  int num_threads() const { return threads_ > 0 ? threads_ : available_cpus(); }

  template <class Options>
  Options options_of(ProgressBar& bar, const Interrupts& interrupts) const {
    Options options;
    options.num_threads = num_threads();
    options.progress = [&](uint64_t done, uint64_t total) {
      bar.update(done, total);
      return interrupts.count() == 0;
    };
    return options;
  }

  // Of what was pulled: its manifest's; else of a file with NAME.sha256 beside it.
  Result<void> verify_hashes(const Console& console, const std::filesystem::path& path,
                             Json& document) const {
    std::error_code error;
    if (is_model_name(name_) && !std::filesystem::exists(name_, error)) {
      MK_ASSIGN(const StoredModel model, ModelStore::open_default().find(name_));
      if (const Result<void> verified = verify_model(model); !verified) {
        return fail(verified.error().code, "{}; get it again with: minke rm --yes {} && {}",
                    verified.error().message, name_, pull_command(model.manifest));
      }
      document = model.manifest.to_json();
      if (json_) return {};
      for (const ManifestFile& file : model.manifest.all_files()) {
        console.print("{}  {}\n", file.sha256, file.name);
      }
      console.note("{}: every byte is as it was pulled from {}", name_, model.manifest.source);
      return {};
    }
    const std::filesystem::path beside = path.string() + ".sha256";
    if (!std::filesystem::is_regular_file(path, error) || !std::filesystem::exists(beside, error)) {
      return {};
    }
    constexpr size_t kBytesMax = 1 << 16, kDigits = 64;
    MK_ASSIGN(const std::string expected, read_file(beside, kBytesMax));
    MK_ASSIGN(const std::string found, sha256_file(path));
    document.set("sha256", found);
    if (expected.starts_with(found)) return {};
    return fail(ErrorCode::kCorrupt, "{} has the SHA-256 {}, {} says {}", path.string(), found,
                beside.string(), printable_name(expected.substr(0, kDigits)));
  }

  Result<void> check(const Console& console, const Interrupts& interrupts, const OpenedModel& model,
                     Json document, double start) const {
    ProgressBar bar(console);
    MK_ASSIGN(const ModelCheck found,
              check_model(model, options_of<CheckOptions>(bar, interrupts)));
    bar.clear();
    if (json_) {
      document.set("verified", found.errors.empty());
      document.set("tensors", found.num_tensors);
      document.set("elements", found.num_elements);
      document.set("errors", json_texts(found.errors));
      document.set("warnings", json_texts(found.warnings));
      document.set("notes", json_texts(found.notes));
      document.set("seconds", seconds_now() - start);
      console.print_json(document);
    } else {
      for (const std::string& text : found.errors) console.print("error: {}\n", text);
      for (const std::string& text : found.warnings) console.print("warning: {}\n", text);
      for (const std::string& text : found.notes) console.print("note: {}\n", text);
    }
    if (!found.errors.empty()) {
      return fail(ErrorCode::kCorrupt, "{} is corrupt: {} errors, the first: {}", name_,
                  found.errors.size(), found.errors.front());
    }
    console.note("{}: {} tensors with {} numbers are fine", name_, found.num_tensors,
                 found.num_elements);
    return {};
  }

  Result<void> compare(const Console& console, const Interrupts& interrupts, const OpenedModel& a,
                       double start) const {
    MK_ASSIGN(const std::filesystem::path path, ModelStore::open_default().resolve(against_));
    MK_ASSIGN(const OpenedModel b, OpenedModel::open(path));
    ProgressBar bar(console);
    auto options = options_of<CompareOptions>(bar, interrupts);
    options.with_tokenizer = !no_tokenizer_;
    // The other one is what this should be: errors are relative to it.
    MK_ASSIGN(const ModelComparison found, compare_models(b, a, options));
    bar.clear();
    const bool same = found.same(tolerance_);
    json_ ? console.print_json(document(found, same, seconds_now() - start)) : tell(console, found);
    if (same) return {};
    return fail(ErrorCode::kFailed,
                "{} differs from {}: {} tensors (relative error up to {:.3g}), "
                "{} settings, {} things of the tokenizer",
                name_, against_, found.tensors.size(), found.relative_error_max(),
                found.config.size(), found.tokenizer.size());
  }

  void tell(const Console& console, const ModelComparison& found) const {
    for (const TensorDifference& tensor : found.tensors) {
      console.print("{:<44}{}\n", printable_name(tensor.name),
                    tensor.what.empty()
                        ? fmt::format("relative error {:.3e}, most {:.3e}", tensor.relative_error,
                                      tensor.max_abs_difference)
                        : tensor.what);
    }
    for (const std::string& text : found.config) console.print("config {}\n", text);
    for (const std::string& text : found.tokenizer) console.print("tokenizer {}\n", text);
    console.note("{} tensors compared, relative error up to {:.3e}", found.num_tensors,
                 found.relative_error_max());
  }

  Json document(const ModelComparison& found, bool same, double seconds) const {
    Json::Array tensors;
    for (const TensorDifference& tensor : found.tensors) {
      tensors.push_back(Json::object({{"name", tensor.name},
                                      {"what", tensor.what.empty() ? "values" : tensor.what},
                                      {"max_abs_difference", tensor.max_abs_difference},
                                      {"relative_error", tensor.relative_error}}));
    }
    return Json::object({{"path", name_},
                         {"against", against_},
                         {"same", same},
                         {"tolerance", tolerance_},
                         {"tensors_compared", found.num_tensors},
                         {"relative_error", found.relative_error_max()},
                         {"tensors", std::move(tensors)},
                         {"config", json_texts(found.config)},
                         {"tokenizer", json_texts(found.tokenizer)},
                         {"seconds", seconds}});
  }

  std::string name_;
  std::string against_;
  double tolerance_ = 0;
  bool no_tokenizer_ = false;
  int threads_ = 0;
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_verify_command() { return std::make_unique<VerifyCommand>(); }

}  // namespace minke
