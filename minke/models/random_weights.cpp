#include "minke/models/random_weights.h"

#include <algorithm>
#include <cmath>

#include "minke/base/random.h"

namespace minke {
namespace {

// Numbers drawn one after the other; the next so many have a seed of their own.
constexpr int64_t kRunLength = 1 << 14;

// FNV-1a, 64 bits.
uint64_t hash_of(std::string_view text) {
  uint64_t hash = 0xCBF29CE484222325ULL;
  for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001B3ULL;
  return hash;
}

}  // namespace

RandomWeights::RandomWeights(const Device& device, const ModelConfig& config, Draw draw)
    : device_(device), config_(config), draw_(draw) {}

const WeightInfo* RandomWeights::find(std::string_view name) const {
  return name.find(".nextn.") != std::string_view::npos ? &present_ : nullptr;
}

RandomWeights::Rule RandomWeights::rule_of(std::string_view name) const {
  if (name.ends_with(".bias")) return {0.0, 0.0f};
  if (name.ends_with("norm.weight")) return {0.0, 1.0f};
  const bool writes_residual =
      name.ends_with(".attn_output.weight") || name.ends_with(".ffn_down.weight");
  if (config_.architecture == "gpt2" && writes_residual) {
    return {draw_.deviation / std::sqrt(2.0 * static_cast<double>(config_.num_hidden_layers)),
            0.0f};
  }
  return {draw_.deviation, 0.0f};
}

void RandomWeights::fill(std::string_view name, double deviation,
                         std::vector<float>& values) const {
  const uint64_t seed = mix64(draw_.seed ^ hash_of(name));
  const auto size = static_cast<int64_t>(values.size());
  const int64_t num_runs = (size + kRunLength - 1) / kRunLength;
  device_.pool().parallel_for(num_runs, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t run = begin; run < end; ++run) {
      Random random(random_at(seed, static_cast<uint64_t>(run)));
      const int64_t last = std::min(size, (run + 1) * kRunLength);
      for (int64_t i = run * kRunLength; i < last; ++i) {
        values[static_cast<size_t>(i)] = static_cast<float>(deviation * random.normal());
      }
    }
  });
}

const WeightInfo* RandomWeights::find_shaped(std::string_view name, const Shape& shape) const {
  if (const auto at = made_.find(name); at != made_.end()) return &at->second.info;
  const Rule rule = rule_of(name);
  Made& made = made_[std::string(name)];
  const bool only_counted = draw_.counts_only && shape.num_dims() > 1;
  made.values.assign(only_counted ? 0 : static_cast<size_t>(shape.num_elements()), rule.constant);
  if (rule.deviation > 0.0) fill(name, rule.deviation, made.values);
  made.info = {std::string(name), DType::kF32, shape, std::as_bytes(std::span(made.values))};
  return &made.info;
}

void RandomWeights::drop(std::span<const std::byte> bytes) const {
  if (bytes.empty()) return;  // matrices that are only counted are all alike in that
  std::erase_if(made_,
                [&](const auto& entry) { return entry.second.info.bytes.data() == bytes.data(); });
}

}  // namespace minke
