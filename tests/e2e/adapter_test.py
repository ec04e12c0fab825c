"""`--adapter` and `minke merge` as a user runs them: with an adapter a model says what the model
merged with it says, weights add up, and what cannot be is refused.

Method: the random checkpoints and PEFT's adapters of tests/golden/adapters.
"""

import os
import shutil
import unittest

from minke_process import ROOT, ScratchTest, minke, minke_json

GOLDEN = os.path.join(ROOT, "tests", "golden")
IDS = "1,2,3,5,8,13,21,34,55,7"


def adapter(case, index, weight=None):
    folder = os.path.join(GOLDEN, "adapters", case, str(index))
    return ("--adapter", folder if weight is None else f"{folder}:{weight}")


def base(case):
    return os.path.join(GOLDEN, "hf", case)


def logits(model, *flags):
    rows = minke_json("logits", model, "--ids", IDS, "--precision", "f32", *flags)["logits"]
    return [value for row in rows for value in row]


class Adapters(ScratchTest):
    def assert_near(self, found, expected, most):
        self.assertLessEqual(max(abs(a - b) for a, b in zip(found, expected, strict=True)), most)

    def test_a_merged_model_says_what_the_model_says_with_its_adapters(self):
        both = (*adapter("llama", 0), *adapter("llama", 1, 0.5))
        expected = logits(base("llama"), *both)
        with self.assertRaises(AssertionError):
            self.assert_near(logits(base("llama")), expected, 0.5)
        told = minke_json("merge", base("llama"), self.path("merged"), *both)
        self.assertEqual((told["tensors"], told["changed"]), (20, 14))
        self.assert_near(logits(self.path("merged")), expected, 2e-4)

        minke_json("convert", base("llama"), self.path("m.gguf"), "--type", "f32")
        self.assert_near(logits(self.path("m.gguf"), *both), expected, 2e-4)
        minke_json("merge", self.path("m.gguf"), self.path("merged.gguf"), *both)
        self.assert_near(logits(self.path("merged.gguf")), expected, 2e-4)

        minke_json("merge", self.path("sum"), *both)
        self.assert_near(logits(base("llama"), "--adapter", self.path("sum")), expected, 2e-4)

    def test_an_adapter_and_its_negative_cancel_out(self):
        flags = (*adapter("deepseek-v3", 0), *adapter("deepseek-v3", 0, -1))
        self.assert_near(logits(base("deepseek-v3"), *flags), logits(base("deepseek-v3")), 1e-3)

    def test_a_folder_whose_name_ends_like_a_scale_is_taken_whole(self):
        shutil.copytree(adapter("qwen2", 0)[1], self.path("a:2"))
        self.assertEqual(logits(base("qwen2"), "--adapter", self.path("a:2")),
                         logits(base("qwen2"), *adapter("qwen2", 0)))

    def test_what_cannot_be_is_refused(self):
        missing = self.path("none")
        for code, words, arguments in (
                (3, "expected adapter_config.json",
                 ("logits", base("llama"), "--ids", "1", "--adapter", missing)),
                (2, "FOLDER:SCALE",
                 ("logits", base("llama"), "--ids", "1", "--adapter", missing + ":much")),
                (2, "is no matrix of this llama",
                 ("logits", base("llama"), "--ids", "1", *adapter("deepseek-v3", 0))),
                (2, "name a folder", ("merge", base("llama"), self.path("a.gguf"),
                                      *adapter("llama", 0))),
                (2, "--adapter", ("merge", base("llama"), missing)),
                (2, "--force", ("merge", base("llama"), *adapter("llama", 0)))):
            with self.subTest(words):
                done = minke(*arguments)
                self.assertEqual(done.returncode, code, done.stderr)
                self.assertIn(words, done.stderr.decode())
        self.assertEqual(os.listdir(self.scratch), [])


if __name__ == "__main__":
    unittest.main()
