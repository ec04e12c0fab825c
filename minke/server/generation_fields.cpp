#include "minke/server/generation_fields.h"

#include <charconv>
#include <cmath>
#include <random>

#include "minke/base/random.h"

namespace minke {
namespace {

void read_stops(Fields& fields, std::vector<std::string>& stops) {
  const Json* stop = fields.find("stop");
  if (stop == nullptr) return;
  const std::string expected = "a string or an array of at most 16 strings";
  if (stop->is_string()) {
    stops.push_back(stop->as_string());
  } else if (stop->is_array()) {
    if (stop->as_array().size() > kStopsMax) {
      return fields.fail("stop", fmt::format("stop has {} strings, expected at most {}",
                                             stop->as_array().size(), kStopsMax));
    }
    for (const Json& item : stop->as_array()) {
      if (!item.is_string()) return fields.fail_kind("stop", item, expected);
      stops.push_back(item.as_string());
    }
  } else {
    return fields.fail_kind("stop", *stop, expected);
  }
  for (const std::string& text : stops) {
    if (text.empty() || text.size() > kStopBytesMax) {
      return fields.fail("stop", fmt::format("stop has a string of {} bytes, expected 1 to {}",
                                             text.size(), kStopBytesMax));
    }
  }
}

void read_logit_bias(Fields& fields, int32_t vocab_size,
                     std::vector<std::pair<int32_t, float>>& bias) {
  const Json* found = fields.find("logit_bias");
  if (found == nullptr) return;
  if (!found->is_object()) {
    return fields.fail_kind("logit_bias", *found, "an object of token ids and numbers");
  }
  for (const auto& [key, value] : found->as_object()) {
    int32_t token = -1;
    const char* end = key.data() + key.size();
    const auto [at, failed] = std::from_chars(key.data(), end, token);
    if (failed != std::errc() || at != end || token < 0 || token >= vocab_size) {
      return fields.fail(
          "logit_bias", fmt::format("logit_bias has the key '{}', expected a token id from 0 to {}",
                                    key.substr(0, 40), vocab_size - 1));
    }
    if (!value.is_number() || !(std::abs(value.as_double()) <= 100)) {
      return fields.fail("logit_bias",
                         fmt::format("logit_bias of token {} is {}, expected a number from -100 to "
                                     "100",
                                     token, value.is_number() ? value.dump() : value.kind()));
    }
    bias.emplace_back(token, static_cast<float>(value.as_double()));
  }
}

void read_stream_options(Fields& fields, GenerationFields& out) {
  fields.boolean("stream", out.stream);
  const Json* options = fields.find("stream_options");
  if (options == nullptr) return;
  if (!options->is_object()) return fields.fail_kind("stream_options", *options, "an object");
  if (!out.stream) return fields.fail("stream_options", "stream_options needs stream to be true");
  Fields inner(*options, "stream_options");
  inner.boolean("include_usage", out.include_usage);
  if (inner.error()) fields.fail("stream_options.include_usage", inner.error()->message);
}

}  // namespace

GenerationFields read_generation_fields(Fields& fields, const GenerationContext& context) {
  GenerationFields out;
  out.sampling = context.sampling;
  const Json* model = fields.find("model");
  if (model == nullptr) fields.fail("model", "model is missing, expected the name of a model");
  fields.text("model", out.model);
  out.sampling.visit(fields);
  int64_t seed = static_cast<int64_t>(random_bits());
  fields.integer("seed", seed, INT64_MIN, INT64_MAX);
  out.sampling.seed = static_cast<uint64_t>(seed);
  read_logit_bias(fields, context.vocab_size, out.sampling.logit_bias);
  for (const char* name : {"max_tokens", "max_completion_tokens"}) {
    if (fields.find(name) == nullptr) continue;
    int64_t max_tokens = 1;
    fields.integer(name, max_tokens, 1, INT32_MAX);
    out.max_tokens = max_tokens;
  }
  read_stops(fields, out.stops);
  read_stream_options(fields, out);
  fields.integer("n", out.n, 1, kAnswersMax);
  return out;
}

uint64_t answer_seed(uint64_t seed, int index) {
  return index == 0 ? seed : random_at(seed, static_cast<uint64_t>(index));
}

uint64_t random_bits() {
  std::random_device device;
  return (static_cast<uint64_t>(device()) << 32) | device();
}

}  // namespace minke
