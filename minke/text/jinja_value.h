#pragma once
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "minke/base/json.h"
#include "minke/text/marked_text.h"

/// The values of the Jinja interpreter. A Value is 16 bytes and copied freely; what it points to
/// lives in the Heap of one rendering and is freed with it, so there is no reference counting and
/// no cycle to leak. Strings, lists and dicts never change once made (the sandbox that we follow
/// forbids append, update, ...); only namespaces and loops do.
///
/// Provenance: a string knows which of its bytes came from the caller ("untrusted"), numbers and
/// booleans have one bit for it. Every operation carries this on; when in doubt it marks more.
namespace minke::jinja {

struct Builtin;
struct Function;
struct LoopState;
struct MacroCode;
struct Stmt;
struct Scope;
struct Value;

/// The kinds of value.
enum class Kind : uint8_t {
  kMissing,  ///< no value: an argument that was not given
  kUndefined,
  kNone,
  kBool,
  kInt,
  kFloat,
  kString,
  kSequence,
  kDict,
  kNamespace,
  kFunction,
  kLoop,
};

/// A string: UTF-8 bytes and the sorted, disjoint, non-empty ranges of them that are untrusted.
struct Str {
  std::string_view text;
  std::vector<TextRange> marks{};
  std::string* buffer = nullptr;  ///< the growable storage behind text, see Heap::concat
  bool markup =
      false;  ///< made by `safe` or `escape`: + escapes the other side, as markupsafe does
  mutable int64_t code_points = -1;  ///< counted when first asked for

  bool any_untrusted() const { return !marks.empty(); }
  int64_t length() const;
  bool is_ascii() const { return length() == static_cast<int64_t>(text.size()); }
};

/// What is undefined: a variable, an attribute, an item that is no attribute, or an attribute that
/// the sandbox keeps away.
enum class Missing : uint8_t { kVariable, kAttribute, kElement, kUnsafe };

/// Why a value is undefined: for the message when it is used.
struct Undefined {
  std::string_view name;
  const char* owner = nullptr;  ///< type name of the object that lacks it; null for a variable
  Missing what = Missing::kVariable;
};

struct Sequence;
struct Dict;
struct Namespace;

/// A value of the interpreter; lists, dicts and strings live in the run's arena.
struct Value {
  Kind kind = Kind::kMissing;
  bool untrusted = false;  ///< of bool, int and float; the others carry it inside
  union {
    bool boolean;
    int64_t integer = 0;
    double real;
    const Str* string;
    const Sequence* sequence;
    const Dict* dict;
    Namespace* name_space;
    const Function* function;
    LoopState* loop;
    const Undefined* undefined;
  };

  Value() = default;
  explicit Value(Kind k, bool from_user = false) : kind(k), untrusted(from_user) {}
  static Value none() { return Value(Kind::kNone); }
  static Value of_bool(bool b) {
    Value value(Kind::kBool);
    value.boolean = b;
    return value;
  }
  static Value of_int(int64_t i, bool from_user = false) {
    Value value(Kind::kInt, from_user);
    value.integer = i;
    return value;
  }
  static Value of_float(double d, bool from_user = false) {
    Value value(Kind::kFloat, from_user);
    value.real = d;
    return value;
  }
  static Value of_string(const Str* s) {
    Value value(Kind::kString);
    value.string = s;
    return value;
  }

  bool is(Kind k) const { return kind == k; }
  bool given() const { return kind != Kind::kMissing; }
  bool is_number() const {
    return kind == Kind::kBool || kind == Kind::kInt || kind == Kind::kFloat;
  }
  bool is_integer() const { return kind == Kind::kBool || kind == Kind::kInt; }
  /// The number as Python would convert it; only for is_integer() / is_number().
  int64_t as_int() const { return kind == Kind::kBool ? (boolean ? 1 : 0) : integer; }
  double as_float() const { return kind == Kind::kFloat ? real : static_cast<double>(as_int()); }
};

/// What a sequence prints and compares as.
enum class SequenceType : uint8_t {
  kList,
  kTuple,
  kRange,
  kDictItems,
  kDictKeys,
  kDictValues,
  kGenerator,  ///< what map, select, ... return: can be iterated, has no length, no index
};

/// A list, tuple or another run of values.
struct Sequence {
  SequenceType type = SequenceType::kList;
  std::vector<Value> items;
  std::string range_text;  ///< how a range prints
  bool is_group = false;   ///< a tuple of groupby: has the attributes grouper and list
  /// Of a generator, the items that were taken: each can be had once, as in Python.
  mutable size_t num_taken = 0;
};

/// An insertion-ordered dict. `index` finds the items by the hash of their keys once there are more
/// than a few.
struct Dict {
  std::vector<std::pair<Value, Value>> items;
  mutable std::unordered_multimap<size_t, size_t> index;
};

/// Jinja's namespace(): the one object that templates may change.
struct Namespace {
  std::vector<std::pair<const Str*, Value>> attributes;
};

/// The variables of one block; `parent` is the block around it, or for a macro's body the block
/// where the macro was defined.
struct Scope {
  Scope* parent = nullptr;
  bool captured = false;  ///< a macro refers to it, so it must not be reused
  std::vector<std::pair<std::string_view, Value>> variables;
};

/// A value that can be called: a macro with the scope it was defined in, or a built-in, bound to
/// its object if it is a method.
struct Function {
  std::string_view name;
  const MacroCode* macro = nullptr;
  Scope* scope = nullptr;
  const Builtin* builtin = nullptr;
  Value self{};
};

/// `loop` inside of a for loop; itself callable where the loop is recursive.
struct LoopState {
  const Stmt* statement = nullptr;
  Scope* outer = nullptr;
  const std::vector<Value>* items = nullptr;
  size_t index = 0;
  int64_t depth = 1;
  std::vector<Value> changed{};  ///< the last arguments of loop.changed()
  bool has_changed = false;
};

/// Owns everything that one rendering allocates, and counts what it uses: once over a limit it
/// refuses (try_* return false) and stays refused, and the interpreter stops at its next step.
class Heap {
 public:
  Heap(int64_t steps_max, int64_t memory_bytes_max)
      : steps_left_(steps_max), bytes_left_(memory_bytes_max) {}

  bool try_steps(int64_t steps);
  bool try_bytes(int64_t bytes);
  /// Gives bytes back that were taken for something that is gone now.
  void release(int64_t bytes) { bytes_left_ += bytes; }
  bool has_bytes(int64_t bytes) const { return !exhausted_ && bytes <= bytes_left_; }
  /// Steps for copying or comparing `bytes` bytes: one per 64, which takes as long as a step.
  bool try_work(size_t bytes) { return try_steps(1 + static_cast<int64_t>(bytes / 64)); }
  /// Steps for looking at every character of `bytes` bytes, or searching them: one per 4.
  bool try_scan(size_t bytes) { return try_steps(1 + static_cast<int64_t>(bytes / 4)); }
  /// The characters of `s`; counting them is paid for.
  int64_t length(const Str& s);
  /// Null, or which limit was hit.
  const char* exhausted() const { return exhausted_; }

  /// A string that views `text`, which must outlive the heap.
  Value view(std::string_view text, bool untrusted);
  /// A string with a copy of `text`.
  Value copy(std::string_view text, bool untrusted);
  Value adopt(std::string&& text, std::vector<TextRange>&& marks);
  /// a + b; appends in place where a was the last to grow its buffer, so that building a text in a
  /// loop costs its length and not the square of it.
  Value concat(const Str& a, const Str& b);
  /// The same string as markup.
  Value markup(const Str& s);
  /// Bytes [begin, end) of `s`.
  Value slice(const Str& s, size_t begin, size_t end);

  Value sequence(SequenceType type, std::vector<Value>&& items);
  Value range(std::vector<Value>&& items, std::string text);
  /// The tuple (grouper, list) with these names for its parts.
  Value group(const Value& grouper, const Value& list);
  Value dict(Dict&& dict);
  Value name_space();
  Value undefined(std::string_view name, const char* owner = nullptr,
                  Missing what = Missing::kVariable);
  Value function(Function&& function);
  Scope* scope(Scope* parent);
  LoopState* loop();

  /// Converts the caller's data; it is untrusted unless `trusted`. `json` must outlive the heap.
  Value from_json(const Json& json, bool trusted, int depth = 0);

 private:
  int64_t steps_left_;
  int64_t bytes_left_;
  const char* exhausted_ = nullptr;
  std::deque<std::string> buffers_;
  std::deque<Str> strings_;
  std::deque<Sequence> sequences_;
  std::deque<Dict> dicts_;
  std::deque<Namespace> namespaces_;
  std::deque<Undefined> undefineds_;
  std::deque<Function> functions_;
  std::deque<LoopState> loops_;
  std::deque<Scope> scopes_;
};

/// Builds a string and its marks under the heap's budget.
class MarkedBuilder {
 public:
  explicit MarkedBuilder(Heap& heap) : heap_(&heap) {}

  void append(std::string_view text, bool untrusted);
  void append(const Str& s) { append(s, 0, s.text.size()); }
  /// Bytes [begin, end) of `s`.
  void append(const Str& s, size_t begin, size_t end);
  size_t size() const { return text_.size(); }
  /// Appending does nothing any more: a printer of nested values has to stop its recursion.
  bool exhausted() const { return heap_->exhausted() != nullptr; }
  Heap& heap() { return *heap_; }
  Value finish() { return heap_->adopt(std::move(text_), std::move(marks_)); }
  MarkedText take() { return {std::move(text_), std::move(marks_)}; }

 private:
  void mark(size_t begin, size_t end);

  Heap* heap_;
  std::string text_;
  std::vector<TextRange> marks_;
};

}  // namespace minke::jinja
