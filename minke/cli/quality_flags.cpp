#include "minke/cli/quality_flags.h"

#include "minke/base/clock.h"
#include "minke/base/files.h"
#include "minke/cli/loaded_model.h"

namespace minke {

void QualityFlags::add_to(Flags& flags) {
  flags.add("text", text_path,
            "then compare source and result on this text, in f32: perplexity and KL divergence");
  flags.add("context", context, {2, 1 << 16}, "tokens of a window of --text");
}

Result<std::optional<std::string>> QualityFlags::read_text() const {
  if (text_path.empty()) return std::nullopt;
  return read_file(text_path);
}

Result<Divergence> QualityFlags::compare(const Console& console, const Interrupts& interrupts,
                                         const std::string& source, const std::string& written,
                                         const std::string& text, int threads) const {
  LoadFlags flags;
  flags.ctx = context;
  flags.threads = threads;
  flags.precision = "f32";
  MK_ASSIGN(const LoadedModel before, load_model_for(source, flags, console));
  MK_ASSIGN(const LoadedModel after, load_model_for(written, flags, console));
  const int64_t vocab_size = before.model->config().vocab_size;
  const std::vector<int32_t> ids = before.tokenizer->encode(std::string_view(text));
  MK_ASSIGN(Scorer reference, Scorer::create(*before.device, *before.model, DType::kF32, context));
  MK_ASSIGN(Scorer other, Scorer::create(*after.device, *after.model, DType::kF32, context));
  const auto num_windows = static_cast<int64_t>(ids.size()) / context;
  double told = seconds_now();
  return divergence(*before.device, reference, other, vocab_size, ids, context,
                    [&](int64_t windows) {
                      if (seconds_now() - told >= 10) {
                        told = seconds_now();
                        console.note("compared {} of {} windows", windows, num_windows);
                      }
                      return interrupts.count() == 0;
                    });
}

void tell_quality(const Console& console, const Divergence& quality) {
  console.note("perplexity {:.4f} from {:.4f}, over {} tokens", quality.other.perplexity,
               quality.reference.perplexity, quality.other.tokens);
  console.note("KL divergence {:.6f} nats a token (most {:.4f}); same top token {:.2f} %",
               quality.kl, quality.kl_max, 100 * quality.same_top);
}

void add_quality(const Divergence& quality, Json& out) {
  out.set("perplexity", quality.other.perplexity);
  out.set("source_perplexity", quality.reference.perplexity);
  out.set("kl", quality.kl);
  out.set("kl_max", quality.kl_max);
  out.set("same_top", quality.same_top);
  out.set("tokens", quality.other.tokens);
}

}  // namespace minke
