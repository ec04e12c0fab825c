#pragma once
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "minke/base/result.h"

namespace minke {

/// A program to run without a shell.
struct ChildCommand {
  std::vector<std::string> args;  ///< args[0] is searched in PATH unless it holds a slash
  /// Set in the child on top of this process's environment.
  std::vector<std::pair<std::string, std::string>> environment;
  /// The child's standard output goes to our standard error (a progress bar, say); otherwise
  /// nowhere.
  bool show_output = false;
  /// Asked ten times a second; true ends the child (and what it started) and gives kInterrupted.
  std::function<bool()> should_stop;
};

/// How a child ended.
struct ChildResult {
  int exit_code = 0;         ///< 128 + signal when a signal ended it
  std::string error_output;  ///< the last 64 KiB of its standard error
};

/// Runs a program and waits for its end. kNotFound when there is no such program, kInterrupted when
/// should_stop() said so; an exit code other than 0 is a result, not an error.
Result<ChildResult> run_child(const ChildCommand& command);

}  // namespace minke
