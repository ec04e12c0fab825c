#!/usr/bin/env python3
"""Makes tests/golden/tokenizer_hf/: tiny tokenizer.json files and the ids that Hugging Face's
tokenizers give to texts of all planes.

    tokenizer_hf.py [--check]

One vocabulary of a few hundred merges for each pre-tokenizer, trained on the texts, and one as
Llama 2's. texts.jsonl has the texts (first line: the versions), NAME.json the tokenizer, NAME.ids a
line of ids for each text. Special tokens in text stay text, as in minke. --check only computes the
ids anew and compares.
"""

import json
import pathlib
import sys
import unicodedata

import tokenizers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import tokenizer_golden  # noqa: E402
import tokenizer_pipelines  # noqa: E402

FOLDER = pathlib.Path(__file__).with_name("tokenizer_hf")
NAMES = ["gpt-2", "smollm", "llama-bpe", "qwen2", "qwen35", "deepseek-llm", "deepseek-coder",
         "deepseek-v3", "falcon"]
MERGES = 300
SEED, COUNT = 20261123, 250


def train(normalizer, pre_tokenizer, texts):
    tokenizer = Tokenizer(models.BPE())
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=len(alphabet) + MERGES + 2, show_progress=False,
                                  initial_alphabet=alphabet,
                                  special_tokens=["<|endoftext|>", "<|im_start|>"])
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def train_sentencepiece(texts):
    """BPE of characters with bytes for the rest, as Llama 2's tokenizer.json has it."""
    special = ["<unk>", "<s>", "</s>"]
    first = Tokenizer(models.BPE())
    first.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    trainer = trainers.BpeTrainer(vocab_size=500, limit_alphabet=200, show_progress=False)
    first.train_from_iterator(texts, trainer)
    model = json.loads(first.to_str())["model"]
    tokens = special + [f"<0x{byte:02X}>" for byte in range(256)]
    tokens += sorted(model["vocab"], key=model["vocab"].get)
    merges = [tuple(merge) for merge in model["merges"]]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)},
                                     merges=merges, byte_fallback=True, fuse_unk=True,
                                     unk_token="<unk>"))
    tokenizer.normalizer = first.normalizer
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(),
                                           decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.add_special_tokens(special)
    return tokenizer


def ids_of(path, texts):
    """The ids of each text, a line each, by the file that minke reads."""
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.encode_special_tokens = True
    return "".join(
        json.dumps(tokenizer.encode(text, add_special_tokens=False).ids, separators=(",", ":"))
        + "\n" for text in texts)


def make():
    FOLDER.mkdir(exist_ok=True)
    texts = list(dict.fromkeys(t for t in tokenizer_golden.make_texts(COUNT, SEED) if t))
    head = {"tokenizers": tokenizers.__version__, "unicode": unicodedata.unidata_version,
            "python": sys.version.split()[0], "seed": SEED, "texts": len(texts)}
    with open(FOLDER / "texts.jsonl", "w", encoding="utf-8") as out:
        for line in [head, *texts]:
            print(json.dumps(line, ensure_ascii=False), file=out)
    made = {name: train(*tokenizer_pipelines.pipelines()[name], texts) for name in NAMES}
    made["llama2"] = train_sentencepiece(texts)
    for name, tokenizer in made.items():
        path = FOLDER / f"{name}.json"
        path.write_text(tokenizer.to_str(pretty=False), encoding="utf-8")
        (FOLDER / f"{name}.ids").write_text(ids_of(path, texts), encoding="utf-8")


def check():
    lines = (FOLDER / "texts.jsonl").read_text(encoding="utf-8").split("\n")[1:-1]
    texts = [json.loads(line) for line in lines]
    differing = [path.stem for path in sorted(FOLDER.glob("*.json"))
                 if ids_of(path, texts) != path.with_suffix(".ids").read_text(encoding="utf-8")]
    print(f"{len(texts)} texts, differing: {', '.join(differing) or 'none'}")
    return 1 if differing or not texts else 0


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        sys.exit(check())
    make()
