#include "minke/text/jinja_operators.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "minke/base/utf8.h"

namespace minke::jinja {
namespace {

constexpr int kCompareDepthMax = 100;
/// Dicts above this size look their string keys up in a hash table.
constexpr size_t kScanMax = 8;

tl::unexpected<Error> no_order(const Value& a, const Value& b) {
  return fail(ErrorCode::kUsage, "'{}' and '{}' cannot be compared with < or >", type_name(a),
              type_name(b));
}

bool is_list_like(const Value& v) { return v.is(Kind::kSequence); }

/// Pays for a copy of `count` values.
bool charge_items(Heap& heap, size_t count) {
  return heap.try_steps(static_cast<int64_t>(count / 8)) &&
         heap.try_bytes(static_cast<int64_t>(count * sizeof(Value)));
}

Result<bool> sequences_equal(Heap& heap, const Sequence& a, const Sequence& b, int depth) {
  if (a.type != b.type || a.items.size() != b.items.size()) return false;
  for (size_t i = 0; i < a.items.size(); ++i) {
    MK_ASSIGN(const bool same, equals(heap, a.items[i], b.items[i], depth + 1));
    if (!same) return false;
  }
  return true;
}

Result<bool> dicts_equal(Heap& heap, const Dict& a, const Dict& b, int depth) {
  if (a.items.size() != b.items.size()) return false;
  for (const auto& [key, value] : a.items) {
    const Value* const other = find_key(heap, b, key);
    if (!other) return false;
    MK_ASSIGN(const bool same, equals(heap, value, *other, depth + 1));
    if (!same) return false;
  }
  return true;
}

bool numbers_equal(const Value& a, const Value& b) {
  if (a.is_integer() && b.is_integer()) return a.as_int() == b.as_int();
  return a.as_float() == b.as_float();
}

Result<bool> contains(Heap& heap, const Value& item, const Value& container) {
  switch (container.kind) {
    case Kind::kUndefined:
      return false;
    case Kind::kString: {
      if (!item.is(Kind::kString)) {
        return fail(ErrorCode::kUsage, "'in <string>' needs a string on its left, found '{}'",
                    type_name(item));
      }
      const size_t work = container.string->text.size() + item.string->text.size();
      if (!heap.try_work(work)) return false;
      return find_text(container.string->text, item.string->text) != std::string_view::npos;
    }
    case Kind::kDict: {
      if (item.is(Kind::kDict) ||
          (is_list_like(item) && item.sequence->type == SequenceType::kList)) {
        return fail(ErrorCode::kUsage, "unhashable type: '{}'", type_name(item));
      }
      return find_key(heap, *container.dict, item) != nullptr;
    }
    case Kind::kSequence: {
      const Sequence& sequence = *container.sequence;
      for (size_t i = sequence.num_taken; i < sequence.items.size(); ++i) {
        if (sequence.type == SequenceType::kGenerator) sequence.num_taken = i + 1;
        MK_ASSIGN(const bool same, equals(heap, item, sequence.items[i]));
        if (same) return true;
      }
      return false;
    }
    default:
      break;
  }
  return fail(ErrorCode::kUsage, "'in' needs a string, list or dict, found '{}'",
              type_name(container));
}

}  // namespace

size_t find_text(std::string_view text, std::string_view part, size_t from) {
  if (from > text.size()) return std::string_view::npos;
  if (part.empty()) return from;
  // memmem and not find(): its time is linear also for the texts that an attacker would pick.
  const void* const found =
      memmem(text.data() + from, text.size() - from, part.data(), part.size());
  if (!found) return std::string_view::npos;
  return static_cast<size_t>(static_cast<const char*>(found) - text.data());
}

const char* type_name(const Value& value) {
  switch (value.kind) {
    case Kind::kMissing:
      return "nothing";
    case Kind::kUndefined:
      return "Undefined";
    case Kind::kNone:
      return "NoneType";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
      return "int";
    case Kind::kFloat:
      return "float";
    case Kind::kString:
      return "str";
    case Kind::kDict:
      return "dict";
    case Kind::kNamespace:
      return "Namespace";
    case Kind::kFunction:
      return "function";
    case Kind::kLoop:
      return "LoopContext";
    case Kind::kSequence:
      break;
  }
  switch (value.sequence->type) {
    case SequenceType::kList:
      return "list";
    case SequenceType::kTuple:
      return "tuple";
    case SequenceType::kRange:
      return "range";
    case SequenceType::kDictItems:
      return "dict_items";
    case SequenceType::kDictKeys:
      return "dict_keys";
    case SequenceType::kDictValues:
      return "dict_values";
    case SequenceType::kGenerator:
      return "generator";
  }
  return "?";
}

tl::unexpected<Error> undefined_error(const Value& value) {
  const Undefined& undefined = *value.undefined;
  const std::string_view name = undefined.name.substr(0, 100);
  if (undefined.what == Missing::kVariable) {
    return fail(ErrorCode::kUsage, "'{}' is undefined", name);
  }
  if (undefined.what == Missing::kUnsafe) {
    return fail(ErrorCode::kUsage, "access to attribute '{}' of '{}' object is unsafe", name,
                undefined.owner);
  }
  const std::string_view type = undefined.owner;
  const std::string owner = type == "NoneType" ? "None" : fmt::format("{} object", type);
  if (undefined.what == Missing::kElement) {
    return fail(ErrorCode::kUsage, "{} has no element {}", owner, name);
  }
  return fail(ErrorCode::kUsage, "'{}' has no attribute '{}'", owner, name);
}

bool truth(const Value& value) {
  switch (value.kind) {
    case Kind::kMissing:
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
      return value.boolean;
    case Kind::kInt:
      return value.integer != 0;
    case Kind::kFloat:
      return value.real != 0;
    case Kind::kString:
      return !value.string->text.empty();
    case Kind::kSequence:
      return value.sequence->type == SequenceType::kGenerator || !value.sequence->items.empty();
    case Kind::kDict:
      return !value.dict->items.empty();
    default:
      return true;
  }
}

Result<bool> equals(Heap& heap, const Value& a, const Value& b, int depth) {
  if (depth > kCompareDepthMax) {
    return fail(ErrorCode::kUsage, "values to compare are nested deeper than {} levels",
                kCompareDepthMax);
  }
  if (!heap.try_steps(1)) return false;
  if (a.is_number() && b.is_number()) return numbers_equal(a, b);
  if (a.kind != b.kind) return false;
  switch (a.kind) {
    case Kind::kMissing:
    case Kind::kUndefined:
    case Kind::kNone:
      return true;
    case Kind::kString:
      if (!heap.try_work(std::min(a.string->text.size(), b.string->text.size()))) return false;
      return a.string->text == b.string->text;
    case Kind::kSequence:
      return sequences_equal(heap, *a.sequence, *b.sequence, depth);
    case Kind::kDict:
      return dicts_equal(heap, *a.dict, *b.dict, depth);
    case Kind::kNamespace:
      return a.name_space == b.name_space;
    case Kind::kLoop:
      return a.loop == b.loop;
    default:
      return a.function == b.function;
  }
}

Result<std::optional<int>> order(Heap& heap, const Value& a, const Value& b, int depth) {
  if (a.is(Kind::kUndefined)) return undefined_error(a);
  if (b.is(Kind::kUndefined)) return undefined_error(b);
  if (a.is_integer() && b.is_integer()) {
    return a.as_int() < b.as_int() ? -1 : a.as_int() > b.as_int() ? 1 : 0;
  }
  if (a.is_number() && b.is_number()) {
    const double x = a.as_float();
    const double y = b.as_float();
    if (std::isnan(x) || std::isnan(y)) return std::optional<int>();
    return x < y ? -1 : x > y ? 1 : 0;
  }
  if (a.is(Kind::kString) && b.is(Kind::kString)) {
    // The order of UTF-8 bytes is the order of code points.
    if (!heap.try_work(a.string->text.size())) return 0;
    const int sign = a.string->text.compare(b.string->text);
    return sign < 0 ? -1 : sign > 0 ? 1 : 0;
  }
  const bool sequences = a.is(Kind::kSequence) && b.is(Kind::kSequence) &&
                         a.sequence->type == b.sequence->type &&
                         a.sequence->type <= SequenceType::kTuple;
  if (!sequences || depth > kCompareDepthMax) return no_order(a, b);
  const std::vector<Value>& x = a.sequence->items;
  const std::vector<Value>& y = b.sequence->items;
  for (size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
    MK_ASSIGN(const bool same, equals(heap, x[i], y[i], depth + 1));
    if (!same) return order(heap, x[i], y[i], depth + 1);
  }
  return x.size() < y.size() ? -1 : x.size() > y.size() ? 1 : 0;
}

Result<bool> compare(Heap& heap, Op op, const Value& a, const Value& b) {
  if (op == Op::kIn) return contains(heap, a, b);
  if (op == Op::kNotIn) {
    MK_ASSIGN(const bool inside, contains(heap, a, b));
    return !inside;
  }
  if (op == Op::kEqual) return equals(heap, a, b);
  if (op == Op::kNotEqual) {
    MK_ASSIGN(const bool same, equals(heap, a, b));
    return !same;
  }
  MK_ASSIGN(const std::optional<int> sign, order(heap, a, b));
  if (!sign) return false;
  switch (op) {
    case Op::kLess:
      return *sign < 0;
    case Op::kLessEqual:
      return *sign <= 0;
    case Op::kGreater:
      return *sign > 0;
    default:
      return *sign >= 0;
  }
}

Result<std::vector<Value>> iterate(Heap& heap, const Value& value) {
  std::vector<Value> items;
  switch (value.kind) {
    case Kind::kUndefined:
      return items;
    case Kind::kSequence: {
      const Sequence& sequence = *value.sequence;
      if (!charge_items(heap, sequence.items.size())) return items;
      items.assign(sequence.items.begin() + static_cast<int64_t>(sequence.num_taken),
                   sequence.items.end());
      if (sequence.type == SequenceType::kGenerator) sequence.num_taken = sequence.items.size();
      return items;
    }
    case Kind::kDict:
      if (!charge_items(heap, value.dict->items.size())) return items;
      for (const auto& [key, item] : value.dict->items) items.push_back(key);
      return items;
    case Kind::kString: {
      const Str& s = *value.string;
      for (size_t at = 0; at < s.text.size();) {
        const size_t bytes = static_cast<size_t>(utf8_next(s.text.substr(at)).bytes);
        if (!heap.try_steps(1)) break;
        // The characters of markup are plain strings.
        items.push_back(s.markup ? heap.copy(s.text.substr(at, bytes), s.any_untrusted())
                                 : heap.slice(s, at, at + bytes));
        at += bytes;
      }
      return items;
    }
    default:
      break;
  }
  return fail(ErrorCode::kUsage, "'{}' object is not iterable", type_name(value));
}

Result<int64_t> length(const Value& value) {
  if (value.is(Kind::kUndefined)) return 0;
  if (value.is(Kind::kString)) return value.string->length();
  if (value.is(Kind::kDict)) return static_cast<int64_t>(value.dict->items.size());
  if (value.is(Kind::kSequence) && value.sequence->type != SequenceType::kGenerator) {
    return static_cast<int64_t>(value.sequence->items.size());
  }
  if (value.is(Kind::kLoop)) return static_cast<int64_t>(value.loop->items->size());
  return fail(ErrorCode::kUsage, "object of type '{}' has no len()", type_name(value));
}

const Value* find_key(Heap& heap, const Dict& dict, std::string_view key) {
  if (dict.items.size() > kScanMax) {
    if (dict.index.empty()) {
      heap.try_steps(static_cast<int64_t>(dict.items.size()));
      for (size_t i = 0; i < dict.items.size(); ++i) {
        const Value& other = dict.items[i].first;
        if (other.is(Kind::kString)) dict.index.emplace(other.string->text, i);
      }
    }
    const auto found = dict.index.find(key);
    return found == dict.index.end() ? nullptr : &dict.items[found->second].second;
  }
  for (const auto& [other, value] : dict.items) {
    if (other.is(Kind::kString) && other.string->text == key) return &value;
  }
  return nullptr;
}

const Value* find_key(Heap& heap, const Dict& dict, const Value& key) {
  if (key.is(Kind::kString)) return find_key(heap, dict, key.string->text);
  for (const auto& [other, value] : dict.items) {
    const Result<bool> same = equals(heap, other, key);
    if (same && *same) return &value;
  }
  return nullptr;
}

void set_key(Heap& heap, Dict& dict, const Value& key, const Value& value) {
  const Value* const found = find_key(heap, dict, key);
  if (found) {
    const auto at = std::find_if(dict.items.begin(), dict.items.end(),
                                 [found](const auto& item) { return &item.second == found; });
    at->second = value;
    return;
  }
  heap.try_bytes(static_cast<int64_t>(4 * sizeof(Value)));
  dict.items.emplace_back(key, value);
  if (!dict.index.empty() && key.is(Kind::kString)) {
    dict.index.emplace(key.string->text, dict.items.size() - 1);
  }
}

}  // namespace minke::jinja
