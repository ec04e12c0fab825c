#include "minke/engine/generation_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "minke/base/json.h"
#include "minke/base/utf8.h"

namespace minke {
namespace {

constexpr std::string_view kFile = "generation_config.json";
constexpr std::string_view kFields[] = {"temperature", "top_k", "top_p", "min_p",
                                        "repetition_penalty"};

/// Visits SamplingParams; keeps the first error.
struct Reader {
  const Json& config;
  FunctionRef<bool(std::string_view)> is_given;
  Result<void> outcome = {};

  template <class T, class L>
  void operator()(std::string_view name, T& field, L low, L high, std::string_view) {
    if (std::find(std::begin(kFields), std::end(kFields), name) == std::end(kFields)) return;
    const Json* value = config.find(name);
    if (value == nullptr || value->is_null() || is_given(name) || !outcome) return;
    const bool is_right_kind = std::is_integral_v<T> ? value->is_int() : value->is_number();
    const double number = is_right_kind ? value->as_double() : 0.0;
    if (!is_right_kind || !(number >= static_cast<double>(low)) ||
        !(number <= static_cast<double>(high))) {
      outcome =
          fail(ErrorCode::kCorrupt, "{}: {} is {}, expected a {}number from {} to {}", kFile, name,
               printable_name(value->dump()), std::is_integral_v<T> ? "whole " : "", low, high);
      return;
    }
    field = static_cast<T>(number);
  }
};

}  // namespace

Result<void> apply_generation_config(std::string_view json, SamplingParams& params,
                                     FunctionRef<bool(std::string_view)> is_given) {
  if (json.empty()) return {};
  const auto config = parse_json(json);
  if (!config || !config->is_object()) {
    return fail(ErrorCode::kCorrupt, "{}: no JSON object{}", kFile,
                config ? "" : ": " + config.error().message);
  }
  Reader reader{*config, is_given};
  params.visit(reader);
  return reader.outcome;
}

}  // namespace minke
