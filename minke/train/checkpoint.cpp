#include "minke/train/checkpoint.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <system_error>
#include <utility>

#include "minke/base/atomic_file.h"
#include "minke/base/files.h"
#include "minke/format/safetensors.h"
#include "minke/format/weight_writer.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "step-";
constexpr int kVersion = 1;
constexpr size_t kStateBytesMax = size_t{64} << 20;
constexpr std::string_view kOptimizer = "optimizer.";

tl::unexpected<Error> fail_code(const char* what, const fs::path& path, int code) {
  return fail(code == ENOSPC || code == EDQUOT ? ErrorCode::kWillNotFit : ErrorCode::kFailed,
              "cannot {} {}: {}", what, path.string(), std::strerror(code));
}

// The step that a whole checkpoint's name says; -1: it is none.
int64_t step_of_name(const std::string& name) {
  if (!name.starts_with(kPrefix)) return -1;
  int64_t step = -1;
  const char* end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data() + kPrefix.size(), end, step);
  return error == std::errc() && stop == end ? step : -1;
}

Result<void> sync_path(const fs::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fail_code("open", path, errno);
  const int code = ::fsync(fd) == 0 ? 0 : errno;
  ::close(fd);
  if (code != 0) return fail_code("sync", path, code);
  return {};
}

Result<void> sync_folder(const fs::path& folder) {
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    MK_TRY(sync_path(at->path()));
  }
  if (error) return fail_code("read", folder, error.value());
  return sync_path(folder);
}

// Keeps the file alive as long as one of its tensors.
Tensor mapped_tensor(const Tensor& bytes, const std::byte* base, const WeightInfo& info) {
  return bytes.part(info.bytes.data() - base, info.dtype, info.shape);
}

}  // namespace

std::vector<int64_t> CheckpointFolder::steps() const {
  std::vector<int64_t> steps;
  std::error_code error;
  for (fs::directory_iterator at(folder_, error), end; !error && at != end; at.increment(error)) {
    const int64_t step = step_of_name(at->path().filename().string());
    if (step >= 0) steps.push_back(step);
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

fs::path CheckpointFolder::path_of(int64_t step) const {
  return folder_ / fmt::format("{}{:06}", kPrefix, step);
}

void CheckpointFolder::remove_remains() const {
  std::vector<fs::path> remains;
  std::error_code error;
  for (fs::directory_iterator at(folder_, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename().string();
    if (name.starts_with(kPrefix) && step_of_name(name) < 0) remains.push_back(at->path());
  }
  for (const fs::path& path : remains) fs::remove_all(path, error);
}

void CheckpointFolder::keep(int64_t keep_last, const std::vector<int64_t>& named) const {
  std::vector<int64_t> all = steps();
  const auto count = static_cast<int64_t>(all.size());
  for (int64_t i = 0; i < count - keep_last; ++i) {
    const int64_t step = all[static_cast<size_t>(i)];
    if (std::ranges::find(named, step) != named.end()) continue;
    const fs::path path = path_of(step);
    const fs::path nameless = path.string() + ".deleted";
    std::error_code error;
    fs::rename(path, nameless, error);
    if (!error) fs::remove_all(nameless, error);
  }
}

Result<CheckpointWriter> CheckpointWriter::create(const fs::path& target) {
  std::error_code error;
  fs::create_directories(target.parent_path(), error);
  if (error) return fail_code("make", target.parent_path(), error.value());
  MK_ASSIGN(const std::string temporary,
            make_beside(target, [](const char* name) { return ::mkdir(name, 0777) == 0; }));
  return CheckpointWriter(target, temporary);
}

CheckpointWriter::CheckpointWriter(CheckpointWriter&& other) noexcept
    : target_(std::move(other.target_)), temporary_(std::exchange(other.temporary_, {})) {}

CheckpointWriter::~CheckpointWriter() {
  std::error_code ignored;
  if (!temporary_.empty()) fs::remove_all(temporary_, ignored);
}

Result<void> CheckpointWriter::write_state(const TrainerState& state) const {
  std::vector<OptimizerState::Entry> entries;
  for (const auto& [name, value] : state.optimizer.tensors) {
    entries.push_back({std::string(kOptimizer) + name, value});
  }
  entries.insert(entries.end(), state.tensors.begin(), state.tensors.end());
  // Numbers of four bytes first, so that all lie aligned in the file's map.
  std::stable_sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
    return dtype_bytes(a.value.dtype(), 1) > dtype_bytes(b.value.dtype(), 1);
  });
  std::vector<WeightDeclaration> declarations;
  for (const auto& [name, value] : entries) {
    declarations.push_back({name, value.dtype(), value.shape()});
  }
  MK_ASSIGN(WeightWriter writer,
            create_safetensors_file(temporary_ / "trainer_state.safetensors", declarations));
  for (const auto& [name, value] : entries) {
    const auto bytes = static_cast<size_t>(dtype_bytes(value.dtype(), value.num_elements()));
    MK_TRY(writer.write({value.view().data, bytes}));
  }
  MK_TRY(writer.finish());
  Json json = Json::object({{"version", kVersion},
                            {"step", state.step},
                            {"optimizer_steps", state.optimizer.num_steps}});
  for (const auto& [key, value] : state.rest.as_object()) json.set(key, value);
  return write_file_atomic(temporary_ / "trainer_state.json", json.dump(2) + "\n");
}

Result<void> CheckpointWriter::commit() {
  MK_TRY(sync_folder(temporary_));
  std::error_code error;
  if (fs::exists(target_, error)) {  // of a part of the run that was rolled back
    fs::rename(target_, target_.string() + ".deleted", error);
    if (error) return fail_code("replace", target_, error.value());
  }
  fs::rename(temporary_, target_, error);
  if (error) return fail_code("write", target_, error.value());
  temporary_.clear();
  MK_TRY(sync_path(target_.parent_path()));
  fs::remove_all(target_.string() + ".deleted", error);
  return {};
}

Result<TrainerState> read_trainer_state(const fs::path& checkpoint) {
  const fs::path path = checkpoint / "trainer_state.json";
  MK_ASSIGN(const std::string text, read_file(path, kStateBytesMax));
  const Result<Json> json = parse_json(text);
  const Json* version = json ? json->find("version") : nullptr;
  const Json* step = json ? json->find("step") : nullptr;
  const Json* optimizer_steps = json ? json->find("optimizer_steps") : nullptr;
  const auto is_count = [](const Json* at) { return at != nullptr && at->is_int(); };
  if (!is_count(version) || version->as_int() != kVersion || !is_count(step) ||
      !is_count(optimizer_steps)) {
    return fail(ErrorCode::kCorrupt, "{} is no trainer state of version {}", path.string(),
                kVersion);
  }
  TrainerState state;
  state.step = step->as_int();
  state.optimizer.num_steps = optimizer_steps->as_int();
  state.rest = *json;
  const fs::path tensors = checkpoint / "trainer_state.safetensors";
  MK_ASSIGN(MappedFile file, MappedFile::open(tensors));
  const Tensor bytes = Tensor::mapped(std::move(file));
  const std::byte* base = bytes.view().data;
  MK_ASSIGN(
      const SafetensorsFile parsed,
      SafetensorsFile::parse({base, static_cast<size_t>(bytes.num_elements())}, tensors.string()));
  for (const WeightInfo& info : parsed.weights()) {
    const bool is_optimizers = info.name.starts_with(kOptimizer);
    auto& entries = is_optimizers ? state.optimizer.tensors : state.tensors;
    entries.push_back({is_optimizers ? info.name.substr(kOptimizer.size()) : info.name,
                       mapped_tensor(bytes, base, info)});
  }
  return state;
}

}  // namespace minke
