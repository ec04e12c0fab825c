#include "minke/text/jinja_operators.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>

#include "minke/base/utf8.h"

namespace minke::jinja {
namespace {

constexpr int kCompareDepthMax = 100;
/// Dicts above this size look their keys up in a hash table.
constexpr size_t kScanMax = 8;
/// Of an entry of that table, with its share of the buckets.
constexpr int64_t kNodeBytes = 48;

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
      if (!heap.try_scan(work)) return false;
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

Result<int64_t> length(Heap& heap, const Value& value) {
  if (value.is(Kind::kUndefined)) return 0;
  if (value.is(Kind::kString)) return heap.length(*value.string);
  if (value.is(Kind::kDict)) return static_cast<int64_t>(value.dict->items.size());
  if (value.is(Kind::kSequence) && value.sequence->type != SequenceType::kGenerator) {
    return static_cast<int64_t>(value.sequence->items.size());
  }
  if (value.is(Kind::kLoop)) return static_cast<int64_t>(value.loop->items->size());
  return fail(ErrorCode::kUsage, "object of type '{}' has no len()", type_name(value));
}

namespace {

size_t hash_of(std::string_view text) { return std::hash<std::string_view>()(text); }

/// Equal keys have equal hashes; numbers are equal across their types.
size_t hash_of(const Value& key) {
  if (key.is(Kind::kString)) return hash_of(key.string->text);
  if (key.is_number()) return std::hash<double>()(key.as_float());
  if (!key.is(Kind::kSequence)) return static_cast<size_t>(key.kind);
  size_t hash = key.sequence->items.size();
  for (const Value& item : key.sequence->items) {
    if (!item.is(Kind::kSequence)) hash = hash * 31 + hash_of(item);
  }
  return hash;
}

/// The item for which `is_key` holds among those with that hash, or of a small dict among all.
template <class IsKey>
const Value* find_item(Heap& heap, const Dict& dict, size_t hash, const IsKey& is_key) {
  if (dict.items.size() <= kScanMax) {
    for (const auto& [key, value] : dict.items) {
      if (is_key(key)) return &value;
    }
    return nullptr;
  }
  if (dict.index.empty()) {
    const auto count = static_cast<int64_t>(dict.items.size());
    if (!heap.try_steps(4 * count) || !heap.try_bytes(count * kNodeBytes)) return nullptr;
    for (size_t i = 0; i < dict.items.size(); ++i) {
      dict.index.emplace(hash_of(dict.items[i].first), i);
    }
  }
  const auto [begin, end] = dict.index.equal_range(hash);
  for (auto found = begin; found != end && !heap.exhausted(); ++found) {
    if (is_key(dict.items[found->second].first)) return &dict.items[found->second].second;
  }
  return nullptr;
}

}  // namespace

const Value* find_key(Heap& heap, const Dict& dict, std::string_view key) {
  return find_item(heap, dict, hash_of(key), [&](const Value& other) {
    return other.is(Kind::kString) && heap.try_steps(1) && other.string->text == key;
  });
}

const Value* find_key(Heap& heap, const Dict& dict, const Value& key) {
  if (key.is(Kind::kString)) return find_key(heap, dict, key.string->text);
  return find_item(heap, dict, hash_of(key), [&](const Value& other) {
    const Result<bool> same = equals(heap, other, key);
    return same && *same;
  });
}

void set_key(Heap& heap, Dict& dict, const Value& key, const Value& value) {
  const Value* const found = find_key(heap, dict, key);
  if (found) {
    const auto at = std::find_if(dict.items.begin(), dict.items.end(),
                                 [found](const auto& item) { return &item.second == found; });
    heap.try_steps((at - dict.items.begin()) / 4);
    at->second = value;
    return;
  }
  if (!heap.try_steps(4) || !heap.try_bytes(static_cast<int64_t>(4 * sizeof(Value)) + kNodeBytes)) {
    return;
  }
  dict.items.emplace_back(key, value);
  if (!dict.index.empty()) dict.index.emplace(hash_of(key), dict.items.size() - 1);
}

}  // namespace minke::jinja
