#pragma once
#include <optional>
#include <string>

#include "minke/base/json.h"
#include "minke/base/result.h"
#include "minke/cli/console.h"
#include "minke/cli/flags.h"
#include "minke/cli/interrupts.h"
#include "minke/eval/divergence.h"

namespace minke {

/// How far a model that was written is from its source, on a text of the user's.
struct QualityFlags {
  std::string text_path;  ///< empty: not asked for
  int context = 256;

  void add_to(Flags& flags);
  /// The text, none where it is not asked for. Read before the work, which may take long.
  Result<std::optional<std::string>> read_text() const;
  /// Loads both models in f32, so that the difference is that of the weights. kInterrupted when
  /// stopped.
  Result<Divergence> compare(const Console& console, const Interrupts& interrupts,
                             const std::string& source, const std::string& written,
                             const std::string& text, int threads) const;
};

/// Two lines about it.
void tell_quality(const Console& console, const Divergence& quality);
/// Its members, added to a report.
void add_quality(const Divergence& quality, Json& out);

}  // namespace minke
