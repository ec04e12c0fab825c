#pragma once
#include <string>
#include <vector>

#include "minke/runs/run_record.h"

namespace minke {

/// A page about one run, or one that compares several: what it was, where it stands, curves, what
/// happened, samples, settings, machine and command line. One HTML file that needs no network, no
/// other file and, but for the values under the pointer, no script; for light and dark screens.
std::string report_html(const std::vector<RunRecord>& runs);

/// "2026-11-24 18:30:05 UTC"; "?" for 0.
std::string utc_text(double unix_seconds);

/// "45 s", "12:03 min", "3:04 h".
std::string span_text(double seconds);

/// How long the run has been at it: its last "seconds", else by the clock.
double run_seconds(const RunRecord& run);

}  // namespace minke
