#include "minke/text/jinja_value.h"

#include <algorithm>

#include "minke/base/utf8.h"

namespace minke::jinja {
namespace {

/// Appends [begin, end) to sorted marks, joining it to the last one where they touch.
void add_mark(std::vector<TextRange>& marks, size_t begin, size_t end) {
  if (begin >= end) return;
  if (!marks.empty() && marks.back().end >= begin) {
    marks.back().end = std::max(marks.back().end, end);
    return;
  }
  marks.push_back({begin, end});
}

/// Appends the marks of bytes [begin, end) of `s`, moved so that `begin` comes to `to`.
void add_marks(std::vector<TextRange>& marks, const Str& s, size_t begin, size_t end, size_t to) {
  auto mark = std::partition_point(s.marks.begin(), s.marks.end(),
                                   [begin](const TextRange& m) { return m.end <= begin; });
  for (; mark != s.marks.end() && mark->begin < end; ++mark) {
    add_mark(marks, std::max(mark->begin, begin) - begin + to,
             std::min(mark->end, end) - begin + to);
  }
}

/// Strings that grow start with room for this many bytes.
constexpr size_t kGrowthBytesMin = 256;

}  // namespace

int64_t Str::length() const {
  if (code_points >= 0) return code_points;
  int64_t count = 0;
  for (std::string_view left = text; !left.empty(); ++count) {
    // ASCII first: almost all text, and ten times as fast.
    left.remove_prefix(static_cast<unsigned char>(left[0]) < 0x80
                           ? 1
                           : static_cast<size_t>(utf8_next(left).bytes));
  }
  code_points = count;
  return count;
}

int64_t Heap::length(const Str& s) {
  if (s.code_points < 0) try_scan(s.text.size());
  return s.length();
}

bool Heap::try_steps(int64_t steps) {
  if (exhausted_) return false;
  steps_left_ -= steps;
  if (steps_left_ < 0) exhausted_ = "more steps than allowed";
  return !exhausted_;
}

bool Heap::try_bytes(int64_t bytes) {
  if (exhausted_) return false;
  if (bytes > bytes_left_) {
    exhausted_ = "more memory than allowed";
    return false;
  }
  bytes_left_ -= bytes;
  return true;
}

Value Heap::view(std::string_view text, bool untrusted) {
  try_bytes(sizeof(Str));
  Str& s = strings_.emplace_back();
  s.text = text;
  if (untrusted) add_mark(s.marks, 0, text.size());
  return Value::of_string(&s);
}

Value Heap::copy(std::string_view text, bool untrusted) {
  std::vector<TextRange> marks;
  if (untrusted) add_mark(marks, 0, text.size());
  if (!try_bytes(static_cast<int64_t>(text.size()))) return view({}, false);
  return adopt(std::string(text), std::move(marks));
}

Value Heap::adopt(std::string&& text, std::vector<TextRange>&& marks) {
  try_bytes(static_cast<int64_t>(sizeof(Str) + sizeof(std::string)));
  std::string& kept = buffers_.emplace_back(std::move(text));
  Str& s = strings_.emplace_back();
  s.text = kept;
  s.buffer = &kept;
  s.marks = std::move(marks);
  return Value::of_string(&s);
}

Value Heap::concat(const Str& a, const Str& b) {
  const size_t size = a.text.size() + b.text.size();
  const size_t num_marks = a.marks.size() + b.marks.size();
  if (!try_bytes(static_cast<int64_t>(sizeof(Str) + num_marks * sizeof(TextRange)))) {
    return view({}, false);
  }
  std::string* buffer = a.buffer;
  const bool last = buffer && a.text.data() + a.text.size() == buffer->data() + buffer->size();
  if (!last || buffer->capacity() - buffer->size() < b.text.size()) {
    const size_t capacity = size < kGrowthBytesMin ? size : size * 2;
    const bool fits = try_bytes(static_cast<int64_t>(capacity + sizeof(std::string)));
    if (!fits || !try_work(size)) return view({}, false);
    buffer = &buffers_.emplace_back();
    buffer->reserve(capacity);
    buffer->append(a.text);
  } else if (!try_work(b.text.size() + num_marks)) {
    return view({}, false);
  }
  // The capacity is there, so earlier views into the buffer stay valid.
  buffer->append(b.text);
  Str& s = strings_.emplace_back();
  s.text = std::string_view(buffer->data() + buffer->size() - size, size);
  s.buffer = buffer;
  if (a.code_points >= 0 && b.code_points >= 0) s.code_points = a.code_points + b.code_points;
  s.marks = a.marks;
  add_marks(s.marks, b, 0, b.text.size(), a.text.size());
  return Value::of_string(&s);
}

Value Heap::markup(const Str& s) {
  try_bytes(static_cast<int64_t>(sizeof(Str) + s.marks.size() * sizeof(TextRange)));
  Str& same = strings_.emplace_back(s);
  same.markup = true;
  return Value::of_string(&same);
}

Value Heap::slice(const Str& s, size_t begin, size_t end) {
  if (begin == 0 && end == s.text.size()) return Value::of_string(&s);
  try_bytes(static_cast<int64_t>(sizeof(Str) + s.marks.size() * sizeof(TextRange)));
  Str& part = strings_.emplace_back();
  part.text = s.text.substr(begin, end - begin);
  part.markup = s.markup;
  if (s.code_points >= 0 && s.is_ascii()) {
    part.code_points = static_cast<int64_t>(part.text.size());
  }
  add_marks(part.marks, s, begin, end, 0);
  return Value::of_string(&part);
}

Value Heap::sequence(SequenceType type, std::vector<Value>&& items) {
  try_bytes(static_cast<int64_t>(sizeof(Sequence) + items.size() * sizeof(Value)));
  try_steps(static_cast<int64_t>(items.size() / 8));
  Sequence& sequence = sequences_.emplace_back();
  sequence.type = type;
  sequence.items = std::move(items);
  Value value(Kind::kSequence);
  value.sequence = &sequence;
  return value;
}

Value Heap::range(std::vector<Value>&& items, std::string text) {
  const Value value = sequence(SequenceType::kRange, std::move(items));
  sequences_.back().range_text = std::move(text);
  return value;
}

Value Heap::group(const Value& grouper, const Value& list) {
  const Value value = sequence(SequenceType::kTuple, {grouper, list});
  sequences_.back().is_group = true;
  return value;
}

Value Heap::dict(Dict&& dict) {
  try_bytes(static_cast<int64_t>(sizeof(Dict) + dict.items.size() * 4 * sizeof(Value)));
  Value value(Kind::kDict);
  value.dict = &dicts_.emplace_back(std::move(dict));
  return value;
}

Value Heap::name_space() {
  try_bytes(sizeof(Namespace));
  Value value(Kind::kNamespace);
  value.name_space = &namespaces_.emplace_back();
  return value;
}

Value Heap::undefined(std::string_view name, const char* owner, Missing what) {
  try_bytes(sizeof(Undefined));
  Value value(Kind::kUndefined);
  value.undefined = &undefineds_.emplace_back(Undefined{name, owner, what});
  return value;
}

Value Heap::function(Function&& function) {
  try_bytes(sizeof(Function));
  Value value(Kind::kFunction);
  value.function = &functions_.emplace_back(std::move(function));
  return value;
}

Scope* Heap::scope(Scope* parent) {
  try_bytes(sizeof(Scope) + 4 * sizeof(std::pair<std::string_view, Value>));
  Scope& scope = scopes_.emplace_back();
  scope.parent = parent;
  return &scope;
}

LoopState* Heap::loop() {
  try_bytes(sizeof(LoopState));
  return &loops_.emplace_back();
}

Value Heap::from_json(const Json& json, bool trusted, int depth) {
  // Deeper JSON than the parser of requests allows does not come in; this only bounds the stack.
  constexpr int kDepthMax = 128;
  if (depth > kDepthMax) {
    exhausted_ = "deeper nested messages than allowed";
    return Value::none();
  }
  if (json.is_null()) return Value::none();
  if (json.is_bool()) {
    Value value = Value::of_bool(json.as_bool());
    value.untrusted = !trusted;
    return value;
  }
  if (json.is_int()) return Value::of_int(json.as_int(), !trusted);
  if (json.is_double()) return Value::of_float(json.as_double(), !trusted);
  if (json.is_string()) return view(json.as_string(), !trusted);
  if (json.is_array()) {
    std::vector<Value> items;
    items.reserve(json.as_array().size());
    for (const Json& item : json.as_array()) items.push_back(from_json(item, trusted, depth + 1));
    return sequence(SequenceType::kList, std::move(items));
  }
  Dict dict;
  dict.items.reserve(json.as_object().size());
  for (const auto& [key, item] : json.as_object()) {
    dict.items.emplace_back(view(key, !trusted), from_json(item, trusted, depth + 1));
  }
  return this->dict(std::move(dict));
}

void MarkedBuilder::mark(size_t begin, size_t end) { add_mark(marks_, begin, end); }

void MarkedBuilder::append(std::string_view text, bool untrusted) {
  if (!heap_->try_bytes(static_cast<int64_t>(text.size())) || !heap_->try_work(text.size())) return;
  if (untrusted) mark(text_.size(), text_.size() + text.size());
  text_ += text;
}

void MarkedBuilder::append(const Str& s, size_t begin, size_t end) {
  const size_t bytes = end - begin;
  const int64_t cost = static_cast<int64_t>(bytes + s.marks.size() * sizeof(TextRange));
  if (!heap_->try_bytes(cost) || !heap_->try_work(bytes + s.marks.size())) return;
  add_marks(marks_, s, begin, end, text_.size());
  text_ += s.text.substr(begin, bytes);
}

}  // namespace minke::jinja
