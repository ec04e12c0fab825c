#!/usr/bin/env python3
"""Makes tests/golden/tokenizer_smollm2.jsonl: texts and the token ids that llama.cpp gives them.

    tokenizer_golden.py LLAMA_SERVER MODEL.gguf [--count N] [--seed S] [--out FILE]

Starts llama-server (its /tokenize takes many strings a request) and tokenizes a corpus made from a
seed: every Unicode plane, emoji, CJK, digits, white-space runs, contractions, code, special tokens
as text, and mixtures. Only code points that Python's unicodedata knows as assigned are used. The
first line of the output records the versions; the others are {"text": ..., "ids": [...]}.
"""

import argparse
import hashlib
import json
import pathlib
import random
import socket
import subprocess
import sys
import time
import unicodedata
import urllib.error
import urllib.request

BATCH = 500
SEPARATOR_ID = 0  # <|endoftext|>: never comes from text, as special tokens are not parsed

WORDS = """the a of and to in is you that it he was for on are as with his they at be this have from
I'm you're we've they'll it's can't He'd DON'T O'Neil rock'n'roll '' 's 'S 'll 'LL 've 're 'd 't 'm
Hello, world! foo_bar fooBar FooBar2000 x=1; if(a<b){return c;} \\n <|im_end|> <|im_start|>user
<|endoftext|> <repo_name> <|im_ <reponame> </s> [INST] http://a.b/c?d=e&f=g user@host.org 3.14159 -1e-9
0x1F 1,000,000 2024-02-29 naïve café Zürich Straße ŒUVRE ﬁne İstanbul ΑΒΓ привет мир שלום مرحبا
नमस्ते สวัสดี 你好，世界 こんにちは 안녕하세요 👍🏽 👨‍👩‍👧‍👦 🇩🇪 ❤️ é e\u0301 ① ½ Ⅷ ٣ ५ 二〇二四 ＡＢＣ１２３ ² a² ﷺ""".split()
SPACES = [" ", "  ", "   ", "\n", "\n\n", "\t", "\r\n", " \n", "\n ", " \n ", "\u00a0", "\u3000",
          "\u2003", "\u2028", "\u0085", "\u200b", "\u180e", "\x0b", "\x0c", "\x1c", "\ufeff", ""]
SIZES = [1, 1, 2, 3, 4, 6, 10, 20]


def code_points():
    """Assigned code points by general category, without surrogates and private use."""
    groups = {}
    for code_point in range(1, 0x110000):
        category = unicodedata.category(chr(code_point))
        if category not in ("Cn", "Cs", "Co"):
            groups.setdefault(category, []).append(chr(code_point))
    return groups


def planes():
    """The same by plane; planes 15 and 16 are private use but assigned."""
    groups = {}
    for code_point in range(1, 0x110000):
        if unicodedata.category(chr(code_point)) not in ("Cn", "Cs"):
            groups.setdefault(code_point >> 16, []).append(chr(code_point))
    return groups


def make_texts(count, seed):
    rng = random.Random(seed)
    by_category, by_plane = code_points(), planes()
    everything = [c for group in by_category.values() for c in group]
    cjk = [chr(c) for c in range(0x4E00, 0x9FFD)]
    emoji = [chr(c) for c in range(0x1F300, 0x1F650)] + ["\u200d", "\ufe0f", "\U0001F3FD"]
    ascii_text = [chr(c) for c in range(1, 127)]
    latin = [chr(c) for c in range(0xA0, 0x250)]

    def draw(group):
        return "".join(rng.choice(group) for _ in range(rng.choice(SIZES)))

    makers = [
        lambda: draw(ascii_text),
        lambda: draw(latin),
        lambda: draw(cjk),
        lambda: draw(emoji),
        lambda: draw(everything),
        lambda: draw(rng.choice(list(by_category.values()))),
        lambda: draw(rng.choice(list(by_plane.values()))),
        lambda: draw("0123456789"),
        lambda: draw(SPACES),
        lambda: rng.choice(WORDS),
        lambda: rng.choice("ab !\n" + "=-\t.") * rng.choice([1, 2, 5, 17, 40]),
    ]
    for word in WORDS + SPACES[:-1]:
        yield word
    for _ in range(count):
        parts = [rng.choice(makers)() for _ in range(rng.choice([1, 1, 2, 3, 5]))]
        yield rng.choice(SPACES).join(parts) if rng.random() < 0.5 else "".join(parts)


class Server:
    def __init__(self, binary, model):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process = subprocess.Popen(
            [binary, "-m", model, "--port", str(self.port), "-c", "256", "-np", "1", "--no-warmup"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health")
                return
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.1)
        sys.exit("llama-server did not start")

    def tokenize(self, texts):
        content = []
        for text in texts:
            content += [text, SEPARATOR_ID]
        body = {"content": content, "add_special": False, "parse_special": False}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/tokenize",
                                         json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        tokens = json.load(urllib.request.urlopen(request))["tokens"]
        ids, current = [], []
        for token in tokens:
            if token == SEPARATOR_ID:
                ids.append(current)
                current = []
            else:
                current.append(token)
        assert len(ids) == len(texts), (len(ids), len(texts))
        return ids

    def close(self):
        self.process.terminate()
        self.process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("llama_server")
    parser.add_argument("model")
    parser.add_argument("--count", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=20261122)
    parser.add_argument("--out", default=str(pathlib.Path(__file__).with_name(
        "tokenizer_smollm2.jsonl")))
    args = parser.parse_args()

    version = subprocess.run([args.llama_server, "--version"], capture_output=True, text=True)
    version = (version.stdout + version.stderr).strip().splitlines()
    texts = list(dict.fromkeys(t for t in make_texts(args.count, args.seed) if t))
    server = Server(args.llama_server, args.model)
    try:
        with open(args.out, "w", encoding="utf-8") as out:
            digest = hashlib.sha256(pathlib.Path(args.model).read_bytes()).hexdigest()
            head = {"llama_cpp": next((v for v in version if "version" in v), "unknown"),
                    "model_sha256": digest, "unicode": unicodedata.unidata_version,
                    "python": sys.version.split()[0], "seed": args.seed, "texts": len(texts)}
            print(json.dumps(head), file=out)
            for begin in range(0, len(texts), BATCH):
                batch = texts[begin:begin + BATCH]
                for text, ids in zip(batch, server.tokenize(batch)):
                    line = {"text": text, "ids": ids}
                    print(json.dumps(line, ensure_ascii=False, separators=(",", ":")), file=out)
    finally:
        server.close()


if __name__ == "__main__":
    main()
