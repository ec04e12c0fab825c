#!/usr/bin/env python3
"""Checks the rules of this tree that a machine can check; prints `file:line: rule: message`.

    tests/tidy/tidy.py [ROOT]

Exit code 1 when anything was found. Needs only Python; clang-format-16 is used where it is
installed. tests/tidy/test_tidy.py shows that each rule fires.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cpp_scan  # noqa: E402

FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
LINE_WIDTH_MAX = 100
# Tables of template snippets, where a line is a list of cases.
WIDTH_EXEMPT = {"tests/golden/jinja_golden.py"}
CPP_SUFFIXES = (".h", ".cpp", ".def")
CHECKED_SUFFIXES = CPP_SUFFIXES + (".py", ".sh", ".cmake", ".txt", ".svelte", ".ts")
BANNED_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "core"}

# What minke/ may not contain: (pattern, reason, folders or files where it may).
BANNED_CODE = [
    (r"\b(strcpy|strcat|sprintf|vsprintf|gets|strtok)\s*\(", "writes without a limit", ()),
    (r"\b(atoi|atol|atoll|atof)\s*\(", "cannot report an error; use std::from_chars", ()),
    (r"\b(rand|srand|random_shuffle|drand48)\s*\(", "has no seed of ours; use base/random.h", ()),
    (r"(?<![\w.>:])(?:std::|::)?(system|popen)\s*\(", "goes through a shell; start the program",
     ()),
    (r"\bstd::(basic_)?regex\b", "is slow and overflows the stack on hostile input", ()),
    (r"\bthrow\b", "errors are Result, bugs are MK_CHECK", ()),
    (r"\busing\s+namespace\b", "hides where names come from", ()),
    (r"\b(std::)?(shared_ptr|make_shared|enable_shared_from_this)\b", "is for tensor/ only",
     ("minke/tensor/", "minke/base/log.cpp")),  # spdlog's loggers are shared
    (r"\bstd::c(out|err|in)\b|(?<![\w.>])(std::)?f?printf\s*\(|(?<![\w.>])(std::)?puts\s*\(",
     "printing is for cli/; log with base/log.h",
     ("minke/cli/", "minke/base/log.cpp", "minke/base/check.cpp")),
    (r"\b(secure_)?getenv\s*\(", "settings are passed, not fetched; read them in base/ or cli/",
     ("minke/base/", "minke/cli/", "minke/hub/", "minke/tensor/device.cpp")),
    (r"(?<![\w_])assert\s*\(", "use MK_CHECK or MK_DCHECK", ()),
]

# Each library stands behind one wrapper: (header prefix, folders or files that may include it).
LIBRARIES = [
    ("nlohmann/", ("minke/base/json.cpp",)),
    ("spdlog/", ("minke/base/",)),
    ("CLI/", ("minke/cli/",)),
    ("toml++/", ("minke/base/toml.cpp",)),
    ("boost/", ("minke/server/",)),
    ("curl/", ("minke/hub/",)),
    ("utf8proc.h", ("minke/text/",)),
    ("histedit.h", ("minke/cli/",)),
    ("editline/", ("minke/cli/",)),
]

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)


@dataclass(order=True)
class Finding:
    path: str
    line: int
    rule: str
    message: str

    def __str__(self):
        return f"{self.path}:{self.line}: {self.rule}: {self.message}"


class File:
    """One checked file: its path from the root, its text, and its parts on demand."""

    def __init__(self, root, path):
        self.path = path
        with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
            self.text = file.read()
        self.lines = self.text.splitlines()
        self.is_cpp = path.endswith(CPP_SUFFIXES)
        self.in_minke = path.startswith("minke/")
        self.code = cpp_scan.code_only(self.text) if self.is_cpp else ""
        self.items = cpp_scan.scan(self.text) if path.endswith((".h", ".cpp")) else []

    def line_of(self, index):
        return self.text.count("\n", 0, index) + 1

    def finding(self, line, rule, message):
        return Finding(self.path, line, rule, message)


# ---- rules: each takes a File and yields Findings ----------------------------------------------


def file_length(file):
    if len(file.lines) > FILE_LINES_MAX:
        yield file.finding(FILE_LINES_MAX + 1, "file-length",
                           f"{len(file.lines)} lines when {FILE_LINES_MAX} are the most")


def line_width(file):
    if file.path in WIDTH_EXEMPT:
        return
    for number, line in enumerate(file.lines, 1):
        if len(line) > LINE_WIDTH_MAX and "://" not in line:
            yield file.finding(number, "line-width",
                               f"{len(line)} columns when {LINE_WIDTH_MAX} are the most")


def python_functions(file):
    for node in ast.walk(ast.parse(file.text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name, node.lineno, node.end_lineno


def function_length(file):
    if file.path.endswith(".py"):
        functions = list(python_functions(file))
    else:
        functions = [(item.head, item.first_line, item.last_line) for item in file.items
                     if item.kind == "function"]
    for name, first, last in functions:
        if last - first + 1 > FUNCTION_LINES_MAX:
            yield file.finding(first, "function-length", f"{last - first + 1} lines when "
                               f"{FUNCTION_LINES_MAX} are the most: {name[:60]}")


def banned_name(file):
    for part in file.path.split("/"):
        if os.path.splitext(part)[0] in BANNED_NAMES:
            yield file.finding(1, "banned-name", f"'{part}' says nothing; name the idea")


def banned_code(file):
    if not (file.in_minke and file.is_cpp):
        return
    for pattern, reason, allowed in BANNED_CODE:
        if not file.path.startswith(tuple(allowed)) or not allowed:
            for match in re.finditer(pattern, file.code):
                yield file.finding(file.line_of(match.start()), "banned-code",
                                   f"'{match.group(0).strip()}': {reason}")


def debug_format(file):
    if file.in_minke:
        for match in re.finditer(r"\{[^{}\n]*:\?\}", file.text):
            yield file.finding(file.line_of(match.start()), "debug-format",
                               "fmt 9 aborts on text that ends inside a UTF-8 character")


def library(file):
    for match in INCLUDE.finditer(file.text if file.in_minke else ""):
        for prefix, allowed in LIBRARIES:
            if match.group(2).startswith(prefix) and not file.path.startswith(allowed):
                yield file.finding(file.line_of(match.start()), "library",
                                   f"<{match.group(2)}> belongs behind {' or '.join(allowed)}")


def is_fragment(file):
    """A header that is made to be included several times inside a namespace, and says so."""
    return any("ncluded inside" in line for line in file.lines[:3])


def pragma_once(file):
    if file.path.endswith(".h") and "#pragma once" not in file.text and not is_fragment(file):
        yield file.finding(1, "pragma-once", "a header begins with #pragma once")


def own_header_first(file):
    own = file.path[:-len(".cpp")] + ".h"
    if not (file.path.endswith(".cpp") and file.in_minke and own in file.headers):
        return
    first = INCLUDE.search(file.text)
    if not first or first.group(2) != own:
        yield file.finding(file.line_of(first.start()) if first else 1, "own-header-first",
                           f'the first include should be "{own}"')


def rooted_include(file):
    for match in INCLUDE.finditer(file.text if file.is_cpp else ""):
        if match.group(1) == '"' and not match.group(2).startswith(("minke/", "tests/", "bench/")):
            yield file.finding(file.line_of(match.start()), "rooted-include",
                               f'"{match.group(2)}" should be written from the root of the tree')


def layer(file):
    parts = file.path.split("/")
    if not (file.in_minke and file.is_cpp and len(parts) > 2):
        return
    folder = parts[1]
    if folder not in file.layers:
        yield file.finding(1, "layer",
                           f"minke/{folder} has no mk_folder line in minke/CMakeLists.txt")
        return
    for match in INCLUDE.finditer(file.text):
        target = match.group(2).split("/")
        if target[0] == "minke" and len(target) > 2 and target[1] not in file.layers[folder]:
            yield file.finding(file.line_of(match.start()), "layer",
                               f"minke/{folder} may not include minke/{target[1]}")


def needs_docstring(item):
    """Types and free functions of a header; not specialisations or member definitions."""
    if not (item.at_namespace_scope and item.is_public):
        return False
    if item.kind in ("type", "enum"):
        return not re.match(r"template\s*<\s*>", item.head)
    if item.kind not in ("function", "declaration"):
        return False
    name = re.search(r"([\w:~<>]*|operator\s*[^\s(]+)\s*\(", cpp_scan.without_template(item.head))
    return not (name and "::" in name.group(1).replace("std::", ""))


def docstring(file):
    """A run of declarations without a blank line between them shares the docstring above it."""
    if not (file.path.endswith(".h") and file.in_minke) or is_fragment(file):
        return
    documented_until = -1
    for item in file.items:
        if not item.at_namespace_scope:
            continue
        above = file.lines[item.first_line - 2].strip() if item.first_line > 1 else ""
        here = file.lines[item.last_line - 1]
        if above.startswith("///") or "///<" in here or documented_until == item.first_line - 1:
            documented_until = item.last_line
        elif needs_docstring(item):
            yield file.finding(item.first_line, "docstring", f"no /// above: {item.head[:60]}")


def todo(file):
    for number, line in enumerate(file.lines, 1):
        if re.search(r"\b(TODO|FIXME|XXX)\b(?!\(#\d+\))", line) and "tests/tidy/" not in file.path:
            yield file.finding(number, "todo", "needs an issue number: TODO(#12)")


def defined_types(file):
    """(name, line) of each type that other files could name; of X::Impl the whole name."""
    if not file.in_minke or is_fragment(file):
        return
    for item in file.items:
        if item.kind in ("type", "enum") and item.at_namespace_scope and item.is_public:
            name = re.match(r"(?:class|struct|union|enum(?: class)?) ([\w:]+)(?! ?<)",
                            cpp_scan.without_template(item.head))
            if name and not re.match(r"template\s*<\s*>", item.head):
                yield name.group(1), item.first_line


def one_definition(files):
    """Two types of one name in the program are undefined behaviour that no compiler reports."""
    seen = {}
    for file in files:
        for name, line in defined_types(file):
            if name in seen:
                yield file.finding(line, "one-definition",
                                   f"{name} is defined in {seen[name]} too; rename one")
            seen.setdefault(name, file.path)


RULES = [file_length, line_width, function_length, banned_name, banned_code, debug_format, library,
         pragma_once, own_header_first, rooted_include, layer, docstring, todo]


# ---- the tree ------------------------------------------------------------------------------------


def read_layers(root):
    """{folder: folders it may include}: the transitive DEPS of minke/CMakeLists.txt, and itself."""
    path = os.path.join(root, "minke", "CMakeLists.txt")
    if not os.path.exists(path):
        return {}
    with open(path, encoding="utf-8") as file:
        calls = re.findall(r"^\s*mk_folder\(([^)]*)\)", file.read(), re.MULTILINE)
    direct = {}
    for call in calls:
        name, *rest = call.split()
        deps = rest[rest.index("DEPS") + 1:] if "DEPS" in rest else []
        direct[name] = deps[:deps.index("LINK")] if "LINK" in deps else deps
    layers = {}
    for name, deps in direct.items():  # lowest first, so what is below is known already
        layers[name] = {name}.union(*(layers.get(dep, {dep}) for dep in deps))
    return layers


def list_files(root):
    """What git tracks or would track; every file where there is no repository."""
    if os.path.exists(os.path.join(root, ".git")):
        out = subprocess.run(["git", "-C", root, "-c", "safe.directory=*", "ls-files", "-co",
                              "--exclude-standard", "-z"], capture_output=True, check=True).stdout
        paths = out.decode().split("\0")
    else:
        paths = [os.path.relpath(os.path.join(folder, name), root)
                 for folder, _, names in os.walk(root) for name in names]
    return sorted(path for path in set(paths)
                  if path.endswith(CHECKED_SUFFIXES) and os.path.isfile(os.path.join(root, path)))


def clang_format(root, paths):
    program = shutil.which("clang-format-16")
    if not program or not paths:
        return
    done = subprocess.run([program, "--dry-run", "--style=file", *paths], cwd=root,
                          capture_output=True, text=True)
    seen = set()
    for path, line in re.findall(r"^([^:\n]+):(\d+):\d+: (?:warning|error)", done.stderr,
                                 re.MULTILINE):
        if path not in seen:
            seen.add(path)
            yield Finding(path, int(line), "clang-format", "run clang-format-16 -i on this file")


def check_tree(root):
    """All findings of the tree at `root`, and how many files were read."""
    paths = list_files(root)
    layers, headers = read_layers(root), {path for path in paths if path.endswith(".h")}
    files = [File(root, path) for path in paths]
    findings = list(one_definition(files))
    for file in files:
        file.layers, file.headers = layers, headers
        for rule in RULES:
            findings.extend(rule(file))
    findings.extend(clang_format(root, [path for path in paths if path.endswith((".h", ".cpp"))]))
    return sorted(findings), len(paths)


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "..", "..")
    findings, num_files = check_tree(os.path.abspath(root))
    for finding in findings:
        print(finding)
    print(f"tidy: {num_files} files, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
