"""`minke tokenizer train`, from outside: what it prints and writes, and how it refuses."""

import json
import os
import unittest

from minke_process import ScratchTest, minke, minke_json

TEXT = "the cat sat on the mat\n\nthe dog sat on the cat\n" * 20


class TokenizerTest(ScratchTest):
    def train(self, *arguments, text=TEXT, name="text.txt"):
        with open(os.path.join(self.scratch, name), "wb") as file:
            file.write(text.encode() if isinstance(text, str) else text)
        return minke("tokenizer", "train", os.path.join(self.scratch, name), "--out", self.out,
                     *arguments)

    def setUp(self):
        super().setUp()
        self.out = os.path.join(self.scratch, "out")

    def refused(self, code, *arguments, **text):
        done = self.train(*arguments, **text)
        self.assertEqual(done.returncode, code, done.stderr.decode())
        self.assertFalse(os.path.exists(self.out))
        return done.stderr.decode()

    def test_the_folder_encodes_the_text_as_told(self):
        document = json.loads(self.train("--vocab-size", "268", "--json").stdout)
        self.assertEqual((document["vocab_size"], document["merges"], document["special_tokens"]),
                         (268, 268 - 257, 1))
        self.assertEqual(document["text_bytes"], len(TEXT))
        ids = minke_json("tokenize", self.out, stdin=TEXT.encode())["ids"]
        self.assertEqual(len(ids), document["text_tokens"])
        self.assertEqual(sorted(os.listdir(self.out)), ["tokenizer.json", "tokenizer_config.json"])
        with open(os.path.join(self.out, "tokenizer_config.json"), encoding="utf-8") as file:
            self.assertEqual(json.load(file)["eos_token"], "<|endoftext|>")

    def test_characters_are_numbered_by_code_point(self):
        document = json.loads(self.train("--characters", "--json").stdout)
        letters = sorted(set(TEXT))
        self.assertEqual(document["vocab_size"], len(letters))
        ids = minke_json("tokenize", self.out, stdin=TEXT.encode())["ids"]
        self.assertEqual(ids, [letters.index(letter) for letter in TEXT])

    def test_a_tokenizer_is_replaced_only_by_force(self):
        self.assertEqual(self.train("--vocab-size", "270").returncode, 0)
        done = self.train("--vocab-size", "271")
        self.assertEqual(done.returncode, 2)
        self.assertIn("--force", done.stderr.decode())
        self.assertEqual(self.train("--vocab-size", "271", "--force").returncode, 0)
        with open(os.path.join(self.out, "tokenizer.json"), encoding="utf-8") as file:
            self.assertEqual(len(json.load(file)["model"]["vocab"]), 271)

    def test_what_cannot_be_is_refused_with_the_reason(self):
        self.assertIn("text.txt:1: the file is empty", self.refused(7, "--vocab-size", "300",
                                                                   text=""))
        self.assertIn("text.txt:2: byte 0xff", self.refused(7, "--vocab-size", "300",
                                                            text=b"good\nbad \xff\n"))
        self.assertIn("is too small", self.refused(2, "--vocab-size", "100"))
        self.assertIn("take more text", self.refused(2, "--vocab-size", "5000"))
        self.assertIn("--vocab-size is missing", self.refused(2))
        self.assertIn("did you mean gpt-2?", self.refused(2, "--vocab-size", "300",
                                                          "--pretokenizer", "gpt2"))
        self.assertIn("exclude each other", self.refused(2, "--characters", "--lines"))
        self.assertEqual(minke("tokenizer", "train", "none.txt", "--out", self.out, "--vocab-size",
                               "300").returncode, 3)


if __name__ == "__main__":
    unittest.main()
