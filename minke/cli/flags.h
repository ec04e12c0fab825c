#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "minke/base/result.h"

namespace minke {

/// A flag or place as its command declared it: what help, man page and completion are made of.
struct FlagInfo {
  std::string name;                    ///< long name without dashes, or the word of a place
  char letter = 0;                     ///< short form, 0 for none
  std::string value{};                 ///< what follows the flag, empty for a switch
  std::string help{};                  ///< one sentence without a full stop
  std::vector<std::string> choices{};  ///< the only words that it takes; empty for any
  bool is_place = false;               ///< an argument by its place
  bool is_required = false;
  bool repeats = false;  ///< a place that takes all that are left
};

/// The flags of one command, bound to fields. CLI11 does the parsing, hidden in flags.cpp because
/// its header costs 18 s a file; help texts and suggestions are ours.
///
/// A name is "top-k" or, with a short form, "model,m". Underscores in what the user types count as
/// dashes. A default is what the field holds when it is added.
class Flags {
 public:
  /// Inclusive limits of a number.
  struct Range {
    double low = 0;
    double high = 0;
  };
  enum class Need { kOptional, kRequired };
  enum class Outcome { kRun, kHelp };

  /// `command` and `summary` head the help text.
  Flags(std::string command, std::string summary);
  ~Flags();
  Flags(const Flags&) = delete;
  Flags& operator=(const Flags&) = delete;

  void add(std::string_view name, bool& field, std::string_view help);
  void add(std::string_view name, std::string& field, std::string_view help);
  void add(std::string_view name, int& field, Range range, std::string_view help);
  void add(std::string_view name, int64_t& field, Range range, std::string_view help);
  /// Any number of 64 bits, such as a seed.
  void add(std::string_view name, uint64_t& field, std::string_view help);
  void add(std::string_view name, double& field, Range range, std::string_view help);
  /// May be given several times; each takes one value.
  void add(std::string_view name, std::vector<std::string>& field, std::string_view help);
  /// One of a few words.
  void choice(std::string_view name, std::string& field, std::vector<std::string> allowed,
              std::string_view help);
  /// Counts how often the flag was given (-v, -vv).
  void count(std::string_view name, int& field, std::string_view help);
  /// The flag must be given.
  void require(std::string_view name);

  /// An argument by its place, in the order of the calls. `name` is for the help text.
  void positional(std::string_view name, std::string& field, Need need, std::string_view help);
  /// A place that takes one of a few words.
  void positional_choice(std::string_view name, std::string& field,
                         std::vector<std::string> allowed, std::string_view help);
  /// All places that are left.
  void rest(std::string_view name, std::vector<std::string>& field, std::string_view help);

  /// A line for the examples of the help text.
  void example(std::string_view line);

  /// Adds each field that `config.visit` names; "top_k" becomes --top-k.
  template <class Config>
  void add_visited(Config& config) {
    Visitor visitor{*this};
    config.visit(visitor);
  }

  /// Sets the fields. kUsage, naming the flag and the nearest known one, when that is impossible.
  Result<Outcome> parse(std::span<const std::string> args);
  /// Whether the user gave this flag (its long name).
  bool given(std::string_view name) const;
  /// The help text, from the same rows that parse.
  std::string help() const;
  /// All flags and places in the order in which they were added.
  std::vector<FlagInfo> rows() const;
  const std::vector<std::string>& examples() const;

 private:
  struct Visitor {
    Flags& flags;
    template <class T>
    void operator()(std::string_view name, T& field, std::string_view help) {
      flags.add(name, field, help);
    }
    template <class T, class L>
    void operator()(std::string_view name, T& field, L low, L high, std::string_view help) {
      flags.add(name, field, Range{static_cast<double>(low), static_cast<double>(high)}, help);
    }
  };
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace minke
