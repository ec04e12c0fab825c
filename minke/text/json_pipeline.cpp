#include "minke/text/json_pipeline.h"

#include <algorithm>

#include "minke/text/json_members.h"

namespace minke {
namespace {

constexpr std::string_view kEscapedSpace = "\u2581";

/// A part of the pipeline: null, or an object with a type.
Result<std::string> type_of(const Json& part, std::string_view where) {
  if (part.is_object()) {
    MK_ASSIGN(std::string type, string_or(part, where, "type", ""));
    if (!type.empty()) return type;
  }
  return fail(ErrorCode::kCorrupt, "tokenizer.json: {} is {}, expected an object with a 'type'",
              where, part.dump().substr(0, 80));
}

tl::unexpected<Error> unknown(std::string_view where, const Json& part, std::string_view known) {
  return fail(ErrorCode::kFailed, "tokenizer.json: {} has {}, minke has {}", where,
              part.dump().substr(0, 300), known);
}

/// Calls visit for the part, or for each part of a Sequence; `list` is the name of its member.
template <class Visit>
Result<void> for_each_part(const Json* part, std::string_view where, std::string_view list,
                           const Visit& visit) {
  if (part == nullptr || part->is_null()) return {};
  const Result<std::string> type = type_of(*part, where);
  if (!type) return pass_on(type);
  if (*type != "Sequence") return visit(*part, *type);
  const Json* parts = part->find(list);
  if (parts == nullptr || !parts->is_array()) {
    return fail(ErrorCode::kCorrupt, "tokenizer.json: a Sequence in {} has no array '{}'", where,
                list);
  }
  for (const Json& inner : parts->as_array()) {
    MK_TRY(for_each_part(&inner, where, list, visit));
  }
  return {};
}

/// The "pattern": {"String": ...} or {"Regex": ...} of a part; empty when it has no such.
std::string pattern_of(const Json& part, std::string_view kind) {
  const Json* pattern = part.find("pattern");
  const Json* text = pattern == nullptr ? nullptr : pattern->find(kind);
  return text != nullptr && text->is_string() ? text->as_string() : "";
}

Result<void> read_normalizer(const Json& part, std::string_view type, JsonPipeline& out) {
  constexpr std::string_view kWhere = "normalizer";
  if (type == "NFC") {
    out.nfc = true;
    return {};
  }
  if (type == "Prepend") {
    MK_ASSIGN(const auto text, string_or(part, kWhere, "prepend", ""));
    if (text == kEscapedSpace) {
      out.prefix = SpacePrefix::kEachFragment;
      return {};
    }
  }
  if (type == "Replace") {
    MK_ASSIGN(const auto content, string_or(part, kWhere, "content", ""));
    if (pattern_of(part, "String") == " " && content == kEscapedSpace) {
      out.escapes_spaces = true;
      return {};
    }
  }
  return unknown(kWhere, part, "NFC, Prepend and Replace of SentencePiece's space");
}

Result<void> add_step(SplitStep step, JsonPipeline& out) {
  for (SplitStep& slot : out.steps) {
    if (slot != nullptr) continue;
    slot = step;
    return {};
  }
  return fail(ErrorCode::kFailed, "tokenizer.json: pre_tokenizer has more than {} splits",
              out.steps.size());
}

Result<void> read_byte_level(const Json& part, JsonPipeline& out) {
  constexpr std::string_view kWhere = "pre_tokenizer.ByteLevel";
  if (out.byte_level) return unknown(kWhere, part, "one ByteLevel");
  out.byte_level = true;
  MK_ASSIGN(const bool prefix, bool_or(part, kWhere, "add_prefix_space", true));
  if (prefix) {
    if (out.steps[0] != nullptr) return unknown(kWhere, part, "add_prefix_space only at the start");
    out.prefix = SpacePrefix::kEachFragment;
    out.prefix_unless_space = true;
  }
  MK_ASSIGN(const bool use_regex, bool_or(part, kWhere, "use_regex", true));
  return use_regex ? add_step(split_gpt2, out) : Result<void>();
}

Result<void> read_metaspace(const Json& part, JsonPipeline& out) {
  constexpr std::string_view kWhere = "pre_tokenizer.Metaspace";
  MK_ASSIGN(const auto replacement, string_or(part, kWhere, "replacement", kEscapedSpace));
  MK_ASSIGN(const bool prefix, bool_or(part, kWhere, "add_prefix_space", true));
  MK_ASSIGN(const auto scheme,
            string_or(part, kWhere, "prepend_scheme", prefix ? "always" : "never"));
  MK_ASSIGN(const bool split, bool_or(part, kWhere, "split", true));
  if (replacement != kEscapedSpace) return unknown(kWhere, part, "U+2581 as replacement");
  out.escapes_spaces = true;
  if (scheme == "always") {
    out.prefix = SpacePrefix::kEachFragment;
  } else if (scheme == "first") {
    out.prefix = SpacePrefix::kFirst;
  } else if (scheme != "never") {
    return unknown(kWhere, part, "always, first and never as prepend_scheme");
  }
  out.prefix_unless_space = out.prefix != SpacePrefix::kNone;
  return split ? add_step(split_before_space, out) : Result<void>();
}

Result<void> read_split(const Json& part, JsonPipeline& out) {
  constexpr std::string_view kWhere = "pre_tokenizer.Split";
  MK_ASSIGN(const auto behavior, string_or(part, kWhere, "behavior", ""));
  MK_ASSIGN(const bool invert, bool_or(part, kWhere, "invert", false));
  // Gemma splits at spaces that its normalizer has replaced.
  if (pattern_of(part, "String") == " " && out.escapes_spaces) return {};
  const SplitStep step = find_split_step(pattern_of(part, "Regex"));
  if (step == nullptr) {
    return unknown(kWhere, part, "the expressions of " + pretokenizer_names());
  }
  const bool isolated = behavior == "Isolated" && !invert;
  const bool rest_removed = behavior == "Removed" && invert && matches_everything(step);
  if (!isolated && !rest_removed) return unknown(kWhere, part, "behavior Isolated");
  return add_step(step, out);
}

Result<void> read_pre_tokenizer(const Json& part, std::string_view type, JsonPipeline& out) {
  constexpr std::string_view kWhere = "pre_tokenizer";
  // What follows ByteLevel sees bytes written as other letters, but digits as themselves.
  const bool is_mapped = out.byte_level;
  const size_t count_before = static_cast<size_t>(
      std::find(out.steps.begin(), out.steps.end(), nullptr) - out.steps.begin());
  if (type == "ByteLevel") return read_byte_level(part, out);
  if (type == "Metaspace") return read_metaspace(part, out);
  if (type == "Digits") {
    MK_ASSIGN(const bool each, bool_or(part, kWhere, "individual_digits", false));
    MK_TRY(add_step(each ? split_each_number : split_numbers, out));
  } else if (type == "Punctuation") {
    MK_ASSIGN(const auto behavior, string_or(part, kWhere, "behavior", "Isolated"));
    if (behavior != "Contiguous") return unknown(kWhere, part, "behavior Contiguous");
    MK_TRY(add_step(split_punctuation, out));
  } else if (type == "Split") {
    MK_TRY(read_split(part, out));
  } else {
    return unknown(kWhere, part, "ByteLevel, Metaspace, Split, Digits and Punctuation");
  }
  if (is_mapped && count_before < out.steps.size() && out.steps[count_before] != nullptr &&
      out.steps[count_before] != split_three_digits) {
    return unknown(kWhere, part, "no such split behind ByteLevel");
  }
  return {};
}

Result<void> read_post_processor(const Json& part, std::string_view type, JsonPipeline& out) {
  constexpr std::string_view kWhere = "post_processor";
  if (type == "ByteLevel") return {};
  if (type != "TemplateProcessing") return unknown(kWhere, part, "ByteLevel, TemplateProcessing");
  const Json* single = part.find("single");
  if (single == nullptr || !single->is_array()) {
    return fail(ErrorCode::kCorrupt, "tokenizer.json: TemplateProcessing has no array 'single'");
  }
  if (single->as_array().empty()) return {};
  const Json* special = single->as_array()[0].find("SpecialToken");
  if (special == nullptr) return {};
  MK_ASSIGN(out.bos_text, string_or(*special, kWhere, "id", ""));
  return {};
}

/// Decoding is encoding undone, whatever the decoder says; here it is only checked to be one that
/// does so.
Result<void> check_decoder(const Json& part, std::string_view type) {
  for (const char* known : {"ByteLevel", "Metaspace", "ByteFallback", "Fuse", "Strip", "Replace"}) {
    if (type == known) return {};
  }
  return unknown("decoder", part, "ByteLevel, Metaspace, ByteFallback, Fuse, Strip and Replace");
}

}  // namespace

Result<JsonPipeline> read_pipeline(const Json& tokenizer_json) {
  JsonPipeline out;
  MK_TRY(for_each_part(
      tokenizer_json.find("normalizer"), "normalizer", "normalizers",
      [&](const Json& part, std::string_view type) { return read_normalizer(part, type, out); }));
  MK_TRY(for_each_part(tokenizer_json.find("pre_tokenizer"), "pre_tokenizer", "pretokenizers",
                       [&](const Json& part, std::string_view type) {
                         return read_pre_tokenizer(part, type, out);
                       }));
  MK_TRY(for_each_part(tokenizer_json.find("post_processor"), "post_processor", "processors",
                       [&](const Json& part, std::string_view type) {
                         return read_post_processor(part, type, out);
                       }));
  MK_TRY(for_each_part(
      tokenizer_json.find("decoder"), "decoder", "decoders",
      [](const Json& part, std::string_view type) { return check_decoder(part, type); }));
  if (out.byte_level && out.escapes_spaces) {
    return fail(ErrorCode::kFailed,
                "tokenizer.json: both ByteLevel and U+2581 for spaces, minke has one or the other");
  }
  if (!out.byte_level && !out.escapes_spaces) {
    return fail(ErrorCode::kFailed,
                "tokenizer.json: neither ByteLevel nor U+2581 for spaces, minke has these two");
  }
  return out;
}

}  // namespace minke
