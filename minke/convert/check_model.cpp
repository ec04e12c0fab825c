#include "minke/convert/check_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "minke/base/json.h"
#include "minke/base/thread_pool.h"
#include "minke/base/utf8.h"
#include "minke/text/chat_template.h"

namespace minke {
namespace {

constexpr int64_t kPieceElements = 16384;  // that a thread decodes at once

// What some rows of a tensor hold.
struct Piece {
  int64_t not_finite = 0;
  int64_t first_at = -1;  // of these, in the tensor
  bool has_value = false;
};

Piece look_at(const float* values, int64_t begin, int64_t count) {
  Piece out;
  for (int64_t i = 0; i < count; ++i) {
    out.has_value |= values[i] != 0;
    if (std::isfinite(values[i])) continue;
    if (out.not_finite++ == 0) out.first_at = begin + i;
  }
  return out;
}

std::vector<Piece> pieces_of(const WeightInfo& info, ThreadPool& pool) {
  const int64_t cols = info.shape.back(), rows = info.shape.num_elements() / cols;
  const int64_t step = std::max<int64_t>(1, kPieceElements / cols);
  std::vector<Piece> pieces(static_cast<size_t>((rows + step - 1) / step));
  pool.parallel_for(static_cast<int64_t>(pieces.size()), 1, [&](int64_t from, int64_t to, int) {
    for (int64_t i = from; i < to; ++i) {
      const int64_t count = std::min(step, rows - i * step);
      std::vector<float> values(static_cast<size_t>(count * cols));
      decode_rows(info, i * step, count, values.data());
      pieces[static_cast<size_t>(i)] = look_at(values.data(), i * step * cols, count * cols);
    }
  });
  return pieces;
}

void check_tensor(const WeightInfo& info, ThreadPool& pool, ModelCheck& out) {
  const std::string name = printable_name(info.name);
  if (dtype_info(info.dtype).decode == nullptr || info.shape.num_elements() == 0) return;
  int64_t not_finite = 0, first_at = -1;
  bool has_value = false;
  for (const Piece& piece : pieces_of(info, pool)) {
    if (not_finite == 0) first_at = piece.first_at;
    not_finite += piece.not_finite;
    has_value |= piece.has_value;
  }
  if (not_finite > 0) {
    const int64_t cols = info.shape.back();
    out.errors.push_back(
        fmt::format("tensor '{}' ({}): {} of {} numbers are not finite, the first in row {}, "
                    "column {}",
                    name, dtype_info(info.dtype).name, not_finite, info.shape.num_elements(),
                    first_at / cols, first_at % cols));
  }
  if (!has_value && info.shape.num_dims() >= 2) {
    out.warnings.push_back(fmt::format("tensor '{}' {} is all zero", name, info.shape.text()));
  }
}

void check_id(const char* what, int64_t id, int64_t vocab_size, ModelCheck& out) {
  if (id >= 0 && id < vocab_size) return;
  out.errors.push_back(
      fmt::format("{} is token {}, outside the vocabulary of {}", what, id, vocab_size));
}

// bos_token_id and the like in config.json, one id or several.
void check_config_ids(const HfFolder& folder, const Tokenizer& tokenizer, int64_t vocab_size,
                      ModelCheck& out) {
  for (const char* key : {"bos_token_id", "eos_token_id"}) {
    const Json* value = folder.config.find(key);
    if (value == nullptr) continue;
    const Json::Array ids = value->is_array() ? value->as_array() : Json::Array{*value};
    for (const Json& id : ids) {
      if (id.is_int()) check_id(key, id.as_int(), vocab_size, out);
    }
    const auto of_tokenizer = key[0] == 'b' ? tokenizer.bos() : tokenizer.eos();
    const bool agrees = !of_tokenizer || std::any_of(ids.begin(), ids.end(), [&](const Json& id) {
      return id.is_int() && id.as_int() == *of_tokenizer;
    });
    if (!agrees && !value->is_null()) {
      out.warnings.push_back(fmt::format("config.json's {} is {}, the tokenizer's {}", key,
                                         value->dump(), *of_tokenizer));
    }
  }
}

void check_template(const Tokenizer& tokenizer, int64_t vocab_size, ModelCheck& out) {
  if (tokenizer.chat_template().empty()) {
    out.notes.emplace_back("there is no chat template");
    return;
  }
  const auto parsed = ChatTemplate::parse(tokenizer.chat_template());
  if (!parsed) {
    out.errors.push_back("chat template: " + parsed.error().message);
    return;
  }
  const auto text = [&](std::optional<int32_t> id) {
    return id ? std::string(tokenizer.token_bytes(*id)) : std::string();
  };
  ChatInput input;
  input.messages = Json::array({Json::object({{"role", "user"}, {"content", "What is a whale?"}}),
                                Json::object({{"role", "assistant"}, {"content", "A mammal."}}),
                                Json::object({{"role", "user"}, {"content", "Why?"}})});
  input.bos_token = text(tokenizer.bos());
  input.eos_token = text(tokenizer.eos());
  const auto rendered = parsed->render(input);
  if (!rendered) {
    out.errors.push_back("chat template: " + rendered.error().message);
    return;
  }
  if (rendered->text.find("Why?") == std::string::npos) {
    out.warnings.emplace_back("the chat template leaves the user's last message out");
  }
  for (const int32_t id : tokenizer.encode(*rendered)) check_id("a chat", id, vocab_size, out);
}

void check_tokenizer(const OpenedModel& model, ModelCheck& out) {
  const auto opened = model.tokenizer();
  if (!opened) {
    out.errors.push_back("tokenizer: " + opened.error().message);
    return;
  }
  if (!*opened) {
    out.notes.emplace_back("there is no tokenizer");
    return;
  }
  const Tokenizer& tokenizer = **opened;
  const int64_t rows = model.config.vocab_size, tokens = tokenizer.vocab_size();
  if (tokens > rows) {
    out.errors.push_back(
        fmt::format("the tokenizer has {} tokens, the embedding {} rows", tokens, rows));
  } else if (tokens < rows) {
    out.notes.push_back(
        fmt::format("{} of {} rows of the embedding have no token", rows - tokens, rows));
  }
  if (tokenizer.bos()) check_id("bos", *tokenizer.bos(), tokens, out);
  if (tokenizer.eos()) check_id("eos", *tokenizer.eos(), tokens, out);
  for (const int32_t id : tokenizer.end_of_generation_ids()) {
    check_id("an end of a reply", id, tokens, out);
  }
  if (tokenizer.end_of_generation_ids().empty()) {
    out.warnings.emplace_back("no token ends a reply");
  }
  if (model.folder) check_config_ids(*model.folder, tokenizer, rows, out);
  check_template(tokenizer, rows, out);
}

}  // namespace

Result<ModelCheck> check_model(const OpenedModel& model, const CheckOptions& options) {
  ModelCheck out;
  uint64_t total = 0;
  const std::vector<WeightInfo>& weights = model.file().weights();
  for (const WeightInfo& info : weights) {
    total += static_cast<uint64_t>(info.shape.num_elements());
  }
  ThreadPool pool(options.num_threads);
  for (const WeightInfo& info : weights) {
    check_tensor(info, pool, out);
    model.file().drop(info.bytes);
    ++out.num_tensors;
    out.num_elements += info.shape.num_elements();
    if (options.progress && !options.progress(static_cast<uint64_t>(out.num_elements), total)) {
      return fail(ErrorCode::kInterrupted, "{}", "");
    }
  }
  check_tokenizer(model, out);
  return out;
}

}  // namespace minke
