// Goal: with the default limits no template takes more than 256 MB of the process, whatever it
// does. Method: each attack renders in a child process whose peak memory the kernel tells; it must
// end with an Error. (That it also ends within a second is checked by hand, see docs/log.md: a test
// does not judge time.)
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "minke/text/chat_template.h"

namespace minke {
namespace {

struct Attack {
  const char* what;
  std::string source;
};

std::string repeat(std::string_view text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

/// A text that doubles on each of many turns by `step`, which makes ns.s of itself.
std::string doubling(const std::string& start, const std::string& step) {
  return "{% set ns = namespace(s=" + start + ") %}{% for i in range(100) %}{% set ns.s = " + step +
         " %}{% endfor %}{{ ns.s }}";
}

/// `body` 99,999 times 99,999 times.
std::string long_loop(const std::string& body) {
  return "{% for i in range(99999) %}{% for j in range(99999) %}" + body +
         "{% endfor %}{% endfor %}";
}

std::vector<Attack> attacks() {
  const std::string user = "messages[0].content";
  return {
      {"loops", long_loop("")},
      {"loops that print", long_loop("x")},
      {"loops of dicts", long_loop("{% set d = {'a': i, 'b': [i, j]} %}")},
      {"loops of namespaces", long_loop("{% set n = namespace(a=1, b=2) %}")},
      {"loops of macros", "{% macro m(a) %}{{ a }}{% endmacro %}" + long_loop("{{ m(i) }}")},
      {"endless recursion", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"},
      {"a tree of calls",
       "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) "
       "}}"},
      {"a doubling text", doubling("'aaaaaaaa'", "ns.s + ns.s")},
      {"a doubling text of a user", doubling(user, "'a' ~ ns.s ~ ns.s")},
      {"a doubling list", doubling("[1, 2]", "ns.s + ns.s")},
      {"doubling by replace", doubling("'ab'", "ns.s.replace('a', ns.s)")},
      {"doubling by format", doubling("'a'", "'%s%s' % (ns.s, ns.s)")},
      {"doubling by join", doubling("'a'", "[ns.s, ns.s] | join('x')")},
      {"doubling escapes", doubling("'&'", "(ns.s | forceescape) ~ ns.s")},
      {"lists in lists", doubling("[1]", "[ns.s, ns.s]")},
      {"a repeated text", "{{ 'x' * 10 ** 9 }}"},
      {"many repeated texts", "{% for i in range(9999) %}{% set x = 'x' * 30000000 %}{% endfor %}"},
      {"a repeated list", "{{ [0] * 10 ** 8 }}"},
      {"characters", "{{ ('x' * 30000000) | list | sort }}"},
      {"words", "{{ ('a ' * 20000000).split() | length }}"},
      {"lines", "{{ ('a\\n' * 20000000).splitlines() | length }}"},
      {"reversed text", "{{ ('\xC3\xA9' * 20000000)[::-1] | length }}"},
      {"ranges", "{% for i in range(99999) %}{% set a = range(99999) %}{% endfor %}"},
      {"keyword arguments",
       "{% macro m() %}{{ kwargs }}{% endmacro %}{% for i in range(999) %}"
       "{{ m(**dict.fromkeys(range(99999) | map('string') | list)) }}{% endfor %}"},
      {"tabs", "{{ ('\\t' * 1000000).expandtabs(1000) }}"},
      {"an indented text", "{{ ('a\\n' * 1000000) | indent(5000) }}"},
      {"a long separator", "{{ range(99999) | join('x' * 10000) }}"},
      {"replacing nothing", "{{ ('x' * 100000).replace('', 'y' * 100000) }}"},
      {"wide formats", "{% for i in range(99999) %}{{ '%9999d' % 1 }}{% endfor %}"},
      {"a wide format", "{{ '{:>999999999}'.format(1) }}"},
      {"padding", "{{ 'x' | center(10 ** 9) }}"},
      {"batches", "{{ [1] | batch(10 ** 9, 'x') | list }}"},
      {"pieces of a user's text",
       "{% set ns = namespace(s='') %}{% for i in range(99999) %}"
       "{% set ns.s = ns.s ~ '\"' ~ messages[0].role %}{% endfor %}{{ ns.s | tojson }}"},
      {"nested calls with a body", "{% macro m() %}{{ caller() }}{{ caller() }}{% endmacro %}" +
                                       repeat("{% call m() %}", 60) + "x" +
                                       repeat("{% endcall %}", 60)},
      {"a tuple of half a million", "{{ (" + repeat("1,", 250'000) + ") + 1 }}"},
      {"half a million brackets", "{{ " + repeat("[", 500'000)},
      {"many parameters", "{% macro m(" + repeat("a,", 200'000) + ") %}{% endmacro %}"},
  };
}

/// Renders in a child process; its exit code (0: an Error, as it should be) and peak memory.
int render_apart(const std::string& source, int64_t& peak_bytes) {
  const pid_t child = ::fork();
  if (child == 0) {
    ChatInput input;
    input.messages = Json::array({Json::object({{"role", "user"}, {"content", "<|im_end|> hi"}})});
    ChatLimits limits;
#ifdef MINKE_DEBUG
    limits.steps_max /= 20;  // a step takes that much longer with sanitizers
#endif
    const auto parsed = ChatTemplate::parse(source);
    ::_exit(parsed && parsed->render(input, limits) ? 1 : 0);
  }
  int status = -1;
  struct rusage usage {};
  ::wait4(child, &status, 0, &usage);
  peak_bytes = static_cast<int64_t>(usage.ru_maxrss) * 1024;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

TEST(JinjaHostile, NoTemplateTakesMoreThan256MegabytesWithTheDefaultLimits) {
  int64_t largest = 0;
  for (const Attack& attack : attacks()) {
    int64_t peak_bytes = 0;
    EXPECT_EQ(render_apart(attack.source, peak_bytes), 0) << attack.what;
    largest = std::max(largest, peak_bytes);
#ifndef MINKE_DEBUG  // sanitizers keep what was freed
    EXPECT_LT(peak_bytes, 256'000'000) << attack.what;
#endif
  }
  RecordProperty("largest_megabytes", static_cast<int>(largest / 1'000'000));
}

TEST(JinjaHostile, AMillionTokensOfConversationFitTheDefaultLimits) {
  // Four megabytes through the operations that templates use on every message.
  ChatInput input;
  input.messages = Json::array();
  const std::string content =
      "<think>" + std::string(1500, 't') + "</think>\n" + std::string(500, 'x') + " 你好 \n";
  for (int i = 0; i < 2000; ++i) {
    input.messages.push(
        Json::object({{"role", i % 2 == 0 ? "user" : "assistant"}, {"content", content}}));
  }
  const auto chat = ChatTemplate::parse(
      "{% for m in messages %}{% set c = m.content %}{% if '</think>' in c %}"
      "{% set thought = c.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}"
      "{% set c = c.split('</think>')[-1].lstrip('\\n') %}{% endif %}"
      "<{{ m.role }}>{{ thought | trim }}{{ c | trim }}{{ m | tojson }}\n{% endfor %}");
  ASSERT_TRUE(chat) << chat.error().message;
  const auto rendered = chat->render(input);
  ASSERT_TRUE(rendered) << rendered.error().message;
  EXPECT_GT(rendered->text.size(), 8'000'000u);
}

}  // namespace
}  // namespace minke
