#include "minke/models/expert_loads.h"

#include <algorithm>
#include <numeric>

#include "minke/models/decoder.h"

namespace minke {

int64_t LayerLoads::total() const { return std::accumulate(rows.begin(), rows.end(), int64_t{0}); }

int64_t LayerLoads::max() const {
  return rows.empty() ? 0 : *std::max_element(rows.begin(), rows.end());
}

int64_t LayerLoads::min() const {
  return rows.empty() ? 0 : *std::min_element(rows.begin(), rows.end());
}

double LayerLoads::mean() const {
  return rows.empty() ? 0.0 : static_cast<double>(total()) / static_cast<double>(rows.size());
}

double LayerLoads::max_violation() const {
  return total() == 0 ? 0.0 : static_cast<double>(max()) / mean() - 1.0;
}

int64_t LayerLoads::num_unused() const { return std::count(rows.begin(), rows.end(), 0); }

std::vector<LayerLoads> expert_loads(const Model& model) {
  const auto* decoder = dynamic_cast<const Decoder*>(&model);
  return decoder == nullptr ? std::vector<LayerLoads>{} : decoder->expert_loads();
}

}  // namespace minke
