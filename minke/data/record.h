#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "minke/base/json.h"
#include "minke/base/result.h"

namespace minke {

/// What a line of JSON holds:
///
///     kText       {"text": "..."}
///     kMessages   {"messages": [{"role": "user", "content": "..."}, ...], maybe "tools": [...]}
///     kPrompt     {"prompt": ..., "completion": ...}, each a text or messages
///     kAlpaca     {"instruction": "...", "input": "...", "output": "..."}, input may be missing
///     kShareGpt   {"conversations": [{"from": "human", "value": "..."}, ...]}
///     kPairs      {"chosen": ..., "rejected": ...}, each a text or messages, maybe "prompt"
enum class RecordFormat : uint8_t { kText, kMessages, kPrompt, kAlpaca, kShareGpt, kPairs };

/// Their names: text, messages, prompt, alpaca, sharegpt, pairs.
inline constexpr std::array<std::string_view, 6> kRecordFormatNames = {
    "text", "messages", "prompt", "alpaca", "sharegpt", "pairs"};

/// The names of members in files that call them differently, such as question and answer.
struct RecordKeys {
  std::string text = "text";
  std::string prompt = "prompt";
  std::string completion = "completion";
};

/// A text or a conversation: a string, or messages as chat templates take them.
using Words = Json;

/// One example, whatever it was written as.
struct Record {
  RecordFormat format = RecordFormat::kText;
  Words prompt;                ///< what is not learned; null where there is none
  std::vector<Words> answers;  ///< one; chosen and rejected of kPairs
  Json tools;                  ///< of kMessages, or null
};

/// The format that an object's keys tell. kCorrupt, naming the keys that it has, for others.
Result<RecordFormat> detect_format(const Json& object, const RecordKeys& keys);

/// Reads one object. kCorrupt, telling what was found and what was expected: a member that is
/// missing, empty or of the wrong kind; a role that is none; no answer to learn from.
Result<Record> parse_record(const Json& object, RecordFormat format, const RecordKeys& keys);

}  // namespace minke
