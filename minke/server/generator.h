#pragma once
#include <cstdint>

#include "minke/engine/engine.h"
#include "minke/engine/request.h"

namespace minke {

/// What the server needs of an engine, so that tests can script one. Contract as Engine's: all
/// calls from any thread and from a sink; each request that submit() took ends with exactly one
/// event that has `finish`, also after cancel().
class Generator {
 public:
  virtual ~Generator() = default;
  virtual Result<uint64_t> submit(Request request, TokenSink sink) = 0;
  virtual void cancel(uint64_t id) = 0;
  virtual EngineStats stats() const = 0;
};

/// An Engine as a Generator. The engine must outlive it.
class EngineGenerator final : public Generator {
 public:
  explicit EngineGenerator(Engine* engine) : engine_(engine) {}
  Result<uint64_t> submit(Request request, TokenSink sink) override;
  void cancel(uint64_t id) override;
  EngineStats stats() const override;

 private:
  Engine* engine_;
};

}  // namespace minke
