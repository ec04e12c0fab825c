// Filters of sequences.
#include <algorithm>

#include "minke/text/jinja_builtin_tables.h"
#include "minke/text/jinja_lexer.h"
#include "minke/text/jinja_print.h"
#include "minke/text/jinja_text.h"

namespace minke::jinja {
namespace {

/// `attribute` of `item`: a dotted path, whose parts of digits are indices; or an index itself.
/// `fallback`, if given, stands for whatever is undefined on the way.
Result<Value> path_of(Interpreter& run, const Value& item, const Value& attribute,
                      const Value& fallback = {}) {
  if (!attribute.given() || attribute.is(Kind::kNone)) return item;
  const bool replaces = fallback.given() && !fallback.is(Kind::kNone);
  Value value = item;
  if (!attribute.is(Kind::kString)) {
    MK_ASSIGN(value, run.item(item, attribute));
    return value.is(Kind::kUndefined) && replaces ? fallback : value;
  }
  std::string_view left = attribute.string->text;
  while (true) {
    const size_t dot = std::min(left.find('.'), left.size());
    const std::string_view part = left.substr(0, dot);
    const bool digits = !part.empty() && part.size() < 18 &&
                        part.find_first_not_of("0123456789") == std::string_view::npos;
    Value key = run.heap().view(part, false);
    if (digits) key = Value::of_int(std::stoll(std::string(part)));
    MK_ASSIGN(value, run.item(value, key));
    if (value.is(Kind::kUndefined) && replaces) value = fallback;
    if (dot == left.size()) return value;
    left.remove_prefix(dot + 1);
  }
}

/// The value that sorting and uniqueness look at: lower case unless case_sensitive.
Value sort_key(Heap& heap, const Value& value, bool case_sensitive) {
  if (case_sensitive || !value.is(Kind::kString)) return value;
  return change_case(heap, *value.string, CaseChange::kLower);
}

/// The sort key for attributes with commas between them: a list, as it is in jinja2, where two
/// undefined attributes are therefore equal and no error.
Result<Value> multi_key(Interpreter& run, const Value& item, const Value& attributes,
                        bool case_sensitive) {
  std::vector<Value> keys;
  std::string_view left = attributes.is(Kind::kString) ? attributes.string->text : "";
  do {
    const size_t comma = std::min(left.find(','), left.size());
    Value attribute = attributes;
    if (attributes.is(Kind::kString)) attribute = run.heap().view(left.substr(0, comma), false);
    MK_ASSIGN(const Value key, path_of(run, item, attribute));
    keys.push_back(sort_key(run.heap(), key, case_sensitive));
    left.remove_prefix(std::min(comma + 1, left.size()));
  } while (!left.empty());
  return run.heap().sequence(SequenceType::kList, std::move(keys));
}

struct Keyed {
  Value key;
  Value value;
};

/// Sorts by key, stably; the first error of a comparison is reported.
Result<void> sort_keyed(Heap& heap, std::vector<Keyed>& items, bool reverse) {
  const auto count = static_cast<int64_t>(items.size());
  // The keys, the sorted values and the buffer of the sort.
  if (!heap.try_bytes(count * static_cast<int64_t>(3 * sizeof(Keyed))) ||
      !heap.try_steps(4 * count)) {
    return fail(ErrorCode::kWillNotFit, "the template needs {}", heap.exhausted());
  }
  Result<void> status;
  // An insertion into runs by std::stable_sort needs a strict order, so a failed comparison counts
  // as equal and everything after it, too.
  const auto less = [&](const Keyed& a, const Keyed& b) {
    if (!status) return false;
    const Result<std::optional<int>> sign = order(heap, a.key, b.key);
    if (!sign) status = tl::unexpected<Error>(sign.error());
    return sign && *sign && (reverse ? **sign > 0 : **sign < 0);
  };
  std::stable_sort(items.begin(), items.end(), less);
  return status;
}

Result<Value> filter_first(Interpreter& run, Call& call) {
  if (call.self.is(Kind::kSequence)) {
    const Sequence& sequence = *call.self.sequence;
    if (sequence.num_taken < sequence.items.size()) {
      const size_t index = sequence.num_taken;
      if (sequence.type == SequenceType::kGenerator) ++sequence.num_taken;
      return sequence.items[index];
    }
  }
  MK_ASSIGN(const std::vector<Value> items, iterate(run.heap(), call.self));
  return items.empty() ? run.heap().undefined("the first item of an empty sequence")
                       : items.front();
}

Result<Value> filter_last(Interpreter& run, Call& call) {
  if (call.self.is(Kind::kSequence)) {
    const Sequence& sequence = *call.self.sequence;
    if (sequence.type == SequenceType::kGenerator) {
      return fail(ErrorCode::kUsage, "'generator' object is not reversible");
    }
    if (!sequence.items.empty()) return sequence.items.back();
  }
  MK_ASSIGN(const std::vector<Value> items, iterate(run.heap(), call.self));
  return items.empty() ? run.heap().undefined("the last item of an empty sequence") : items.back();
}

Result<Value> filter_list(Interpreter& run, Call& call) {
  MK_ASSIGN(std::vector<Value> items, iterate(run.heap(), call.self));
  return run.heap().sequence(SequenceType::kList, std::move(items));
}

Result<Value> filter_reverse(Interpreter& run, Call& call) {
  MK_ASSIGN(std::vector<Value> items, iterate(run.heap(), call.self));
  std::reverse(items.begin(), items.end());
  if (call.self.is(Kind::kString)) return join(run.heap(), items, Str{}, false);
  return run.heap().sequence(SequenceType::kGenerator, std::move(items));
}

Result<Value> filter_join(Interpreter& run, Call& call) {
  MK_ASSIGN(std::vector<Value> items, iterate(run.heap(), call.self));
  if (call.args[1].given()) {
    for (Value& item : items) {
      MK_ASSIGN(item, path_of(run, item, call.args[1]));
    }
  }
  const Value given = call.args[0].given() ? call.args[0] : run.heap().view("", false);
  MK_ASSIGN(const Value separator, to_str(run.heap(), given));
  return join(run.heap(), items, *separator.string, true);
}

Result<Value> filter_sort(Interpreter& run, Call& call) {
  MK_ASSIGN(const std::vector<Value> items, iterate(run.heap(), call.self));
  std::vector<Keyed> keyed;
  for (const Value& item : items) {
    MK_ASSIGN(const Value key, multi_key(run, item, call.args[2], truth(call.args[1])));
    keyed.push_back({key, item});
  }
  MK_TRY(sort_keyed(run.heap(), keyed, truth(call.args[0])));
  std::vector<Value> sorted;
  for (const Keyed& item : keyed) sorted.push_back(item.value);
  return run.heap().sequence(SequenceType::kList, std::move(sorted));
}

Value pair(Heap& heap, const Value& a, const Value& b) {
  return heap.sequence(SequenceType::kTuple, {a, b});
}

Result<Value> filter_dictsort(Interpreter& run, Call& call) {
  if (call.self.is(Kind::kUndefined)) return undefined_error(call.self);
  if (!call.self.is(Kind::kDict)) {
    return fail(ErrorCode::kUsage, "dictsort needs a dict, found '{}'", type_name(call.self));
  }
  const std::string_view by = call.args[1].is(Kind::kString) ? call.args[1].string->text : "key";
  if (by != "key" && by != "value") {
    return fail(ErrorCode::kUsage, "dictsort sorts by \"key\" or \"value\"");
  }
  std::vector<Keyed> keyed;
  for (const auto& [key, value] : call.self.dict->items) {
    const Value& sorts = by == "key" ? key : value;
    keyed.push_back(
        {sort_key(run.heap(), sorts, truth(call.args[0])), pair(run.heap(), key, value)});
  }
  MK_TRY(sort_keyed(run.heap(), keyed, truth(call.args[2])));
  std::vector<Value> sorted;
  for (const Keyed& item : keyed) sorted.push_back(item.value);
  return run.heap().sequence(SequenceType::kList, std::move(sorted));
}

Result<Value> filter_items(Interpreter& run, Call& call) {
  std::vector<Value> items;
  if (call.self.is(Kind::kDict)) {
    for (const auto& [key, value] : call.self.dict->items) {
      items.push_back(pair(run.heap(), key, value));
    }
  } else if (!call.self.is(Kind::kUndefined)) {
    return fail(ErrorCode::kUsage, "items needs a dict, found '{}'", type_name(call.self));
  }
  return run.heap().sequence(SequenceType::kGenerator, std::move(items));
}

template <int wanted>
Result<Value> filter_extreme(Interpreter& run, Call& call) {
  MK_ASSIGN(const std::vector<Value> items, iterate(run.heap(), call.self));
  if (items.empty()) return run.heap().undefined("an item of an empty sequence");
  Keyed best;
  for (const Value& item : items) {
    MK_ASSIGN(Value key, path_of(run, item, call.args[1]));
    key = sort_key(run.heap(), key, truth(call.args[0]));
    if (best.key.given()) {
      MK_ASSIGN(const std::optional<int> sign, order(run.heap(), key, best.key));
      if (sign != wanted) continue;
    }
    best = {key, item};
  }
  return best.value;
}

Result<Value> filter_sum(Interpreter& run, Call& call) {
  MK_ASSIGN(const std::vector<Value> items, iterate(run.heap(), call.self));
  Value total = call.args[1].given() ? call.args[1] : Value::of_int(0);
  if (total.is(Kind::kString)) return fail(ErrorCode::kUsage, "sum() can't sum strings");
  for (const Value& item : items) {
    MK_ASSIGN(const Value part, path_of(run, item, call.args[0]));
    MK_ASSIGN(total, arithmetic(run.heap(), Op::kAdd, total, part));
  }
  return total;
}

Result<Value> filter_unique(Interpreter& run, Call& call) {
  MK_ASSIGN(const std::vector<Value> items, iterate(run.heap(), call.self));
  Dict seen;
  std::vector<Value> kept;
  for (const Value& item : items) {
    MK_ASSIGN(const Value key, path_of(run, item, call.args[1]));
    const Value sorts = sort_key(run.heap(), key, truth(call.args[0]));
    MK_TRY(check_hashable(sorts));
    const Value* const known = find_key(run.heap(), seen, sorts);
    if (known) continue;
    set_key(run.heap(), seen, sorts, Value::none());
    kept.push_back(item);
  }
  return run.heap().sequence(SequenceType::kGenerator, std::move(kept));
}

Result<Value> filter_groupby(Interpreter& run, Call& call) {
  MK_ASSIGN(const std::vector<Value> items, iterate(run.heap(), call.self));
  std::vector<Keyed> keyed;
  const bool case_sensitive = truth(call.args[2]);
  for (const Value& item : items) {
    MK_ASSIGN(const Value key, path_of(run, item, call.args[0], call.args[1]));
    keyed.push_back({sort_key(run.heap(), key, case_sensitive), item});
  }
  MK_TRY(sort_keyed(run.heap(), keyed, false));
  std::vector<Value> groups;
  for (size_t i = 0; i < keyed.size();) {
    std::vector<Value> members;
    MK_ASSIGN(const Value name, path_of(run, keyed[i].value, call.args[0], call.args[1]));
    const size_t first = i;
    for (; i < keyed.size(); ++i) {
      MK_ASSIGN(const bool same, equals(run.heap(), keyed[i].key, keyed[first].key));
      if (!same) break;
      members.push_back(keyed[i].value);
    }
    const Value list = run.heap().sequence(SequenceType::kList, std::move(members));
    groups.push_back(run.heap().group(name, list));
  }
  return run.heap().sequence(SequenceType::kList, std::move(groups));
}

Result<Value> filter_batch(Interpreter& run, Call& call) {
  MK_ASSIGN(const std::vector<Value> items, iterate(run.heap(), call.self));
  MK_ASSIGN(const int64_t size, integer_or(call.args[0], 1));
  if (size < 1) return fail(ErrorCode::kUsage, "batch: size {} is not positive", size);
  std::vector<Value> rows;
  for (size_t at = 0; at < items.size();) {
    std::vector<Value> row;
    for (; at < items.size() && row.size() < static_cast<size_t>(size); ++at) {
      row.push_back(items[at]);
    }
    const bool fills = call.args[1].given() && !call.args[1].is(Kind::kNone);
    while (fills && row.size() < static_cast<size_t>(size) && run.heap().try_bytes(16)) {
      row.push_back(call.args[1]);
    }
    rows.push_back(run.heap().sequence(SequenceType::kList, std::move(row)));
  }
  return run.heap().sequence(SequenceType::kGenerator, std::move(rows));
}

Result<Value> filter_slice(Interpreter& run, Call& call) {
  MK_ASSIGN(const std::vector<Value> items, iterate(run.heap(), call.self));
  MK_ASSIGN(const int64_t count, integer_or(call.args[0], 1));
  if (count < 1 || count > 100'000) return fail(ErrorCode::kUsage, "slice: {} parts", count);
  const auto parts = static_cast<size_t>(count);
  std::vector<Value> columns;
  size_t at = 0;
  for (size_t i = 0; i < parts; ++i) {
    const bool longer = i < items.size() % parts;
    const size_t size = items.size() / parts + (longer ? 1 : 0);
    std::vector<Value> column(items.begin() + static_cast<int64_t>(at),
                              items.begin() + static_cast<int64_t>(at + size));
    at += size;
    if (call.args[1].given() && !call.args[1].is(Kind::kNone) && !longer) {
      column.push_back(call.args[1]);
    }
    columns.push_back(run.heap().sequence(SequenceType::kList, std::move(column)));
  }
  return run.heap().sequence(SequenceType::kGenerator, std::move(columns));
}

/// map, select and their like take None and other falsy values for an empty sequence, as jinja2.
Value nothing(Heap& heap) { return heap.sequence(SequenceType::kGenerator, {}); }

Result<Value> filter_map(Interpreter& run, Call& call) {
  if (!truth(call.self)) return nothing(run.heap());
  MK_ASSIGN(std::vector<Value> items, iterate(run.heap(), call.self));
  Arguments& raw = call.raw;
  const bool by_attribute = raw.positional.empty() && !raw.keyword.empty();
  if (by_attribute) {
    Value attribute;
    Value fallback;
    for (const auto& [name, value] : raw.keyword) {
      if (name == "attribute") attribute = value;
      if (name == "default") fallback = value;
    }
    if (!attribute.given()) return fail(ErrorCode::kUsage, "map needs a filter or attribute=");
    for (Value& item : items) {
      MK_ASSIGN(item, path_of(run, item, attribute, fallback));
    }
  } else {
    if (raw.positional.empty() || !raw.positional[0].is(Kind::kString)) {
      return fail(ErrorCode::kUsage, "map needs the name of a filter or attribute=");
    }
    const std::string_view name = raw.positional[0].string->text;
    raw.positional.erase(raw.positional.begin());
    for (Value& item : items) {
      MK_ASSIGN(item, run.apply_filter(name, item, Arguments(raw)));
    }
  }
  return run.heap().sequence(SequenceType::kGenerator, std::move(items));
}

/// select, reject, selectattr, rejectattr: keeps items whose value passes the test, or fails it.
template <bool by_attribute, bool keeps>
Result<Value> filter_select(Interpreter& run, Call& call) {
  if (!truth(call.self)) return nothing(run.heap());
  MK_ASSIGN(const std::vector<Value> items, iterate(run.heap(), call.self));
  Arguments rest = std::move(call.raw);
  Value attribute;
  if (by_attribute) {
    if (rest.positional.empty()) return fail(ErrorCode::kUsage, "the attribute is missing");
    attribute = rest.positional[0];
    rest.positional.erase(rest.positional.begin());
  }
  std::string_view test;
  if (!rest.positional.empty()) {
    if (!rest.positional[0].is(Kind::kString)) {
      return fail(ErrorCode::kUsage, "the name of a test must be a string");
    }
    test = rest.positional[0].string->text;
    rest.positional.erase(rest.positional.begin());
  }
  std::vector<Value> kept;
  for (const Value& item : items) {
    Value value = item;
    if (by_attribute) {
      MK_ASSIGN(value, path_of(run, item, attribute));
    }
    bool holds = truth(value);
    if (!test.empty()) {
      MK_ASSIGN(holds, run.apply_test(test, value, Arguments(rest)));
    }
    if (holds == keeps) kept.push_back(item);
  }
  return run.heap().sequence(SequenceType::kGenerator, std::move(kept));
}

constexpr Builtin kListFilters[] = {
    {"batch", "linecount fill_with", 1, filter_batch},
    {"dictsort", "case_sensitive by reverse", 0, filter_dictsort},
    {"first", "", 0, filter_first},
    {"groupby", "attribute default case_sensitive", 1, filter_groupby},
    {"items", "", 0, filter_items},
    {"join", "d attribute", 0, filter_join},
    {"last", "", 0, filter_last},
    {"list", "", 0, filter_list},
    {"map", "*", 0, filter_map},
    {"max", "case_sensitive attribute", 0, filter_extreme<1>},
    {"min", "case_sensitive attribute", 0, filter_extreme<-1>},
    {"reject", "*", 0, filter_select<false, false>},
    {"rejectattr", "*", 0, filter_select<true, false>},
    {"reverse", "", 0, filter_reverse},
    {"select", "*", 0, filter_select<false, true>},
    {"selectattr", "*", 0, filter_select<true, true>},
    {"slice", "slices fill_with", 1, filter_slice},
    {"sort", "reverse case_sensitive attribute", 0, filter_sort},
    {"sum", "attribute start", 0, filter_sum},
    {"unique", "case_sensitive attribute", 0, filter_unique},
};

}  // namespace

std::span<const Builtin> list_filters() { return kListFilters; }

}  // namespace minke::jinja
