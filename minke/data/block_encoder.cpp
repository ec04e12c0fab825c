#include "minke/data/block_encoder.h"

#include <algorithm>

#include "minke/base/hash128.h"
#include "minke/base/utf8.h"

namespace minke {
namespace {

// All words of a value with a line's end between its strings.
void append_strings(const Json& value, std::string& out) {
  if (value.is_string()) out.append(value.as_string()).push_back('\n');
  if (value.is_array()) {
    for (const Json& item : value.as_array()) append_strings(item, out);
  }
  if (value.is_object()) {
    for (const auto& [key, member] : value.as_object()) append_strings(member, out);
  }
}

std::string text_of(const Record& record) {
  std::string text;
  append_strings(record.prompt, text);
  for (const Words& answer : record.answers) append_strings(answer, text);
  return text;
}

// The hash of a text whose runs of white space count as one space.
std::string words_hash(std::string_view text) {
  std::string words;
  for (const char c : text) {
    const bool white = c == ' ' || c == '\n' || c == '\t' || c == '\r';
    if (!white) {
      words += c;
    } else if (!words.empty() && words.back() != ' ') {
      words += ' ';
    }
  }
  if (words.ends_with(' ')) words.pop_back();
  return hash128_hex(words);
}

std::optional<Error> find_bad_utf8(std::string_view text, int64_t& line) {
  for (size_t at = 0; at < text.size();) {
    if (static_cast<uint8_t>(text[at]) < 0x80) {
      line += text[at++] == '\n' ? 1 : 0;
      continue;
    }
    const Utf8Char c = utf8_next(text.substr(at));
    if (!c.valid) {
      return Error{ErrorCode::kCorrupt, fmt::format("{} is no UTF-8; turn it into UTF-8 with iconv",
                                                    byte_name(text[at]))};
    }
    at += static_cast<size_t>(c.bytes);
  }
  return std::nullopt;
}

}  // namespace

ShardKind kind_of(RecordFormat format) {
  if (format == RecordFormat::kText) return ShardKind::kText;
  return format == RecordFormat::kPairs ? ShardKind::kPairs : ShardKind::kExamples;
}

EncodedRecord BlockEncoder::encode_line(std::string_view line, int64_t number) const {
  EncodedRecord out;
  out.line = number;
  const auto read = [&]() -> Result<void> {
    MK_ASSIGN(const Json object, parse_json(line));
    RecordFormat line_format;
    if (format) {
      line_format = *format;
    } else {
      MK_ASSIGN(line_format, detect_format(object, keys));
    }
    out.kind = kind_of(line_format);
    MK_ASSIGN(const Record record, parse_record(object, line_format, keys));
    const std::string text = text_of(record);
    out.content_hash = words_hash(text);
    out.contaminated = tests->matches(text);
    if (!out.contaminated) {
      MK_ASSIGN(out.documents, encoder->encode(record));
    }
    return {};
  };
  Result<void> done = read();
  if (done) return out;
  // What the JSON parser calls a wrong use is bad input here; without a template nothing can be
  // read.
  out.error = std::move(done).error();
  const bool no_template = out.error->message.starts_with("the tokenizer has no chat template");
  out.error->code = no_template ? ErrorCode::kUsage : ErrorCode::kCorrupt;
  return out;
}

EncodedRecord BlockEncoder::encode_text(const InputBlock& block) const {
  EncodedRecord out;
  out.line = block.first_line;
  out.error = find_bad_utf8(block.text, out.line);
  if (out.error) return out;
  out.line = block.first_line;
  out.content_hash = words_hash(block.text);
  out.contaminated = tests->matches(block.text);
  const ExampleEncoder::TextPart part{.first = !whole_documents || block.is_first,
                                      .last = !whole_documents || block.is_last};
  Result<TokenDocument> document = encoder->encode_text(block.text, part);
  if (!document) {
    out.error = document.error();
  } else if (!document->ids.empty()) {
    out.documents.push_back(std::move(*document));
  }
  return out;
}

std::vector<EncodedRecord> BlockEncoder::encode(const InputBlock& block, bool is_jsonl) const {
  std::vector<EncodedRecord> records;
  if (!is_jsonl) {
    records.push_back(encode_text(block));
    return records;
  }
  int64_t number = block.first_line - 1;
  for (std::string_view rest = block.text; !rest.empty();) {
    ++number;
    const std::string_view line = take_line(rest);
    if (!is_blank(line)) records.push_back(encode_line(line, number));
  }
  return records;
}

}  // namespace minke
