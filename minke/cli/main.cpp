#include <string>
#include <vector>

#include "minke/cli/command.h"

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  return minke::run_command_line(args, minke::Console{});
}
