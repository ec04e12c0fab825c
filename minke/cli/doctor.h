#pragma once
#include <string>
#include <vector>

namespace minke {

/// How bad a finding is: a warning costs speed or comfort, a failure stops minke from working.
enum class Health { kOk, kWarning, kFail };

/// One line of `minke doctor`.
struct Checkup {
  std::string name;
  Health health = Health::kOk;
  std::string sentence;  ///< what was found, and why it matters where it does
  std::string fix;       ///< one command, or empty
};

/// "ok", "warning", "fail".
const char* health_name(Health health);

/// What to look at.
struct DoctorOptions {
  bool verify = false;  ///< hash the models' files
  int port = 6465;
};

/// All checks, in the order in which they are shown.
std::vector<Checkup> examine_machine(const DoctorOptions& options);

}  // namespace minke
