#pragma once
#include "minke/text/jinja_interpreter.h"

/// What the interpreter changes for the length of a C++ block and puts back at its end.
namespace minke::jinja {

/// Sets a variable until the end of the block.
template <class T>
struct Switch {
  Switch(T& variable, T value) : variable_(variable), old_(variable) { variable_ = value; }
  ~Switch() { variable_ = old_; }
  Switch(const Switch&) = delete;
  Switch& operator=(const Switch&) = delete;

 private:
  T& variable_;
  T old_;
};
using ScopeSwitch = Switch<Scope*>;
using OutputSwitch = Switch<MarkedBuilder*>;
using FilteredSwitch = Switch<const Value*>;

/// One more level of nesting until the end of the block.
struct Interpreter::Depth {
  explicit Depth(int64_t& depth) : depth_(depth) { ++depth_; }
  ~Depth() { --depth_; }
  Depth(const Depth&) = delete;
  Depth& operator=(const Depth&) = delete;

 private:
  int64_t& depth_;
};

}  // namespace minke::jinja
