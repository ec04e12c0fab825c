"""`minke convert` as a user runs it: the default model to a folder and back, refusals, Ctrl-C."""

import os
import signal
import subprocess
import time
import unittest

from minke_process import MINKE, MODEL, ROOT, ScratchTest, minke, minke_json

QUESTION = ("Why is the sky blue?", "--temperature", "0", "--max-tokens", "12",
            "--precision", "f32")


class Convert(ScratchTest):
    def test_a_folder_and_a_file_made_of_it_answer_as_the_model(self):
        folder, file = self.path("hf"), self.path("again.gguf")
        told = minke_json("convert", MODEL, folder)
        self.assertEqual((told["tensors"], told["type"], told["notes"]), (272, "bf16", []))
        told = minke_json("convert", folder, file)
        self.assertEqual(told["tensors"], 272)
        self.assertEqual(sorted(os.listdir(folder)),
                         ["chat_template.jinja", "config.json", "generation_config.json",
                          "model.safetensors", "tokenizer.json", "tokenizer_config.json"])
        expected = minke_json("run", MODEL, *QUESTION)
        for path in (folder, file):
            found = minke_json("run", path, *QUESTION)
            self.assertEqual(found["token_ids"], expected["token_ids"])
            self.assertEqual(found["prompt_tokens"], expected["prompt_tokens"])
            self.assertEqual(found["finish_reason"], expected["finish_reason"])
        again = minke("convert", folder, file)
        self.assertEqual(again.returncode, 2)
        self.assertIn("--force", again.stderr.decode())

    def test_fp8_is_half_of_bf16_and_close_to_it(self):
        folder, text = self.path("fp8"), self.path("text")
        with open(text, "w", encoding="utf-8") as file:
            file.write("The whale is the largest animal that has ever lived on this planet. " * 12)
        told = minke_json("convert", MODEL, folder, "--type", "fp8", "--text", text,
                          "--context", "64")
        self.assertEqual(told["type"], "f8_e4m3")
        self.assertLess(told["bytes"], 1.3 * 135e6)  # of 135 M weights a fifth is the embedding
        self.assertLess(told["kl"], 0.1)
        self.assertGreater(told["kl"], 0)
        found = minke_json("run", folder, *QUESTION)
        self.assertEqual(found["text"].split()[0], "The")
        back = self.path("back.gguf")
        self.assertEqual(minke_json("convert", folder, back)["type"], "bf16")
        self.assertEqual(minke_json("run", back, *QUESTION)["token_ids"], found["token_ids"])
        refused = minke("convert", MODEL, self.path("a.gguf"), "--type", "fp8")
        self.assertEqual(refused.returncode, 2)
        self.assertIn("folder", refused.stderr.decode())

    def test_an_export_is_compared_with_its_source_and_says_where_it_is_from(self):
        golden = os.path.join(ROOT, "tests", "golden", "hf", "qwen3-moe")
        told = minke_json("export", golden, self.path("a.gguf"))
        self.assertEqual((told["compared_tensors"], told["rounded_tensors"]), (27, 0))
        told = minke_json("export", MODEL, self.path("hf"))
        self.assertEqual(told["compared_tensors"], 272)
        self.assertGreater(told["rounded_tensors"], 100)  # Q4_1 does not fit into bf16
        self.assertLess(told["relative_error_max"], 2 ** -9)
        with open(os.path.join(self.path("hf"), "README.md"), encoding="utf-8") as file:
            self.assertIn("minke export", file.read())
        told = minke("export", self.path("hf"), self.path("fp8"), "--type", "fp8")
        self.assertEqual(told.returncode, 0, told.stderr.decode())
        self.assertIn("same configuration and tokenizer, 62 of 272", told.stderr.decode())

    def test_an_interrupt_leaves_nothing_behind(self):
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            for name in ("folder", "file.gguf"):
                with self.subTest(name=name, signal=number), subprocess.Popen(
                        [MINKE, "convert", MODEL, self.path(name), "--type", "f32"],
                        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
                    deadline = time.monotonic() + 60
                    while not os.listdir(self.scratch) and time.monotonic() < deadline:
                        time.sleep(0.002)
                    process.send_signal(number)
                    process.stderr.read()
                    self.assertEqual(process.wait(timeout=60), code)
                    self.assertEqual(os.listdir(self.scratch), [])

    def test_what_cannot_be_done_says_why(self):
        for arguments, code, word in (
                ((self.path("none"), self.path("a.gguf")), 3, "none"),
                ((self.scratch, self.path("a.gguf")), 2, "config.json"),
                ((MODEL, self.path("a.gguf"), "--type", "q8_0"), 2, "--type"),
                ((MODEL, self.scratch), 2, "--force"),
                ((MODEL, self.scratch, "--force", "--shard-gb", "0"), 2, "--shard-gb"),
                ((MODEL, "/dev/full/a"), 1, "/dev/full")):
            with self.subTest(arguments):
                done = minke("convert", *arguments)
                self.assertEqual(done.returncode, code, done.stderr.decode())
                self.assertIn(word, done.stderr.decode())
        self.assertEqual(os.listdir(self.scratch), [])


if __name__ == "__main__":
    unittest.main()
