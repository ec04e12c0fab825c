// Faults inside the writing of checkpoints, for tests/e2e/crash_run.py: loaded by LD_PRELOAD, so
// that the program itself has no code for tests.
//
//   MINKE_FAULT=kill:K   the K-th of the calls below dies by SIGKILL, a write with half of its
//   bytes MINKE_FAULT=full:K   from the K-th on the disk is full: half of the bytes, then ENOSPC
//   MINKE_FAULT_CALLS=F  at the end of the process their number is written into file F
//
// Counted are write, fallocate, fsync, rename and mkdir of what lies below a folder "checkpoints".
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

std::atomic<long> calls{0};

template <class Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

bool is_checkpoint(const char* path) { return std::strstr(path, "/checkpoints/") != nullptr; }

bool is_checkpoint(int fd) {
  char link[64];
  char path[PATH_MAX + 1];
  std::snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
  const ssize_t size = readlink(link, path, PATH_MAX);
  if (size < 0) return false;
  path[size] = '\0';
  return is_checkpoint(path);
}

enum class Fault { kNone, kKill, kFull };

// What befalls this call, which is counted.
Fault fault() {
  const long call = ++calls;
  const char* wanted = std::getenv("MINKE_FAULT");
  if (wanted == nullptr) return Fault::kNone;
  const long at = std::strtol(wanted + 5, nullptr, 10);
  if (std::strncmp(wanted, "kill:", 5) == 0 && call == at) return Fault::kKill;
  if (std::strncmp(wanted, "full:", 5) == 0 && call >= at) return Fault::kFull;
  return Fault::kNone;
}

void die() { kill(getpid(), SIGKILL); }

// For calls without bytes: whether they fail for want of room.
bool is_refused(bool takes_room) {
  const Fault found = fault();
  if (found == Fault::kKill) die();
  if (found != Fault::kFull || !takes_room) return false;
  errno = ENOSPC;
  return true;
}

__attribute__((destructor)) void tell_calls() {
  const char* path = std::getenv("MINKE_FAULT_CALLS");
  std::FILE* file = path != nullptr ? std::fopen(path, "w") : nullptr;
  if (file == nullptr) return;
  std::fprintf(file, "%ld\n", calls.load());
  std::fclose(file);
}

}  // namespace

extern "C" {

ssize_t write(int fd, const void* bytes, size_t size) {
  static auto* const real = next<ssize_t(int, const void*, size_t)>("write");
  if (!is_checkpoint(fd)) return real(fd, bytes, size);
  const Fault found = fault();
  if (found == Fault::kNone) return real(fd, bytes, size);
  if (found == Fault::kFull && size < 2) {
    errno = ENOSPC;
    return -1;
  }
  const ssize_t written = real(fd, bytes, size / 2);
  if (found == Fault::kKill) die();
  return written;
}

int fallocate(int fd, int mode, off_t offset, off_t size) {
  static auto* const real = next<int(int, int, off_t, off_t)>("fallocate");
  if (is_checkpoint(fd) && is_refused(false)) return -1;
  return real(fd, mode, offset, size);
}

int fsync(int fd) {
  static auto* const real = next<int(int)>("fsync");
  if (is_checkpoint(fd) && is_refused(false)) return -1;
  return real(fd);
}

int rename(const char* from, const char* to) noexcept {
  static auto* const real = next<int(const char*, const char*)>("rename");
  if (is_checkpoint(to) && is_refused(false)) return -1;
  return real(from, to);
}

int mkdir(const char* path, mode_t mode) noexcept {
  static auto* const real = next<int(const char*, mode_t)>("mkdir");
  if (is_checkpoint(path) && is_refused(true)) return -1;
  return real(path, mode);
}

}  // extern "C"
