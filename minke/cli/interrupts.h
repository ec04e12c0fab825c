#pragma once

namespace minke {

/// While it lives, Ctrl-C (SIGINT) and SIGTERM are counted instead of ending the program, so that a
/// command can stop cleanly. Only one may live at a time; the old handlers come back at its end.
class Interrupts {
 public:
  Interrupts();
  ~Interrupts();
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;

  /// How many came since the start or the last clear(). Safe from any thread.
  int count() const;
  /// Whether SIGTERM was among them.
  bool terminated() const;
  void clear();

  /// Whether one lives now.
  static bool any();
  /// Whether the last one that lived (or the one that does) saw SIGTERM.
  static bool last_was_terminated();
};

}  // namespace minke
