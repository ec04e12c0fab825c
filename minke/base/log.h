#pragma once
#include <fmt/core.h>

#include <string_view>
#include <utility>

namespace minke {

/// Levels of the log on stderr, the least important first.
enum class LogLevel { kDebug, kInfo, kWarn, kError, kOff };

/// Sets the lowest level that is printed. Default kInfo. Safe from any thread.
void set_log_level(LogLevel level);

/// Writes one line to stderr (spdlog behind it). Prompts and replies are never logged.
void log_line(LogLevel level, std::string_view message);

/// One line at level kDebug (fmt syntax), and so on for the other levels.
template <class... Args>
void log_debug(fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::kDebug, fmt::format(format, std::forward<Args>(args)...));
}
/// See log_debug().
template <class... Args>
void log_info(fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::kInfo, fmt::format(format, std::forward<Args>(args)...));
}
/// See log_debug().
template <class... Args>
void log_warn(fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::kWarn, fmt::format(format, std::forward<Args>(args)...));
}
/// See log_debug().
template <class... Args>
void log_error(fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::kError, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace minke
