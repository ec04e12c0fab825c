#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include "minke/base/files.h"
#include "minke/base/memory.h"
#include "minke/base/random.h"
#include "minke/cli/console.h"
#include "minke/cli/doctor.h"
#include "minke/cli/machine_limits.h"
#include "minke/hub/known_models.h"
#include "minke/hub/model_store.h"
#include "minke/hub/pull.h"
#include "minke/kernels/matmul.h"
#include "minke/tensor/tensor.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

Checkup check_kernels(const Result<std::unique_ptr<Device>>& device) {
  Checkup check{"kernels", Health::kFail, "", ""};
  if (!device) {
    check.sentence = device.error().message;
    check.fix = "unset MINKE_KERNELS";
    return check;
  }
  const CpuLevel level = (*device)->level();
  CpuLevel best = CpuLevel::kRef;
  for (const CpuLevel candidate : kCpuLevels) {
    if (cpu_level_supported(candidate)) best = std::max(best, candidate);
  }
  check.health = Health::kOk;
  check.sentence = fmt::format("{}, the best of minke's that this CPU runs", cpu_level_name(level));
  if (level != best) {
    check.health = Health::kWarning;
    check.sentence =
        fmt::format("{} because MINKE_KERNELS says so; this CPU runs {}, which is faster",
                    cpu_level_name(level), cpu_level_name(best));
    check.fix = "unset MINKE_KERNELS";
  } else if (level == CpuLevel::kRef) {
    check.health = Health::kWarning;
    check.sentence =
        "this CPU has neither AVX2 nor NEON, so minke computes with slow portable code";
  }
  return check;
}

Checkup check_threads() {
  const int usable = available_cpus();
  const long all = ::sysconf(_SC_NPROCESSORS_ONLN);
  Checkup check{"threads", Health::kOk, fmt::format("{} CPUs to use", usable), ""};
  if (usable < all) {
    check.sentence =
        fmt::format("{} of {} CPUs to use: the others are taken from this process", usable, all);
  }
  return check;
}

Checkup check_memory() {
  const auto total = static_cast<double>(meminfo_bytes("MemTotal"));
  const AvailableMemory memory = available_memory();
  const auto available = static_cast<double>(memory.bytes);
  Checkup check{"memory", Health::kOk, "", ""};
  check.sentence = fmt::format("{} free of {}", bytes_text(available), bytes_text(total));
  if (memory.bound_by != "this machine") {
    check.sentence = fmt::format("{} free, by {}; the machine has {}", bytes_text(available),
                                 memory.bound_by, bytes_text(total));
  }
  constexpr double kSmall = 512e6;  // the default model with its cache takes about 0.2 GB
  if (available < kSmall) {
    check.health = Health::kWarning;
    check.sentence += ", which is little for a model";
    check.fix = "ps aux --sort=-rss | head";
  }
  return check;
}

Checkup check_huge_pages() {
  Checkup check{"huge pages", Health::kOk, "", ""};
  const fs::path path = "/sys/kernel/mm/transparent_hugepage/enabled";
  const Result<std::string> text = read_file(path);
  if (!text) {
    check.sentence = "the system does not say; reading weights may be a little slower without them";
    return check;
  }
  if (text->find("[never]") == std::string::npos) {
    check.sentence = "allowed where a program asks, as minke does";
    return check;
  }
  check.health = Health::kWarning;
  check.sentence = "switched off, so that reading weights costs more address translation";
  check.fix = fmt::format("echo madvise | sudo tee {}", path.string());
  return check;
}

Checkup check_disk(const ModelStore& store) {
  Checkup check{"models folder", Health::kOk, "", ""};
  fs::path existing = store.folder();
  std::error_code error;
  while (!fs::exists(existing, error) && existing.has_relative_path()) {
    existing = existing.parent_path();
  }
  if (::access(existing.c_str(), W_OK) != 0) {
    check.health = Health::kFail;
    check.sentence = fmt::format("{} cannot be written", existing.string());
    check.fix = "export MINKE_HOME=$HOME/minke";
    return check;
  }
  const fs::space_info space = fs::space(existing, error);
  const auto available = static_cast<double>(space.available);
  check.sentence = fmt::format("{}, {} free", store.folder().string(), bytes_text(available));
  const auto needed = 2 * static_cast<double>(known_models().front().size_bytes);
  if (!error && available < needed) {
    check.health = Health::kWarning;
    check.sentence += fmt::format(", too little for the default model ({})", bytes_text(needed));
    check.fix = "export MINKE_HOME=/a/larger/disk";
  }
  return check;
}

Checkup check_open_files() {
  struct rlimit limit {};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  Checkup check{"open files", Health::kOk, fmt::format("up to {}", limit.rlim_cur), ""};
  constexpr rlim_t kWanted = 1024;  // a connection of the server takes one
  if (limit.rlim_cur < kWanted) {
    check.health = Health::kWarning;
    check.sentence += ", which limits how many connections can be served";
    check.fix = fmt::format("ulimit -n {}", kWanted);
  }
  return check;
}

Checkup check_port(int port) {
  Checkup check{"port", Health::kOk, fmt::format("{} is free for minke serve", port), ""};
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int one = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  struct sockaddr_in address {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const bool is_free = fd >= 0 && ::bind(fd, reinterpret_cast<const struct sockaddr*>(&address),
                                         sizeof address) == 0;
  if (!is_free) {
    check.health = Health::kWarning;
    check.sentence = fmt::format("{} is in use: {}", port, std::strerror(errno));
    check.fix = fmt::format("minke serve --port {} ...", port + 1);
  }
  if (fd >= 0) ::close(fd);
  return check;
}

Checkup check_models(const ModelStore& store, bool verify) {
  Checkup check{"models", Health::kOk, "", ""};
  std::vector<std::string> broken;
  const std::vector<StoredModel> models = store.list(&broken);
  for (const StoredModel& model : models) {
    if (!verify) continue;
    const Result<void> good = verify_model(model);
    if (!good) broken.push_back(fmt::format("{}: {}", model.manifest.name, good.error().message));
  }
  check.sentence = fmt::format("{} here{}", models.size(),
                               verify ? ", their hashes are right" : ", their sizes are right");
  if (!broken.empty()) {
    check.health = Health::kFail;
    check.sentence = broken.front();
    const std::string name = broken.front().substr(0, broken.front().find(':'));
    check.fix = fmt::format("minke rm --yes {} && minke pull {}", name, name);
  } else if (models.empty()) {
    check.health = Health::kWarning;
    check.sentence = "none here yet";
    check.fix = fmt::format("minke pull {}", known_models().front().name);
  }
  return check;
}

// A product of two matrices of whole numbers, whose exact result is known: the kernels that were
// chosen compute, and compute right.
Checkup check_matmul(const Device& device) {
  constexpr int64_t kRows = 37;
  constexpr int64_t kCols = 96;
  constexpr int64_t kTokens = 5;
  Random random(1);
  const auto fill = [&](const Tensor& tensor) {
    for (float& value : tensor.span<float>()) value = static_cast<float>(random.below(17)) - 8;
  };
  const Tensor x = Tensor::zeros(DType::kF32, {kTokens, kCols});
  const Tensor w = Tensor::zeros(DType::kF32, {kRows, kCols});
  const Tensor y = Tensor::zeros(DType::kF32, {kTokens, kRows});
  fill(x);
  fill(w);
  std::vector<std::byte> packed(
      static_cast<size_t>(kernels::packed_bytes(DType::kF32, kRows, kCols)) + 64);
  const size_t skew = (64 - reinterpret_cast<uintptr_t>(packed.data()) % 64) % 64;
  kernels::pack(device, w.view().data, DType::kF32, kRows, kCols, packed.data() + skew);
  kernels::matmul(device, x.view(), {packed.data() + skew, DType::kF32, kRows, kCols}, y.view());
  for (int64_t token = 0; token < kTokens; ++token) {
    for (int64_t row = 0; row < kRows; ++row) {
      float expected = 0;
      for (int64_t k = 0; k < kCols; ++k) {
        expected += x.view().row<float>(token)[k] * w.view().row<float>(row)[k];
      }
      if (y.view().row<float>(token)[row] == expected) continue;
      return {"arithmetic", Health::kFail,
              fmt::format("the {} kernels multiply wrongly on this machine",
                          cpu_level_name(device.level())),
              "export MINKE_KERNELS=ref"};
    }
  }
  LimitsOptions options;
  options.repeats = 1;
  options.seconds_per_run = 0.02;
  ThreadLimits limits;
  limits.peaks = measure_peaks(device.pool(), options);
  return {"arithmetic", Health::kOk,
          fmt::format("a test product is right; peaks {:.0f} GFLOP/s f32, {:.0f} GOP/s int8",
                      limits.best(Precision::kF32) / 1e9, limits.best(Precision::kInt8) / 1e9),
          ""};
}

}  // namespace

const char* health_name(Health health) {
  switch (health) {
    case Health::kOk:
      return "ok";
    case Health::kWarning:
      return "warning";
    case Health::kFail:
      return "fail";
  }
  return "fail";
}

std::vector<Checkup> examine_machine(const DoctorOptions& options) {
  const ModelStore store = ModelStore::open_default();
  const Result<std::unique_ptr<Device>> device = Device::create();
  std::vector<Checkup> checks;
  checks.push_back(check_kernels(device));
  if (device) checks.push_back(check_matmul(**device));
  checks.push_back(check_threads());
  checks.push_back(check_memory());
  checks.push_back(check_huge_pages());
  checks.push_back(check_disk(store));
  checks.push_back(check_models(store, options.verify));
  checks.push_back(check_open_files());
  checks.push_back(check_port(options.port));
  return checks;
}

}  // namespace minke
