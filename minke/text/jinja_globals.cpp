// Global functions, and the methods of dicts, lists, loops.
#include <algorithm>

#include "minke/text/jinja_builtin_tables.h"
#include "minke/text/jinja_builtins.h"
#include "minke/text/jinja_format.h"
#include "minke/text/jinja_print.h"

namespace minke::jinja {
namespace {

/// As in jinja2's sandbox.
constexpr int64_t kRangeMax = 100'000;

Result<Value> global_range(Interpreter& run, Call& call) {
  for (const Value& value : call.args) {
    if (!value.given()) continue;
    if (value.is(Kind::kUndefined)) return undefined_error(value);
    if (!value.is_integer()) {
      return fail(ErrorCode::kUsage, "range needs integers, found '{}'", type_name(value));
    }
  }
  const bool one = !call.args[1].given();
  const int64_t start = one ? 0 : call.args[0].as_int();
  const int64_t stop = one ? call.args[0].as_int() : call.args[1].as_int();
  const int64_t step = call.args[2].given() ? call.args[2].as_int() : 1;
  if (step == 0) return fail(ErrorCode::kUsage, "range: the step must not be zero");
  const bool untrusted = call.args[0].untrusted || call.args[1].untrusted || call.args[2].untrusted;
  std::vector<Value> items;
  __int128 at = start;  // start + step may leave 64 bits
  for (; step > 0 ? at < stop : at > stop; at += step) {
    if (static_cast<int64_t>(items.size()) >= kRangeMax) {
      return fail(ErrorCode::kWillNotFit, "range: more than {} items", kRangeMax);
    }
    items.push_back(Value::of_int(static_cast<int64_t>(at), untrusted));
  }
  std::string text = step == 1 ? fmt::format("range({}, {})", start, stop)
                               : fmt::format("range({}, {}, {})", start, stop, step);
  return run.heap().range(std::move(items), std::move(text));
}

Result<Value> global_raise(Interpreter& run, Call& call) {
  MK_ASSIGN(const Value message, to_str(run.heap(), call.args[0]));
  return fail(ErrorCode::kUsage, "{}", message.string->text.substr(0, 1000));
}

Result<Value> global_strftime(Interpreter& run, Call& call) {
  if (!call.args[0].is(Kind::kString)) {
    return fail(ErrorCode::kUsage, "strftime_now needs a string, found '{}'",
                type_name(call.args[0]));
  }
  return format_time(run.heap(), *call.args[0].string, run.now_seconds());
}

/// dict(mapping or pairs, **members), also what namespace() takes.
Result<Dict> make_dict(Heap& heap, const Arguments& raw) {
  Dict dict;
  if (raw.positional.size() > 1)
    return fail(ErrorCode::kUsage, "dict takes one positional argument");
  if (!raw.positional.empty()) {
    const Value& source = raw.positional[0];
    if (source.is(Kind::kDict)) {
      heap.try_bytes(static_cast<int64_t>(source.dict->items.size() * 2 * sizeof(Value)));
      dict.items = source.dict->items;
    } else {
      MK_ASSIGN(const std::vector<Value> pairs, iterate(heap, source));
      for (const Value& pair : pairs) {
        MK_ASSIGN(const std::vector<Value> both, iterate(heap, pair));
        if (both.size() != 2) return fail(ErrorCode::kUsage, "dict needs pairs");
        MK_TRY(check_hashable(both[0]));
        set_key(heap, dict, both[0], both[1]);
      }
    }
  }
  for (const auto& [name, value] : raw.keyword) {
    // The names may have come from a ** dict of the caller's, so they count as untrusted.
    set_key(heap, dict, heap.view(name, true), value);
  }
  return dict;
}

Result<Value> dict_from_keys(Interpreter& run, Call& call) {
  MK_ASSIGN(const std::vector<Value> keys, iterate(run.heap(), call.args[0]));
  Dict dict;
  for (const Value& key : keys) {
    MK_TRY(check_hashable(key));
    set_key(run.heap(), dict, key, call.args[1].given() ? call.args[1] : Value::none());
  }
  return run.heap().dict(std::move(dict));
}

/// The state of a cycler or joiner lies in a namespace that no template can name: what it goes
/// through, and how often it was asked.
Value counted(Heap& heap, const Value& items) {
  const Value state = heap.name_space();
  state.name_space->attributes.emplace_back(heap.view("items", false).string, items);
  state.name_space->attributes.emplace_back(heap.view("count", false).string, Value::of_int(0));
  return state;
}

const Value& items_of(const Value& state) { return state.name_space->attributes[0].second; }
Value& count_of(const Value& state) { return state.name_space->attributes[1].second; }

Result<Value> global_cycler(Interpreter& run, Call& call) {
  if (call.raw.positional.empty() || !call.raw.keyword.empty()) {
    return fail(ErrorCode::kUsage, "at least one item has to be provided");
  }
  Heap& heap = run.heap();
  const Value items = heap.sequence(SequenceType::kTuple, std::move(call.raw.positional));
  return heap.function(
      {.name = "cycler", .builtin = find_global("cycler.object"), .self = counted(heap, items)});
}

Result<Value> cycler_object(Interpreter&, Call&) {
  return fail(ErrorCode::kUsage, "'Cycler' object is not callable");
}

Result<Value> cycler_next(Interpreter&, Call& call) {
  const std::vector<Value>& items = items_of(call.self).sequence->items;
  Value& count = count_of(call.self);
  const Value current = items[static_cast<size_t>(count.integer)];
  count = Value::of_int((count.integer + 1) % static_cast<int64_t>(items.size()));
  return current;
}

Result<Value> cycler_reset(Interpreter&, Call& call) {
  count_of(call.self) = Value::of_int(0);
  return Value::none();
}

Result<Value> global_joiner(Interpreter& run, Call& call) {
  Heap& heap = run.heap();
  const Value separator = call.args[0].given() ? call.args[0] : heap.view(", ", false);
  return heap.function(
      {.name = "joiner", .builtin = find_global("joiner.next"), .self = counted(heap, separator)});
}

/// Nothing the first time, the separator from then on.
Result<Value> joiner_next(Interpreter& run, Call& call) {
  Value& count = count_of(call.self);
  if (count.integer > 0) return items_of(call.self);
  count = Value::of_int(1);
  return run.heap().view("", false);
}

Result<Value> global_dict(Interpreter& run, Call& call) {
  MK_ASSIGN(Dict dict, make_dict(run.heap(), call.raw));
  return run.heap().dict(std::move(dict));
}

Result<Value> global_namespace(Interpreter& run, Call& call) {
  MK_ASSIGN(const Dict dict, make_dict(run.heap(), call.raw));
  const Value space = run.heap().name_space();
  for (const auto& [key, value] : dict.items) {
    const bool bad = !key.is(Kind::kString) || key.string->text.starts_with('_');
    if (bad) return fail(ErrorCode::kUsage, "namespace attributes are names without a leading '_'");
    space.name_space->attributes.emplace_back(key.string, value);
  }
  return space;
}

Result<Value> dict_get(Interpreter& run, Call& call) {
  MK_TRY(check_hashable(call.args[0]));
  const Value* const found = find_key(run.heap(), *call.self.dict, call.args[0]);
  if (found) return *found;
  return call.args[1].given() ? call.args[1] : Value::none();
}

template <SequenceType type>
Result<Value> dict_view(Interpreter& run, Call& call) {
  std::vector<Value> items;
  items.reserve(call.self.dict->items.size());
  for (const auto& [key, value] : call.self.dict->items) {
    if (type == SequenceType::kDictKeys) items.push_back(key);
    if (type == SequenceType::kDictValues) items.push_back(value);
    if (type == SequenceType::kDictItems) {
      items.push_back(run.heap().sequence(SequenceType::kTuple, {key, value}));
    }
  }
  return run.heap().sequence(type, std::move(items));
}

Result<Value> copy_self(Interpreter&, Call& call) { return call.self; }

Result<Value> list_count(Interpreter& run, Call& call) {
  int64_t count = 0;
  for (const Value& item : call.self.sequence->items) {
    MK_ASSIGN(const bool same, equals(run.heap(), item, call.args[0]));
    count += same ? 1 : 0;
  }
  return Value::of_int(count);
}

Result<Value> list_index(Interpreter& run, Call& call) {
  const std::vector<Value>& items = call.self.sequence->items;
  const auto size = static_cast<int64_t>(items.size());
  MK_ASSIGN(const int64_t start, integer_or(call.args[1], 0));
  MK_ASSIGN(const int64_t stop, integer_or(call.args[2], size));
  const auto clamp = [size](int64_t i) {
    return std::clamp<int64_t>(i < 0 ? i + size : i, 0, size);
  };
  for (auto i = static_cast<size_t>(clamp(start)); i < static_cast<size_t>(clamp(stop)); ++i) {
    MK_ASSIGN(const bool same, equals(run.heap(), items[i], call.args[0]));
    if (same) return Value::of_int(static_cast<int64_t>(i));
  }
  return fail(ErrorCode::kUsage, "the value is not in the list");
}

Result<Value> loop_cycle(Interpreter&, Call& call) {
  const std::vector<Value>& options = call.raw.positional;
  if (options.empty()) return fail(ErrorCode::kUsage, "loop.cycle needs an argument");
  return options[call.self.loop->index % options.size()];
}

Result<Value> loop_changed(Interpreter& run, Call& call) {
  LoopState& loop = *call.self.loop;
  bool same = loop.has_changed && loop.changed.size() == call.raw.positional.size();
  for (size_t i = 0; same && i < loop.changed.size(); ++i) {
    MK_ASSIGN(same, equals(run.heap(), loop.changed[i], call.raw.positional[i]));
  }
  loop.has_changed = true;
  loop.changed = call.raw.positional;
  return Value::of_bool(!same);
}

// Names with a dot are methods of what the global makes; no template can write them as a name.
constexpr Builtin kGlobals[] = {
    {"cycler", "*", 0, global_cycler},
    {"cycler.next", "", 0, cycler_next},
    {"cycler.object", "*", 0, cycler_object},
    {"cycler.reset", "", 0, cycler_reset},
    {"dict", "*", 0, global_dict},
    {"dict.fromkeys", "iterable value", 1, dict_from_keys},
    {"joiner", "sep", 0, global_joiner},
    {"joiner.next", "", 0, joiner_next},
    {"namespace", "*", 0, global_namespace},
    {"raise_exception", "message", 1, global_raise},
    {"range", "start stop step", 1, global_range},
    {"strftime_now", "format", 1, global_strftime},
};

// Methods that change a list or dict (append, pop, update, ...) are left out, as the immutable
// sandbox refuses them.
constexpr Builtin kDictMethods[] = {
    {"copy", "", 0, copy_self},
    {"get", "key default", 1, dict_get},
    {"items", "", 0, dict_view<SequenceType::kDictItems>},
    {"keys", "", 0, dict_view<SequenceType::kDictKeys>},
    {"values", "", 0, dict_view<SequenceType::kDictValues>},
};

constexpr Builtin kListMethods[] = {
    {"copy", "", 0, copy_self},
    {"count", "value", 1, list_count},
    {"index", "value start stop", 1, list_index},
};

constexpr Builtin kLoopMethods[] = {
    {"changed", "*", 0, loop_changed},
    {"cycle", "*", 0, loop_cycle},
};

}  // namespace

const Builtin* find_global(std::string_view name) { return find_in(kGlobals, name); }

const Builtin* find_container_method(const Value& container, std::string_view name) {
  if (container.is(Kind::kDict)) return find_in(kDictMethods, name);
  if (container.is(Kind::kLoop)) return find_in(kLoopMethods, name);
  if (!container.is(Kind::kSequence)) return nullptr;
  const SequenceType type = container.sequence->type;
  if (type > SequenceType::kRange || (type != SequenceType::kList && name == "copy"))
    return nullptr;
  return find_in(kListMethods, name);
}

}  // namespace minke::jinja
