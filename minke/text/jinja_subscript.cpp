#include <algorithm>

#include "minke/base/utf8.h"
#include "minke/text/jinja_operators.h"

namespace minke::jinja {
namespace {

/// The bounds of a slice as Python's slice.indices gives them.
struct Bounds {
  int64_t start = 0;
  int64_t stop = 0;
  int64_t step = 1;
};

bool is_default(const Value& value) { return !value.given() || value.is(Kind::kNone); }

Result<int64_t> bound(const Value& value, int64_t length, int64_t fallback, int64_t low,
                      int64_t high) {
  if (is_default(value)) return fallback;
  if (value.is(Kind::kUndefined)) return undefined_error(value);
  if (!value.is_integer()) {
    return fail(ErrorCode::kUsage, "slice indices must be integers, found '{}'", type_name(value));
  }
  int64_t index = value.as_int();
  if (index < 0) index = index < -length ? low : index + length;
  return std::clamp(index, low, high);
}

Result<Bounds> bounds(int64_t length, const Value& start, const Value& stop, const Value& step) {
  Bounds b;
  if (!is_default(step)) {
    if (!step.is_integer()) return fail(ErrorCode::kUsage, "slice step must be an integer");
    b.step = step.as_int();
  }
  if (b.step == 0) return fail(ErrorCode::kUsage, "slice step cannot be zero");
  // Steps beyond the length act alike; clamping keeps the index sums below from overflowing.
  b.step = std::clamp<int64_t>(b.step, -length - 1, length + 1);
  const bool back = b.step < 0;
  const int64_t low = back ? -1 : 0;
  const int64_t high = back ? length - 1 : length;
  MK_ASSIGN(b.start, bound(start, length, back ? high : low, low, high));
  MK_ASSIGN(b.stop, bound(stop, length, back ? low : high, low, high));
  return b;
}

Result<Value> slice_string(Heap& heap, const Str& s, const Bounds& b) {
  if (b.step == 1) {
    const size_t begin = byte_offset(heap, s, b.start);
    return heap.slice(s, begin, byte_offset(heap, s, std::max(b.start, b.stop)));
  }
  std::vector<size_t> offsets;  // of every character, and the end
  const auto offset_bytes = static_cast<int64_t>(2 * sizeof(size_t)) * (heap.length(s) + 1);
  if (!heap.try_bytes(offset_bytes) || !heap.try_scan(s.text.size())) return heap.view({}, false);
  for (size_t at = 0; at < s.text.size();) {
    offsets.push_back(at);
    at += static_cast<size_t>(utf8_next(s.text.substr(at)).bytes);
  }
  offsets.push_back(s.text.size());
  MarkedBuilder out(heap);
  for (int64_t i = b.start; b.step > 0 ? i < b.stop : i > b.stop; i += b.step) {
    const auto index = static_cast<size_t>(i);
    out.append(s, offsets[index], offsets[index + 1]);
    if (heap.exhausted()) break;
  }
  heap.release(offset_bytes);
  return out.finish();
}

}  // namespace

size_t byte_offset(Heap& heap, const Str& s, int64_t index) {
  const int64_t length = heap.length(s);
  if (index >= length) return s.text.size();
  if (length == static_cast<int64_t>(s.text.size())) return static_cast<size_t>(index);
  heap.try_scan(s.text.size());
  size_t at = 0;
  for (; index > 0; --index) at += static_cast<size_t>(utf8_next(s.text.substr(at)).bytes);
  return at;
}

Result<void> check_hashable(const Value& key) {
  const bool list = key.is(Kind::kSequence) && key.sequence->type == SequenceType::kList;
  if (list || key.is(Kind::kDict)) {
    return fail(ErrorCode::kUsage, "unhashable type: '{}'", type_name(key));
  }
  if (!key.is(Kind::kSequence) || key.sequence->type != SequenceType::kTuple) return {};
  for (const Value& item : key.sequence->items) {
    const bool nested = item.is(Kind::kSequence) || item.is(Kind::kDict);
    if (nested) return fail(ErrorCode::kUsage, "a dict key may not hold other containers");
  }
  return {};
}

Result<Value> get_item(Heap& heap, const Value& container, const Value& key) {
  if (container.is(Kind::kDict)) {
    const Value* const found = find_key(heap, *container.dict, key);
    return found ? *found : Value{};
  }
  const bool list =
      container.is(Kind::kSequence) && container.sequence->type <= SequenceType::kRange;
  if (!key.is_integer() || (!list && !container.is(Kind::kString))) return Value{};
  MK_ASSIGN(const int64_t size, length(heap, container));
  int64_t index = key.as_int();
  if (index < 0) index = index < -size ? -1 : index + size;
  if (index < 0 || index >= size) return Value{};
  if (list) return container.sequence->items[static_cast<size_t>(index)];
  const Str& s = *container.string;
  return heap.slice(s, byte_offset(heap, s, index), byte_offset(heap, s, index + 1));
}

Result<Value> get_slice(Heap& heap, const Value& container, const Value& start, const Value& stop,
                        const Value& step) {
  if (container.is(Kind::kUndefined)) return undefined_error(container);
  const bool list =
      container.is(Kind::kSequence) && container.sequence->type <= SequenceType::kRange;
  if (!list && !container.is(Kind::kString)) {
    return fail(ErrorCode::kUsage, "'{}' object is not subscriptable", type_name(container));
  }
  MK_ASSIGN(const int64_t size, length(heap, container));
  MK_ASSIGN(const Bounds b, bounds(size, start, stop, step));
  if (!list) {
    const Str& s = *container.string;
    return slice_string(heap, s, b);
  }
  std::vector<Value> items;
  for (int64_t i = b.start; b.step > 0 ? i < b.stop : i > b.stop; i += b.step) {
    items.push_back(container.sequence->items[static_cast<size_t>(i)]);
  }
  const SequenceType type = container.sequence->type == SequenceType::kRange
                                ? SequenceType::kList
                                : container.sequence->type;
  return heap.sequence(type, std::move(items));
}

}  // namespace minke::jinja
