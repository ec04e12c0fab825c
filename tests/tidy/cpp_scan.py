"""A small scanner for C++ as clang-format lays it out: finds functions, types and declarations.

It is no parser. It blanks comments, strings and preprocessor lines, and then follows braces through
namespaces and classes; what stands before a brace or a semicolon says what it is. That is enough
for code without macros that open braces.
"""

import re
from dataclasses import dataclass

RAW_STRING = re.compile(r'R"([^()\\ ]{0,16})\(.*?\)\1"', re.DOTALL)
TOKEN = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"([^()\\ ]{0,16})\(.*?\)\1"|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])*'", re.DOTALL)
PREPROCESSOR = re.compile(r"^[ \t]*#(?:[^\n\\]|\\\n|\\.)*", re.MULTILINE)


@dataclass
class Item:
    """Something at namespace scope, or a function anywhere. Lines count from 1."""
    kind: str  # function, type, enum, declaration (a function's), other
    head: str  # the text before the brace or semicolon, white space collapsed
    first_line: int
    last_line: int
    at_namespace_scope: bool
    is_public: bool  # not in an unnamed namespace


def blank(text):
    """Spaces in place of everything but line ends."""
    return re.sub(r"[^\n]", " ", text)


def code_only(source):
    """The source with comments, string contents and preprocessor lines blanked; same lines."""
    def replace(match):
        text = match.group(0)
        if text[0] in "\"'R":
            return '"' + blank(text[1:-1]) + '"' if len(text) > 1 else text
        return blank(text)

    return PREPROCESSOR.sub(lambda match: blank(match.group(0)), TOKEN.sub(replace, source))


def matching_brace(code, begin):
    """The index of the brace that closes the one at `begin`, or the end of the text."""
    depth = 0
    for index in range(begin, len(code)):
        if code[index] == "{":
            depth += 1
        elif code[index] == "}":
            depth -= 1
            if depth == 0:
                return index
    return len(code) - 1


def without_template(head):
    """The head after `template <...>`, `requires` clauses left in place, and attributes."""
    head = re.sub(r"\[\[.*?\]\]|\balignas\s*\([^()]*\)", " ", head).strip()
    while head.startswith("template"):
        begin = head.find("<")
        depth, index = 0, begin
        for index in range(begin, len(head)):
            depth += {"<": 1, ">": -1}.get(head[index], 0)
            if depth == 0:
                break
        head = head[index + 1:].strip()
    return head


def kind_of_block(head):
    """What the brace after `head` opens at namespace or class scope."""
    bare = without_template(head)
    if re.match(r"(inline\s+)?namespace\b|extern\s*\"", bare):
        return "namespace"
    if re.match(r"(typedef\s+)?enum\b", bare):
        return "enum"
    if re.match(r"(typedef\s+)?(class|struct|union)\b", bare) and not bare.endswith(")"):
        return "type"
    bare = re.sub(r"\boperator\s*[^\s(]+", "operator", bare)
    before_parenthesis = bare.split("(", 1)[0]
    if "(" in bare and "=" not in before_parenthesis:
        # A brace after `: member_` initialises the member; the body comes later.
        if re.search(r"\)[^()]*[^:]:[^:]", bare) and re.search(r"[\w>]$", bare):
            return "member"
        return "function"
    return "initializer"


def is_function_declaration(head):
    bare = without_template(head)
    bare = re.sub(r"\boperator\s*[^\s(]+", "operator", bare)
    if re.match(r"(using|typedef|static_assert|friend|extern\s+template|class|struct|enum|union)\b",
                bare):
        return False
    name = re.search(r"([\w:~]+)\s*\(", bare)
    if not name or "=" in bare[:name.end()]:
        return False
    return not re.fullmatch(r"(.*::)?k[A-Z]\w*|[A-Z][A-Z0-9_]+", name.group(1))


class Scanner:
    def __init__(self, source):
        self.code = code_only(source)
        self.line_starts = [0] + [m.end() for m in re.finditer("\n", self.code)]
        self.items = []

    def line(self, index):
        low, high = 0, len(self.line_starts)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.line_starts[middle] <= index else (low, middle)
        return low + 1

    def add(self, kind, begin, end, scope):
        text = self.code[begin:end + 1]
        start = begin + len(text) - len(text.lstrip())
        head = " ".join(re.split(r"[{;]", text, maxsplit=1)[0].split())
        self.items.append(Item(kind, head, self.line(start), self.line(end),
                               scope[0] == "namespace", scope[1]))

    def scan(self, begin, end, scope=("namespace", True)):
        """Scans [begin, end) of a namespace or class. `scope`: (kind, is_public)."""
        index, start, parentheses = begin, begin, 0
        while index < end:
            char = self.code[index]
            if char in "()":
                parentheses += 1 if char == "(" else -1
            elif char == ":" and re.search(r"\b(public|private|protected)\s*$",
                                           self.code[start:index]):
                start = index + 1
            elif char == ";" and parentheses == 0:
                self.statement(start, index, scope)
                start = index + 1
            elif char == "{" and parentheses > 0:
                index = matching_brace(self.code, index)
            elif char == "{":
                close = matching_brace(self.code, index)
                start = self.block(start, index, close, scope)
                index = close
            index += 1

    def statement(self, begin, end, scope):
        head = " ".join(self.code[begin:end].split())
        if head:
            self.add("declaration" if is_function_declaration(head) else "other", begin, end, scope)

    def block(self, begin, brace, close, scope):
        """Takes the block at `brace`; returns where the next statement begins."""
        head = " ".join(self.code[begin:brace].split())
        kind = kind_of_block(head)
        if kind == "namespace":
            unnamed = re.fullmatch(r"(inline )?namespace", head) is not None
            self.scan(brace + 1, close, ("namespace", scope[1] and not unnamed))
        elif kind in ("type", "enum"):
            self.add(kind, begin, close, scope)
            if kind == "type":
                self.scan(brace + 1, close, ("type", scope[1]))
        elif kind == "function":
            self.add(kind, begin, close, scope)
        else:  # an initializer or a member's: the statement goes on
            return begin
        return close + 1


def scan(source):
    """All Items of a source text, outermost first in the order of their lines."""
    scanner = Scanner(source)
    scanner.scan(0, len(scanner.code))
    return sorted(scanner.items, key=lambda item: item.first_line)
