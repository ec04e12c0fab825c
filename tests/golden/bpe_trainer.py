#!/usr/bin/env python3
"""Makes tests/golden/bpe_trainer.json: what Hugging Face's BpeTrainer learns.

    bpe_trainer.py [--check]
    bpe_trainer.py --speed TEXT VOCABULARY MINKE   CPU and wall seconds of both, in turns

The texts are those of tokenizer_hf/texts.jsonl in one, and words of three letters with long runs,
which are full of ties and of pairs that overlap. The limited alphabet ends between two bytes of
different frequency: among equals BpeTrainer takes any. --check learns all anew and compares.
"""

import json
import os
import pathlib
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time

import tokenizers
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import tokenizer_pipelines  # noqa: E402

PATH = pathlib.Path(__file__).with_suffix(".json")
TEXTS = PATH.with_name("tokenizer_hf") / "texts.jsonl"
SPECIAL = ["<|endoftext|>", "<|im_start|>"]


def texts():
    lines = TEXTS.read_text(encoding="utf-8").split("\n")[1:-1]
    draw = random.Random(20261124)
    words = ["".join(draw.choice("aab" if i % 3 else "ab\n") for _ in range(draw.randint(1, 60)))
             for i in range(60)]
    return {"planes": "".join(json.loads(line) for line in lines), "ties": " ".join(words)}


def cases():
    """(text, pre-tokenizer, vocabulary, least frequency, limit of the alphabet, line by line)"""
    for name in ["gpt-2", "smollm", "llama-bpe", "qwen2", "deepseek-llm", "deepseek-coder",
                 "deepseek-v3"]:
        yield "planes", name, 420, 0, 0, False
    yield "planes", "gpt-2", 2000, 2, 0, False
    yield "planes", "llama-bpe", 300, 0, 0, True
    yield "planes", "gpt-2", 300, 0, 99, False
    yield "ties", "gpt-2", 900, 0, 0, False


def learn(text, name, vocab_size, min_frequency, limit_alphabet, lines):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = tokenizer_pipelines.pipelines()[name][1]
    alphabet = ({"limit_alphabet": limit_alphabet} if limit_alphabet else
                {"initial_alphabet": pre_tokenizers.ByteLevel.alphabet()})
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, min_frequency=min_frequency,
                                  special_tokens=SPECIAL, show_progress=False, **alphabet)
    parts = re.findall(r"[^\n]*\n|[^\n]+", text) if lines else [text]
    tokenizer.train_from_iterator(parts, trainer)
    return json.loads(tokenizer.to_str())["model"]


def make():
    sources = texts()
    rows = []
    for case in cases():
        model = learn(sources[case[0]], *case[1:])
        ids = model["vocab"]
        row = dict(zip(["text", "pretokenizer", "vocab_size", "min_frequency", "limit_alphabet",
                        "lines"], case))
        row["tokens"] = sorted(ids, key=ids.get)
        row["merges"] = [[ids[left], ids[right]] for left, right in model["merges"]]
        rows.append(row)
    return {"tokenizers": tokenizers.__version__, "special_tokens": SPECIAL, "texts": sources,
            "cases": rows}


def seconds_of(command):
    """CPU and wall seconds of a process."""
    before, start = os.times(), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    return (after.children_user + after.children_system - before.children_user
            - before.children_system, time.perf_counter() - start)


def speed(path, vocab_size, minke, rounds=5):
    """The peer reads the file as a whole, as minke does, and writes the same file."""
    code = ("import sys; from tokenizers import *; from tokenizers import pre_tokenizers as p\n"
            "t = Tokenizer(models.BPE()); t.pre_tokenizer = p.ByteLevel(add_prefix_space=False)\n"
            "r = trainers.BpeTrainer(vocab_size=int(sys.argv[2]), show_progress=False,\n"
            "                        initial_alphabet=p.ByteLevel.alphabet())\n"
            "t.train_from_iterator([open(sys.argv[1], newline='').read()], r)\n"
            "t.save(sys.argv[3])\n")
    with tempfile.TemporaryDirectory() as folder:
        sides = {"minke": [minke, "tokenizer", "train", path, "--out", folder, "--force", "--eos",
                           "", "--vocab-size", vocab_size],
                 "tokenizers": [sys.executable, "-c", code, path, vocab_size,
                                os.path.join(folder, "peer.json")],
                 "import only": [sys.executable, "-c", "import tokenizers"]}
        times = {name: [] for name in sides}
        for _ in range(rounds):
            for name, command in sides.items():
                times[name].append(seconds_of(command))
    for name, rows in times.items():
        cpu, wall = (statistics.median(column) for column in zip(*rows))
        print(f"{name:<12} {cpu:.3f} s CPU, {wall:.3f} s wall, medians of {rounds}")


def main():
    if sys.argv[1:2] == ["--speed"]:
        speed(*sys.argv[2:])
        return
    made = json.dumps(make(), ensure_ascii=False, separators=(",", ":")).replace("},{", "},\n{")
    if sys.argv[1:] == ["--check"]:
        same = PATH.read_text(encoding="utf-8") == made + "\n"
        print("the same" if same else "differs")
        sys.exit(0 if same else 1)
    PATH.write_text(made + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
