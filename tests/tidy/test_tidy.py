"""Shows that every rule of tidy.py fires on a bad snippet and stays silent on a good one.

Method: a small tree is written to a temporary folder, one thing in it is made wrong, and the rules
that fire are compared with the one expected.
"""

import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cpp_scan  # noqa: E402
import tidy  # noqa: E402

GOOD = {
    "minke/CMakeLists.txt": "mk_folder(base LINK fmt)\nmk_folder(dtype DEPS base)\n"
                            "mk_folder(tensor DEPS dtype LINK x)\nmk_folder(server DEPS tensor)\n",
    "minke/base/check.h": "#pragma once\n\n/// Says so.\nvoid check_it(int value);\n",
    "minke/base/check.cpp": '#include "minke/base/check.h"\n\n#include <string>\n\n'
                            "void check_it(int value) { (void)value; }\n",
    "minke/tensor/view.h": '#pragma once\n#include "minke/base/check.h"\n'
                           '#include "minke/dtype/dtype.h"\n',
    "minke/dtype/dtype.h": "#pragma once\n",
}


def findings_of(changes):
    """The (path, rule) pairs found in the good tree with `changes` ({path: text}) made to it."""
    with tempfile.TemporaryDirectory() as root:
        for path, text in {**GOOD, **changes}.items():
            os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
            with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                file.write(text)
        return {(finding.path, finding.rule) for finding in tidy.check_tree(root)[0]
                if finding.rule != "clang-format"}


class Rules(unittest.TestCase):
    def expect(self, path, text, *rules):
        self.assertEqual(findings_of({path: text}), {(path, rule) for rule in rules})

    def expect_code(self, line, *rules, path="minke/base/some.cpp"):
        self.expect(path, f"void some() {{\n  {line}\n}}\n", *rules)

    def test_a_good_tree_has_no_findings(self):
        self.assertEqual(findings_of({}), set())

    def test_an_include_upwards_is_found(self):
        self.expect("minke/base/up.cpp", '#include "minke/tensor/view.h"\n', "layer")

    def test_an_include_through_two_layers_is_allowed(self):
        self.expect("minke/server/down.cpp", '#include "minke/base/check.h"\n')

    def test_a_folder_without_a_layer_is_found(self):
        self.expect("minke/stray/a.cpp", "", "layer")

    def test_an_include_that_is_not_rooted_is_found(self):
        self.expect("minke/base/near.cpp", '#include "check.h"\n', "rooted-include")

    def test_a_long_file_is_found(self):
        self.expect("minke/base/long.cpp", "\n" * 501, "file-length")
        self.expect("minke/base/long.cpp", "\n" * 500)

    def test_a_long_function_is_found(self):
        def body(lines):
            return "void f(int a = 0) {\n" + "  a++;\n" * (lines - 2) + "}\n"

        self.expect("minke/base/f.cpp", body(71), "function-length")
        self.expect("minke/base/f.cpp", body(70))

    def test_a_long_member_function_with_initialisers_is_found(self):
        code = ("namespace minke {\nclass A {\n public:\n  A() : a_{1}, b_(2) {\n"
                + "    b_++;\n" * 70 + "  }\n  int a_, b_;\n};\n}\n")
        self.expect("minke/base/f.cpp", code, "function-length")

    def test_a_long_python_function_is_found(self):
        self.expect("bench/f.py", "def f():\n" + "    pass\n" * 71, "function-length")

    def test_a_wide_line_is_found(self):
        self.expect("minke/base/wide.cpp", "// " + "x" * 98 + "\n", "line-width")

    def test_banned_names_are_found(self):
        self.expect("minke/base/utils.cpp", "", "banned-name")
        self.expect("tests/helpers/a.cpp", "", "banned-name")

    def test_banned_calls_are_found(self):
        for line in ("strcpy(a, b);", "sprintf(a, b);", "int x = atoi(s);", "int x = rand();",
                     "system(s);", "std::system(s);", "std::regex r(s);", "throw 1;",
                     "using namespace std;", "std::shared_ptr<int> p;", "std::cout << 1;",
                     "std::printf(s);", "getenv(s);", "assert(x);", "auto p = popen(s, t);"):
            path = "minke/server/some.cpp"
            with self.subTest(line):
                self.expect_code(line, "banned-code", path=path)

    def test_what_only_looks_like_a_banned_call_is_allowed(self):
        for line in ("boost::system::error_code e;", "// throw and rand() in a comment",
                     'log("use std::regex, throw");', "operand(1);", "snprintf(a, 1, b);",
                     "static_assert(true);", "x.system(1);", "int system_prompt = 1;"):
            with self.subTest(line):
                self.expect_code(line)

    def test_fmts_debug_format_is_found(self):
        self.expect_code('fail("{:?}", x);', "debug-format")
        self.expect_code('fail("{0:?}", x);', "debug-format")

    def test_banned_calls_are_allowed_at_home(self):
        self.expect_code("std::shared_ptr<int> p;", path="minke/tensor/some.cpp")

    def test_a_library_outside_its_wrapper_is_found(self):
        self.expect("minke/server/j.cpp", "#include <nlohmann/json.hpp>\n", "library")
        self.expect("minke/base/json.cpp", "#include <nlohmann/json.hpp>\n")

    def test_a_header_without_pragma_once_is_found(self):
        self.expect("minke/base/h.h", "\n", "pragma-once")

    def test_a_source_that_includes_its_own_header_late_is_found(self):
        self.expect("minke/base/check.cpp", '#include <string>\n#include "minke/base/check.h"\n',
                    "own-header-first")

    def test_two_types_of_one_name_are_found(self):
        one = "#pragma once\n\nnamespace minke {\n/// Says so.\nstruct A {\n  int a;\n};\n}\n"
        other = "namespace minke {\nstruct A {\n  char a;\n};\n}\n"
        rule = {("minke/server/a.cpp", "one-definition")}
        self.assertEqual(findings_of({"minke/base/a.h": one, "minke/server/a.cpp": other}), rule)
        for apart in (other.replace("minke {", "{"), other.replace("struct A", "struct A::Impl"),
                      "namespace minke {\nstruct A;\n}\n"):
            with self.subTest(apart):
                found = findings_of({"minke/base/a.h": one, "minke/server/a.cpp": apart})
                self.assertEqual(found, set())

    def test_a_todo_needs_an_issue(self):
        self.expect_code("// TODO: later", "todo")
        self.expect_code("// TODO(#12): later")

    def test_public_declarations_need_docstrings(self):
        for code in ("void f(int a);", "struct A {\n  int a;\n};", "enum class E { kA };",
                     "template <class T>\nT f(T a) {\n  return a;\n}", 
                     "class B final : public A {\n};",
                     "[[nodiscard]] Result<int> f(\n    int a, int b);",
                     "bool operator==(const A& a, const A& b);"):
            with self.subTest(code):
                text = "#pragma once\nnamespace minke {\n\n" + code + "\n\n}  // namespace minke\n"
                self.expect("minke/base/d.h", text, "docstring")
                documented = text.replace("minke {\n\n", "minke {\n\n/// Says so.\n")
                self.expect("minke/base/d.h", documented)

    def test_a_run_of_declarations_shares_its_docstring(self):
        run = "#pragma once\n\n/// Two of a kind.\nvoid f(int a);\nvoid g(int a);\n"
        self.expect("minke/base/d.h", run)
        self.expect("minke/base/d.h", run.replace("a);\nvoid g", "a);\n\nvoid g"), "docstring")

    def test_what_needs_no_docstring_is_left_alone(self):
        for code in ("class Forward;", "namespace {\nvoid f();\n}", "constexpr int kA = f(1);",
                     "using A = int;", "template <>\nstruct X<int> {};", "MK_MACRO(a);",
                     "inline int A::size() const { return 1; }"):
            with self.subTest(code):
                self.expect("minke/base/d.h", "#pragma once\n\n" + code + "\n")


class Scanner(unittest.TestCase):
    def test_strings_comments_and_macros_do_not_confuse_the_braces(self):
        source = ('#define A { \\\n  {\nconst char* a = "{";  // {\nchar b = \'{\';\n'
                  'auto c = R"x({ " })x";\n/* { */\nint d = 1\'000;\n'
                  'void f() { g({1}); }\nint e;\n')
        functions = [item for item in cpp_scan.scan(source) if item.kind == "function"]
        self.assertEqual([(f.first_line, f.last_line) for f in functions], [(8, 8)])


if __name__ == "__main__":
    unittest.main()
