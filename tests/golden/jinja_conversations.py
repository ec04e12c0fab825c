"""Compares `minke render` with Python's jinja2 on generated conversations.

Templates are other people's files and so do not lie here: they come from the source package of
llama.cpp (models/templates), as bench/peers gets it, or from folders given with --templates.
Conversations are drawn with a fixed seed: roles in and out of order, empty, missing and multi-part
contents, tools, tool calls, thoughts, Chinese, emoji, injected control words. Where jinja2 raises,
minke must raise: with the same message for raise_exception, else an error of the same kind. Run
with a Python that has jinja2:

    python tests/golden/jinja_conversations.py --minke build/release/minke [--templates DIR]...

Prints one line per template, and exits with 1 when anything differs.
"""

import argparse
import concurrent.futures
import datetime
import json
import os
import random
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)), os.path.join(ROOT, "bench", "peers")]
import jinja_golden  # noqa: E402

# Templates that get --named conversations instead of --others.
NAMED = re.compile(r"SmolLM2|Qwen2\.5-7B|Qwen3-0|Llama-3(\.1)?([-.]8B|\.jinja)|Mistral-(Nemo|7B)|"
                   r"DeepSeek-(V2|V3|R1)|deepseek-r1", re.IGNORECASE)
NOW_SECONDS = 1_700_000_000  # what strftime_now tells, in UTC
SPECIAL_TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}

WORDS = r"""Hello whale the of a 42 3.14 naïve straße ÀÉ İstanbul ﬁne 你好 世界，鲸鱼。 数学：证明 𝒳² ½ Ⅷ ٣
русский עברית 日本語 한국어 🐳 👩‍👩‍👧 é " ' `x` \\ \\n \\u0041 / & < > &amp; <b> {{ messages }} {% raw %}
{# c #} %} }} ${x} %s %(a)s {0} [INST] [/INST] <<SYS>> <s> </s> <|im_start|> <|im_end|>
<|im_start|>system <|eot_id|> <|start_header_id|> <｜User｜> <｜Assistant｜>
<｜end▁of▁sentence｜> <｜tool▁calls▁begin｜> <think> </think> <|channel|> <end_of_turn>
<tool_call> </tool_response> {"a":1} [1,2] null true None ```json ```""".split()
WORDS += ["\u3000", "\xa0", "\u2028", "\u200b", "\t", "\r\n", "\n", "\n\n", "\x07"]
IMAGE = "data:image/png;base64,iVBORw0KGgo="


def text(rng, words_max=12):
    kind = rng.random()
    if kind < 0.06:
        return ""
    if kind < 0.1:
        return rng.choice([" ", "\n", "\n\n", "  \n", "\t"])
    body = " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, words_max)))
    return rng.choice(["", "", "", " ", "\n"]) + body + rng.choice(["", "", "", " ", "\n", "\n\n"])


def value(rng, depth=0):
    """Any JSON value; the numbers are ones that print in different ways."""
    kind = rng.randint(0, 9 if depth < 2 else 6)
    if kind <= 2:
        return text(rng, 3)
    if kind == 3:
        return rng.choice([0, 1, -1, 7, 2**31, -2**53, 9007199254740993, 10**18])
    if kind == 4:
        return rng.choice([0.5, -2.0, 1e-7, 1e22, 3.0, 0.1, 123456789.125, 1e16, 5e-324])
    if kind == 5:
        return rng.choice([True, False])
    if kind == 6:
        return None
    if kind == 7:
        return [value(rng, depth + 1) for _ in range(rng.randint(0, 3))]
    return {rng.choice(["a", "b", "c d", "城市", "x\"y", "items", "keys", "get"]):
            value(rng, depth + 1) for _ in range(rng.randint(0, 3))}


def content(rng, wild):
    kind = rng.random()
    if not wild or kind < 0.6:
        return text(rng)
    if kind < 0.8:
        return None
    parts = []
    for _ in range(rng.randint(0, 3)):
        part = rng.random()
        if part < 0.7:
            parts.append({"type": "text", "text": text(rng, 5)})
        elif part < 0.85:
            parts.append({"type": "image"})
        else:
            parts.append({"type": "image_url", "image_url": {"url": IMAGE}})
    return parts


def schema(rng, depth=0):
    kind = rng.choice(["string", "number", "integer", "boolean", "array", "object"])
    out = {"type": kind}
    if rng.random() < 0.7:
        out["description"] = text(rng, 5)
    if rng.random() < 0.2:
        out["type"] = [kind, "null"]
    if rng.random() < 0.2:
        out["enum"] = [value(rng, 2) for _ in range(rng.randint(1, 3))]
    if rng.random() < 0.1:
        out["default"] = value(rng, 2)
    if kind == "array" and depth < 2:
        out["items"] = schema(rng, depth + 1)
    if kind == "object" and depth < 2:
        out["properties"] = {name: schema(rng, depth + 1)
                             for name in rng.sample(["q", "city", "单位", "n"], rng.randint(0, 3))}
    return out


def tool(rng, name):
    function = {"name": name, "description": text(rng, 8)}
    if rng.random() < 0.9:
        properties = {key: schema(rng) for key in rng.sample(["x", "y", "城市", "unit"],
                                                             rng.randint(0, 3))}
        function["parameters"] = {"type": "object", "properties": properties}
        if rng.random() < 0.6:
            function["parameters"]["required"] = list(properties)[:2]
    if rng.random() < 0.2:
        function["strict"] = True
    if rng.random() < 0.15:
        function["return"] = schema(rng)
    return {"type": "function", "function": function} if rng.random() < 0.95 else function


def tool_call(rng, names, wild, as_text):
    arguments = {rng.choice(["x", "y", "城市", "unit", "items"]): value(rng)
                 for _ in range(rng.randint(0, 3))}
    if as_text:
        arguments = json.dumps(arguments, ensure_ascii=False)
    call = {"function": {"name": rng.choice(names), "arguments": arguments}}
    if not wild or rng.random() < 0.8:
        call["type"] = "function"
    if not wild or rng.random() < 0.8:
        length = rng.choice([9, 9, 8, 24]) if wild else 9  # Mistral's templates want 9
        call["id"] = "".join(rng.choice("abcXYZ019") for _ in range(length))
    return call


def assistant(rng, names, wild, may_call):
    message = {"role": "assistant"}
    if not wild or rng.random() < 0.9:
        message["content"] = content(rng, wild)
    if rng.random() < 0.25:
        message[rng.choice(["reasoning_content", "reasoning", "thinking"])] = text(rng)
    elif rng.random() < 0.2 and isinstance(message.get("content"), str):
        message["content"] = f"<think>{text(rng)}</think>{message['content']}"
    if may_call and rng.random() < 0.5:
        as_text = rng.random() < 0.4
        message["tool_calls"] = [tool_call(rng, names, wild, as_text)
                                 for _ in range(rng.choice([1, 1, 1, 2, 3]))]
        if rng.random() < 0.5:
            message["content"] = rng.choice([None, ""])
    elif wild and rng.random() < 0.1:
        message["tool_calls"] = rng.choice([None, []])
    return message


def tool_results(rng, message, wild):
    for call in message.get("tool_calls") or []:
        if wild and rng.random() < 0.1:
            continue
        result = {"role": "tool", "content": rng.choice([text(rng), json.dumps(value(rng))])}
        if wild:
            result["content"] = rng.choice([content(rng, wild), value(rng)])
        if not wild or rng.random() < 0.9:
            result["tool_call_id"] = call.get("id", "call00000")
        if rng.random() < 0.6:
            result["name"] = call["function"]["name"]
        yield result


def messages(rng, names, wild):
    """A conversation as it should be, or where `wild` with everything that clients get wrong."""
    out = []
    if rng.random() < 0.5:
        role = rng.choice(["system", "developer"]) if wild else "system"
        out.append({"role": role, "content": content(rng, wild)})
    for _ in range(rng.randint(0, 4)):
        out.append({"role": "user", "content": content(rng, wild)})
        calls = rng.random() < 0.4
        out.append(assistant(rng, names, wild, calls))
        out += tool_results(rng, out[-1], wild)
        if calls and rng.random() < 0.8:
            out.append(assistant(rng, names, wild, False))
    if not wild or rng.random() < 0.7 or not out:
        out.append({"role": "user", "content": content(rng, wild)})
    if wild and rng.random() < 0.3:
        rng.shuffle(out)
    if wild and rng.random() < 0.15:
        out.insert(rng.randint(0, len(out)), {"role": rng.choice(["ipython", "function", "alien"]),
                                              "content": text(rng)})
    if wild and rng.random() < 0.15:
        rng.choice(out).pop("role" if rng.random() < 0.3 else "content", None)
    return out


def conversation(rng):
    """The variables of one rendering."""
    names = ["get_weather", "add", "搜索", "brave_search"][:rng.randint(1, 4)]
    out = {"messages": messages(rng, names, wild=rng.random() < 0.35), "tools": None,
           "add_generation_prompt": rng.random() < 0.7}
    if rng.random() < 0.5:
        out["tools"] = [tool(rng, name) for name in names] if rng.random() < 0.95 else []
    options = {"enable_thinking": [True, False], "thinking": [True, False],
               "reasoning_effort": ["low", "high", "none"], "date_string": ["26 Jul 2024"],
               "builtin_tools": [["brave_search"], []], "tools_in_user_message": [True, False],
               "documents": [[{"title": "T", "text": text(rng)}], []],
               "keep_past_thinking": [True], "xml_tools": [["a"]], "add_default_system_prompt": [0]}
    for name, values in options.items():
        if rng.random() < 0.25:
            out[name] = rng.choice(values)
    return out


def expected(env, source, variables):
    """("text", text), ("raised", message) or ("error", class name) of jinja2."""
    try:
        template = env.from_string(source)
        return "text", template.render(**{"documents": None, **SPECIAL_TOKENS, **variables})
    except Exception as error:
        raised = type(error).__name__ == "TemplateError"
        return ("raised", str(error)) if raised else ("error", f"{type(error).__name__}: {error}")


def render(minke, path, variables):
    """What minke makes of it, in the same form; an error as ("failed", message)."""
    extra = {name: item for name, item in variables.items()
             if name not in ("messages", "tools", "add_generation_prompt")}
    document = {"messages": variables["messages"], "tools": variables["tools"],
                "chat_template_kwargs": extra}
    command = [minke, "render", path, "--messages", "-", "--now", str(NOW_SECONDS)]
    for name, item in SPECIAL_TOKENS.items():
        command += ["--" + name.replace("_", "-"), item]
    if not variables["add_generation_prompt"]:
        command.append("--no-generation-prompt")
    done = subprocess.run(command, input=json.dumps(document).encode(), capture_output=True)
    if done.returncode == 0:
        return "text", done.stdout.decode()
    if done.returncode not in (2, 5, 7):
        return "crashed", f"exit code {done.returncode}: {done.stderr.decode()}"
    return "failed", done.stderr.decode()


def agrees(want, got):
    kind, detail = want
    if kind == "text":
        return got == want
    if got[0] != "failed":
        return False
    if kind == "raised":
        return detail[:900] in got[1]
    # The message tells an undefined value from a value of the wrong type.
    undefined = "undefined" in got[1] or "has no attribute" in got[1] or "has no element" in got[1]
    return undefined == detail.startswith("UndefinedError")


def compare(env, minke, path, count, show):
    """(equal, raised as well, different) over `count` conversations."""
    with open(path, encoding="utf-8", newline="") as file:
        source = file.read()
    equal = raised = different = 0
    for index in range(count):
        variables = conversation(random.Random(f"{os.path.basename(path)} {index}"))
        want = expected(env, source, variables)
        got = render(minke, path, variables)
        if not agrees(want, got):
            different += 1
            if different <= show:
                print(f"--- {path} conversation {index}\n{json.dumps(variables)}\n"
                      f"jinja2: {want!r}\nminke:  {got!r}", file=sys.stderr)
        elif want[0] == "text":
            equal += 1
        else:
            raised += 1
    return equal, raised, different


def environment():
    env = jinja_golden.make_environment()
    now = datetime.datetime.fromtimestamp(NOW_SECONDS, datetime.timezone.utc)
    env.globals["strftime_now"] = now.strftime
    return env


def template_files(folders):
    for folder in folders:
        for name in sorted(os.listdir(folder)):
            if name.endswith(".jinja"):
                yield os.path.join(folder, name)


def package_folder():
    import llama_cpp

    cache = llama_cpp.cache_folder()
    os.makedirs(cache, exist_ok=True)
    return os.path.join(llama_cpp.fetch_source(cache), "models", "templates")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--minke", default=os.path.join(ROOT, "build", "release", "minke"))
    parser.add_argument("--templates", action="append", help="folder of .jinja files instead")
    parser.add_argument("--named", type=int, default=200, help="conversations for named templates")
    parser.add_argument("--others", type=int, default=10, help="conversations for the others")
    parser.add_argument("--only", default="", help="only templates whose path matches this regex")
    parser.add_argument("--show", type=int, default=1, help="differences to print per template")
    options = parser.parse_args()
    env = environment()
    paths = [path for path in template_files(options.templates or [package_folder()])
             if re.search(options.only, path)]
    totals = [0, 0, 0]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        def work(path):
            count = options.named if NAMED.search(os.path.basename(path)) else options.others
            return path, compare(env, options.minke, path, count, options.show)

        for path, counts in pool.map(work, paths):
            print("{1:5} equal {2:4} raised {3:4} different  {0}".format(
                os.path.basename(path), *counts), flush=True)
            totals = [a + b for a, b in zip(totals, counts)]
    print("{1:5} equal {2:4} raised {3:4} different  in {0} templates".format(len(paths), *totals))
    return 1 if totals[2] or not paths else 0


if __name__ == "__main__":
    sys.exit(main())
