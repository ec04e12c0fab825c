#include "minke/hub/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "minke/base/clock.h"

extern char** environ;

namespace minke {
namespace {

constexpr int kPollMs = 100;
constexpr double kGraceSeconds = 2.0;  // between SIGTERM and SIGKILL
constexpr size_t kErrorOutputMax = 64 << 10;

std::vector<std::string> child_environment(const ChildCommand& command) {
  std::vector<std::string> out;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    bool replaced = false;
    for (const auto& [name, value] : command.environment) {
      replaced = replaced || text.substr(0, text.find('=')) == name;
    }
    if (!replaced) out.emplace_back(text);
  }
  for (const auto& [name, value] : command.environment) out.push_back(name + "=" + value);
  return out;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> out;
  for (std::string& text : strings) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

// Starts the child in a process group of its own, so that all of it can be ended at once.
Result<pid_t> spawn(const ChildCommand& command, int error_write) {
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
  if (command.show_output) {
    posix_spawn_file_actions_adddup2(&files, 2, 1);
  } else {
    posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
  }
  posix_spawn_file_actions_adddup2(&files, error_write, 2);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  std::vector<std::string> args = command.args;
  std::vector<std::string> environment = child_environment(command);
  pid_t pid = -1;
  const int code = ::posix_spawnp(&pid, args[0].c_str(), &files, &attributes, pointers(args).data(),
                                  pointers(environment).data());
  posix_spawn_file_actions_destroy(&files);
  posix_spawnattr_destroy(&attributes);
  if (code == 0) return pid;
  return fail(code == ENOENT ? ErrorCode::kNotFound : ErrorCode::kFailed, "cannot run {}: {}",
              command.args[0], std::strerror(code));
}

// Reads what is there; false at the end of the stream.
bool read_some(int fd, std::string& out) {
  char chunk[4096];
  const ssize_t got = ::read(fd, chunk, sizeof chunk);
  if (got < 0) return errno == EINTR || errno == EAGAIN;
  out.append(chunk, static_cast<size_t>(got));
  if (out.size() > 2 * kErrorOutputMax) out.erase(0, out.size() - kErrorOutputMax);
  return got > 0;
}

int wait_for(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void end_group(pid_t pid) {
  ::kill(-pid, SIGTERM);
  const double deadline = seconds_now() + kGraceSeconds;
  while (seconds_now() < deadline) {
    siginfo_t info{};
    if (::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
        info.si_pid == pid) {
      break;
    }
    ::poll(nullptr, 0, 10);
  }
  ::kill(-pid, SIGKILL);
  wait_for(pid);
}

}  // namespace

Result<ChildResult> run_child(const ChildCommand& command) {
  int pipe_fds[2];
  if (::pipe2(pipe_fds, O_CLOEXEC) != 0) {
    return fail(ErrorCode::kFailed, "cannot make a pipe: {}", std::strerror(errno));
  }
  const Result<pid_t> pid = spawn(command, pipe_fds[1]);
  ::close(pipe_fds[1]);
  if (!pid) {
    ::close(pipe_fds[0]);
    return pass_on(pid);
  }
  ChildResult result;
  bool stopped = false;
  bool open = true;
  while (open && !stopped) {
    struct pollfd entry = {pipe_fds[0], POLLIN, 0};
    if (::poll(&entry, 1, kPollMs) > 0) open = read_some(pipe_fds[0], result.error_output);
    stopped = command.should_stop && command.should_stop();
  }
  ::close(pipe_fds[0]);
  if (stopped) {
    end_group(*pid);
    return fail(ErrorCode::kInterrupted, "interrupted");
  }
  result.exit_code = wait_for(*pid);
  if (result.error_output.size() > kErrorOutputMax) {
    result.error_output.erase(0, result.error_output.size() - kErrorOutputMax);
  }
  return result;
}

}  // namespace minke
