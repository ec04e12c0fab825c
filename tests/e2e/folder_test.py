"""Hugging Face folders: a model with a tokenizer runs from start to end, one without is shown and
measured, and where its files disagree the right one is believed.

Method: a random Qwen2 of tests/golden/hf with 61 rows, given a tokenizer of 32 tokens.
"""

import json
import os
import shutil
import tempfile
import unittest

from minke_process import ROOT, minke, minke_json

GOLDEN = os.path.join(ROOT, "tests", "golden", "hf")
LETTERS = "abcdefghijklmnopqrstuvwxyz"
BOS, EOS, USER, ASSISTANT = 28, 29, 30, 31
TEMPLATE = ("{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}<|user|>{% endif %}"
            "{{ m.content }}{% endfor %}<|assistant|>")


def tokenizer_json():
    vocabulary = {letter: i for i, letter in enumerate(LETTERS)}
    vocabulary.update({"Ġ": 26, "he": 27})
    added = {BOS: "<s>", EOS: "</s>", USER: "<|user|>", ASSISTANT: "<|assistant|>"}
    return {
        "version": "1.0",
        "added_tokens": [{"id": i, "content": text, "special": True, "single_word": False,
                          "lstrip": False, "rstrip": False, "normalized": False}
                         for i, text in added.items()],
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                          "use_regex": True},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True,
                    "use_regex": True},
        "model": {"type": "BPE", "vocab": vocabulary, "merges": ["h e"]},
    }


class Folder(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self.scratch.cleanup)
        self.folder = os.path.join(self.scratch.name, "tiny")
        shutil.copytree(os.path.join(GOLDEN, "qwen2"), self.folder)
        self.write("tokenizer.json", tokenizer_json())
        self.write("tokenizer_config.json", {"bos_token": "<s>", "eos_token": "</s>",
                                             "add_bos_token": True, "chat_template": TEMPLATE})
        # As in DeepSeek's distilled models, config.json names another token.
        with open(os.path.join(self.folder, "config.json"), encoding="utf-8") as file:
            config = json.load(file)
        self.write("config.json", {**config, "bos_token_id": 5, "eos_token_id": 6})

    def write(self, name, document):
        with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
            json.dump(document, file)

    def run_model(self, *arguments):
        return minke_json("run", self.folder, *arguments, "--precision", "f32")

    def first_of(self, ids):
        """The likeliest token after these ids, of those that the tokenizer has."""
        document = minke_json("logits", self.folder, "--ids", ",".join(map(str, ids)), "--last",
                              "--precision", "f32")
        logits = document["logits"][0][:32]
        return logits.index(max(logits))

    def test_runs_with_its_template(self):
        document = self.run_model("abc he", "--max-tokens", "5", "--temperature", "0")
        prompt = [BOS, USER, 0, 1, 2, 26, 27, ASSISTANT]  # "he" is one token
        self.assertEqual(document["prompt_tokens"], len(prompt))
        self.assertEqual(document["token_ids"][:1], [self.first_of(prompt)])

    def test_the_tokenizer_is_believed_about_the_first_token(self):
        letter = next(i for i in range(26) if self.first_of([BOS, i]) != self.first_of([5, i]))
        document = self.run_model("--raw", LETTERS[letter], "--max-tokens", "1",
                                  "--temperature", "0")
        self.assertEqual(document["prompt_tokens"], 2)
        self.assertEqual(document["token_ids"], [self.first_of([BOS, letter])])

    def test_rows_without_a_token_are_never_drawn(self):
        drawn = set()
        for seed in range(3):
            document = self.run_model("--raw", "abc", "--max-tokens", "60", "--temperature", "2",
                                      "--seed", str(seed))
            drawn.update(document["token_ids"])
        self.assertGreater(len(drawn), 10)
        self.assertLess(max(drawn), 32)

    def test_generation_config_ends_the_text(self):
        first = self.first_of([BOS, 0])
        self.write("generation_config.json", {"eos_token_id": [EOS, first]})
        document = self.run_model("--raw", "a", "--max-tokens", "9", "--temperature", "0")
        self.assertEqual((document["token_ids"], document["finish_reason"]), ([], "stop"))

    def test_generation_config_recommends_how_to_draw(self):
        def texts(*flags):
            return {tuple(self.run_model("--raw", "a", "--max-tokens", "12", "--seed", str(seed),
                                         *flags)["token_ids"]) for seed in range(4)}

        self.assertGreater(len(texts("--temperature", "2")), 1)
        self.write("generation_config.json", {"temperature": 2.0, "top_k": 1})
        self.assertEqual(len(texts()), 1)
        self.assertGreater(len(texts("--top-k", "0")), 1, "a flag goes before the file")
        self.write("generation_config.json", {"top_k": "many"})
        done = minke("run", self.folder, "--raw", "a")
        self.assertEqual(done.returncode, 7)
        self.assertIn(b"top_k is \"many\"", done.stderr)

    def test_show_tells_what_is_in_it(self):
        document = minke_json("show", self.folder)
        self.assertEqual(document["architecture"], "qwen2")
        self.assertEqual(document["format"], "bf16")
        self.assertEqual(document["context_tokens"], 512)
        self.assertEqual(document["metadata"]["vocab_size"], 61)
        self.assertEqual(document["num_tensors"], len(document["tensors"]))
        sizes = {tensor["name"]: tensor["shape"] for tensor in document["tensors"]}
        self.assertEqual(sizes["model.embed_tokens.weight"], [61, 60])
        self.assertEqual(document["parameters"],
                         sum(tensor["bytes"] // 2 for tensor in document["tensors"]))
        self.assertNotIn("experts", document)
        text = minke("show", self.folder, "--tensors").stdout.decode()
        self.assertIn("safetensors", text)
        self.assertIn("model.layers.0.mlp.up_proj.weight", text)

    def test_verify_looks_at_every_number(self):
        document = minke_json("verify", self.folder)
        self.assertTrue(document["verified"])
        self.assertEqual(document["errors"], [])
        self.assertGreater(document["tensors"], 10)
        with tempfile.TemporaryDirectory() as place:
            file = os.path.join(place, "model.gguf")
            self.assertEqual(minke("convert", self.folder, file, "--no-tokenizer").returncode, 0)
            same = minke_json("verify", file, "--against", self.folder, "--no-tokenizer")
            self.assertTrue(same["same"])
            self.assertEqual(same["relative_error"], 0)

    def test_verify_finds_what_is_broken(self):
        with tempfile.TemporaryDirectory() as place:
            file = os.path.join(place, "model.gguf")
            minke("convert", self.folder, file, "--type", "f32", "--no-tokenizer")
            self.assertEqual(minke("verify", file).returncode, 0)
            with open(file, "r+b") as model:  # the last tensor ends with NaN, then with padding
                model.seek(-64, os.SEEK_END)
                model.write(b"\x00\x00\xc0\x7f" * 16)
            done = minke("verify", file)
            self.assertEqual(done.returncode, 7)
            self.assertIn(b"not finite", done.stdout)
            minke("convert", self.folder, file, "--force", "--no-tokenizer")
            with open(file + ".sha256", "w", encoding="utf-8") as beside:
                beside.write("0" * 64 + "  model.gguf\n")
            done = minke("verify", file)
            self.assertEqual(done.returncode, 7)
            self.assertIn(b"SHA-256", done.stderr)


class WithoutTokenizer(unittest.TestCase):
    def test_show_counts_experts(self):
        document = minke_json("show", os.path.join(GOLDEN, "qwen3-moe"))
        self.assertEqual(document["experts"],
                         {"routed": 7, "chosen": 3, "shared": 0, "layers": 2})
        expert = 3 * 36 * 12
        self.assertEqual(document["parameters"] - document["active_parameters"], 2 * 4 * expert)
        text = minke("show", os.path.join(GOLDEN, "deepseek-v3-fp8")).stdout.decode()
        self.assertIn("f8_e4m3", text)
        self.assertIn("experts", text)

    def test_bench_needs_none(self):
        for case in ("qwen3-moe", "deepseek-v3-fp8"):
            with self.subTest(case):
                document = minke_json("bench", "decode", "--model", os.path.join(GOLDEN, case),
                                      "--tokens", "4", "--threads", "2")
                self.assertGreater(document["tokens_per_second"], 0)


if __name__ == "__main__":
    unittest.main()
