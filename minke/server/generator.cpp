#include "minke/server/generator.h"

#include <utility>

namespace minke {

Result<uint64_t> EngineGenerator::submit(Request request, TokenSink sink) {
  return engine_->submit(std::move(request), std::move(sink));
}

void EngineGenerator::cancel(uint64_t id) { engine_->cancel(id); }

EngineStats EngineGenerator::stats() const { return engine_->stats(); }

}  // namespace minke
