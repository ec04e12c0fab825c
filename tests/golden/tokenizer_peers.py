#!/usr/bin/env python3
"""Compares minke's ids with llama.cpp's and Hugging Face's on real vocabularies.

    tokenizer_peers.py [--minke BINARY] [--count N] [--seed S] [--speed MB] [NAME...]

The vocabularies are the ggml-vocab-*.gguf files in the source package of llama-cpp-python, which
bench/peers/llama_cpp.py downloads and builds. Three comparisons for each:

1. the .inp and .out files beside it, where there are such;
2. llama.cpp's own library on texts of all planes (golden/tokenizer_golden.py makes them);
3. Hugging Face's tokenizers with the published pipeline, minke reading the tokenizer.json.

Before it matches an expression with ranges of code points, llama.cpp replaces white space beyond
ASCII by a control character, so that it is in none of the ranges. DeepSeek-LLM's and -Coder's
have such (U+0800 to U+4E00, U+3000 to U+3002): texts with it are left out of 2 for these two.
Texts whose normal form C or punctuation tokenizers does not know (its tables are of Unicode 8 and
9) are left out of 3. --speed also encodes so many megabytes of text with both programs, one thread
each, and prints MB per second.
"""

import argparse
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import time
import unicodedata

os.environ.update(TOKENIZERS_PARALLELISM="false", RAYON_NUM_THREADS="1")
import gguf  # noqa: E402
from tokenizers import (AddedToken, Tokenizer, decoders, models, normalizers,  # noqa: E402
                        pre_tokenizers)

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(HERE), str(ROOT / "bench" / "peers")]
import llama_cpp  # noqa: E402
import tokenizer_golden  # noqa: E402
import tokenizer_pipelines  # noqa: E402

SEPARATOR = "\n__ggml_vocab_test__\n"
NAMES = ["gpt-2", "starcoder", "refact", "command-r", "llama-bpe", "qwen2", "qwen35",
         "deepseek-llm", "deepseek-coder", "falcon", "mpt", "llama-spm", "phi-3", "gemma-4"]
WIDE_SPACES = {chr(c) for c in (0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F,
                                0x3000)}
CONTROL, USER_DEFINED, BYTE = 3, 4, 6


def contents(reader, key):
    return reader.fields[f"tokenizer.ggml.{key}"].contents()


def sentencepiece_merges(tokens, types, scores):
    """The merges that the scores stand for, best first: every way to put a token together."""
    ids = {token: i for i, token in enumerate(tokens)}
    merges = []
    for token, i in ids.items():
        if types[i] in (2, CONTROL, BYTE):
            continue
        for at in range(1, len(token)):
            if token[:at] in ids and token[at:] in ids:
                merges.append((-scores[i], i, token[:at], token[at:]))
    return [(left, right) for _, _, left, right in sorted(merges)]


def hugging_face(path):
    """A vocabulary as Hugging Face's Tokenizer."""
    reader = gguf.GGUFReader(path)
    tokens, types = contents(reader, "tokens"), contents(reader, "token_type")
    vocab = {token: i for i, token in enumerate(tokens)}
    kind = contents(reader, "model")
    if kind == "gpt2":
        name = contents(reader, "pre")
        merges = [tuple(merge.split(" ")) for merge in contents(reader, "merges")]
        tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges,
                                         ignore_merges=name == "llama-bpe"))
        normalizer, tokenizer.pre_tokenizer = tokenizer_pipelines.pipelines()[name]
        if normalizer is not None:
            tokenizer.normalizer = normalizer
        tokenizer.decoder = decoders.ByteLevel()
    else:
        if kind == "llama":
            merges = sentencepiece_merges(tokens, types, contents(reader, "scores"))
            normalizer = normalizers.Sequence([normalizers.Prepend("▁"),
                                               normalizers.Replace(" ", "▁")])
        else:
            cuts = [(merge, merge.index(" ", 1)) for merge in contents(reader, "merges")]
            merges = [(merge[:at], merge[at + 1:]) for merge, at in cuts]
            normalizer = normalizers.Replace(" ", "▁")
        tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, byte_fallback=True,
                                         fuse_unk=True, unk_token="<unk>"))
        tokenizer.normalizer = normalizer
        if kind != "llama":
            tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    added = [(token, kind) for token, kind in zip(tokens, types)
             if kind in (2, CONTROL, USER_DEFINED)]
    # Ends of text are control tokens in minke whatever their type.
    special = [kind != USER_DEFINED or token == "</s>" for token, kind in added]
    for wanted, add in ((False, tokenizer.add_tokens), (True, tokenizer.add_special_tokens)):
        add([AddedToken(token, special=wanted, normalized=False)
             for (token, _), is_special in zip(added, special) if is_special == wanted])
    return tokenizer


def build_lines_program(programs, folder):
    """Compiles llama_tokenize_lines.cpp against the peer's library."""
    source = pathlib.Path(llama_cpp.fetch_source(llama_cpp.cache_folder()))
    program = os.path.join(folder, "llama_tokenize_lines")
    subprocess.run(["c++", "-std=c++17", "-O1", "-I", str(source / "include"),
                    "-I", str(source / "ggml" / "include"),
                    str(HERE / "llama_tokenize_lines.cpp"), "-o", program, "-L", programs,
                    "-lllama", "-lggml", "-lggml-base", f"-Wl,-rpath,{programs}"], check=True)
    return program


def rows(text):
    return [json.loads(line) for line in text.splitlines()]


def minke_ids(binary, path, texts):
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    done = subprocess.run([binary, "tokenize", str(path), "--lines"], input=lines,
                          stdout=subprocess.PIPE, text=True, check=True)
    return rows(done.stdout)


def llama_ids(program, path, texts):
    data = b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in texts)
    done = subprocess.run([program, str(path)], input=data, stdout=subprocess.PIPE, check=True)
    return rows(done.stdout.decode())


def compare(label, texts, ours, theirs):
    """True when all are equal; shows the first few that are not."""
    assert len(texts) == len(ours) == len(theirs), (label, len(texts), len(ours), len(theirs))
    bad = [i for i in range(len(texts)) if ours[i] != theirs[i]]
    print(f"  {label:<28}{len(texts):>6} texts {len(bad):>5} differ", flush=True)
    for i in bad[:3]:
        print(f"    {ascii(texts[i][:60])}: {ours[i][:10]} and {theirs[i][:10]}")
    return not bad


def measure_speed(binary, path, tokenizer, megabytes):
    """Both programs on the same text: Python's own library sources, repeated as needed."""
    text = ""
    for source in sorted(pathlib.Path(os.__file__).parent.rglob("*.py")):
        text += source.read_text(encoding="utf-8", errors="ignore")
        if len(text) > megabytes * 1e6:
            break
    text = text.encode()[:int(megabytes * 1e6)].decode(errors="ignore")
    began = time.perf_counter()
    count = len(tokenizer.encode(text, add_special_tokens=False).ids)
    theirs = len(text.encode()) / 1e6 / (time.perf_counter() - began)
    done = subprocess.run([binary, "tokenize", str(path), "--count", "--json"],
                          input=text.encode(), stdout=subprocess.PIPE, check=True)
    ours = json.loads(done.stdout)
    speed = ours["bytes"] / 1e6 / ours["seconds"]
    print(f"  {ours['tokens']} and {count} tokens, {speed:.1f} MB/s against {theirs:.2f}: "
          f"{speed / theirs:.1f}x", flush=True)


def known_to_tokenizers(text):
    if normalizers.NFC().normalize_str(text) != unicodedata.normalize("NFC", text):
        return False
    split = pre_tokenizers.Punctuation("removed").pre_tokenize_str
    return not any(split(c) for c in text if unicodedata.category(c).startswith("P"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=NAMES, metavar="NAME")
    parser.add_argument("--minke", default=str(ROOT / "build" / "release" / "minke"))
    parser.add_argument("--peer-build", help="folder of llama.cpp's built programs")
    parser.add_argument("--count", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--speed", type=float, default=0, metavar="MB")
    options = parser.parse_args()
    programs = options.peer_build or llama_cpp.build()
    source = pathlib.Path(llama_cpp.fetch_source(llama_cpp.cache_folder())) / "models"
    texts = [text for text in dict.fromkeys(
        tokenizer_golden.make_texts(options.count, options.seed)) if text]
    equal = True
    with tempfile.TemporaryDirectory() as folder:
        program = build_lines_program(programs, folder)
        for name in options.names:
            print(name, flush=True)
            path = source / f"ggml-vocab-{name}.gguf"
            with_files = pathlib.Path(f"{path}.inp")
            if with_files.exists():
                inputs = with_files.read_text(encoding="utf-8").split(SEPARATOR)
                expected = pathlib.Path(f"{path}.out").read_text(encoding="utf-8").split("\n")
                outputs = [[int(word) for word in line.split()] for line in expected]
                equal &= compare(".inp and .out", inputs, minke_ids(options.minke, path, inputs),
                                 outputs[:len(inputs)])
            else:
                print("  skipped: no .inp and .out")
            ranges = name in ("deepseek-llm", "deepseek-coder")
            kept = [text for text in texts if not ranges or WIDE_SPACES.isdisjoint(text)]
            equal &= compare("llama.cpp, GGUF", kept, minke_ids(options.minke, path, kept),
                             llama_ids(program, path, kept))
            tokenizer = hugging_face(path)
            tokenizer.encode_special_tokens = True
            document = os.path.join(folder, "tokenizer.json")
            tokenizer.save(document)
            kept = [text for text in texts if known_to_tokenizers(text)]
            theirs = [tokenizer.encode(text, add_special_tokens=False).ids for text in kept]
            equal &= compare("tokenizers, tokenizer.json", kept,
                             minke_ids(options.minke, document, kept), theirs)
            if options.speed:
                measure_speed(options.minke, document, tokenizer, options.speed)
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
