"""What `minke tokenizer train` writes, Hugging Face's tokenizers read alike (./check --all).

Method: one tokenizer for each pre-tokenizer, learned by minke from texts of all planes; both
programs encode texts that it has not seen, and transformers loads the folder.
"""

import json
import os
import subprocess
import sys
import unittest

import tokenizers
import transformers

from minke_process import MINKE, ROOT, ScratchTest, minke_json

sys.path.insert(0, os.path.join(ROOT, "tests", "golden"))
import tokenizer_golden  # noqa: E402

PRETOKENIZERS = ["gpt-2", "smollm", "llama-bpe", "qwen2", "qwen35", "deepseek-llm",
                 "deepseek-coder", "deepseek-v3"]
TEXTS, SEED = 300, 20261124


def ids_of_minke(folder, texts):
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    done = subprocess.run([MINKE, "tokenize", folder, "--lines"], input=lines.encode(),
                          capture_output=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


class TokenizerPeerTest(ScratchTest):
    def compare(self, name, *arguments):
        learned = list(tokenizer_golden.make_texts(TEXTS, SEED))
        texts = [*tokenizer_golden.make_texts(TEXTS, SEED + 1), *learned[:50]]
        path, folder = (os.path.join(self.scratch, part) for part in ("text.txt", name))
        with open(path, "w", encoding="utf-8", newline="") as file:
            file.write("".join(learned))
        minke_json("tokenizer", "train", path, "--out", folder, *arguments)
        peer = tokenizers.Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
        peer.encode_special_tokens = True
        for text, ids in zip(texts, ids_of_minke(folder, texts), strict=True):
            self.assertEqual(peer.encode(text, add_special_tokens=False).ids, ids, (name, text))
            if "--characters" not in arguments:
                self.assertEqual(peer.decode(ids, skip_special_tokens=False), text)
        return folder

    def test_ids_are_the_same_for_every_pretokenizer(self):
        for name in PRETOKENIZERS:
            self.compare(name, "--vocab-size", "500", "--pretokenizer", name)

    def test_ids_are_the_same_for_characters(self):
        self.compare("characters", "--characters")

    def test_transformers_loads_the_folder(self):
        template = os.path.join(self.scratch, "template.jinja")
        with open(template, "w", encoding="utf-8") as file:
            file.write("{% for m in messages %}<|im_start|>{{ m.content }}<|im_end|>{% endfor %}")
        folder = self.compare("chat", "--vocab-size", "400", "--special", "<|im_start|>", "--eos",
                              "<|im_end|>", "--chat-template", template)
        peer = transformers.AutoTokenizer.from_pretrained(folder)
        self.assertEqual((peer.eos_token, peer.eos_token_id), ("<|im_end|>", 1))
        text = peer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False)
        self.assertEqual(text, "<|im_start|>hi<|im_end|>")
        self.assertEqual([peer.encode(text)[0], peer.encode(text)[-1]], [0, 1])


if __name__ == "__main__":
    unittest.main()
