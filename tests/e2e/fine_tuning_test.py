"""`minke sft`: an adapter is trained, saved as PEFT's folder and trained on, and a run that goes on
has the bits of one that was not interrupted.

Method: a tiny model of tests/golden/hf, and rows of token ids drawn here.
"""

import json
import os
import random
import tempfile
import unittest

from minke_process import minke

MODEL = os.path.join(os.environ.get("MINKE_SOURCE_DIR", "."), "tests", "golden", "hf", "llama")


def file_bytes(*parts):
    with open(os.path.join(*parts), "rb") as file:
        return file.read()


class FineTuning(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = scratch.name
        self.rows = os.path.join(self.folder, "rows.jsonl")
        draw = random.Random(3)
        lines = ""
        for _ in range(4):
            ids = [draw.randrange(60) for _ in range(draw.randrange(6, 14))]
            lines += json.dumps({"input_ids": ids, "labels": [-100] * 3 + ids[3:]}) + "\n"
        with open(self.rows, "w", encoding="utf-8") as file:
            file.write(40 * lines)  # the same batch each step, to be learnt by heart

    def sft(self, *arguments, code=0):
        result = minke("sft", *arguments)
        self.assertEqual(result.returncode, code, result.stderr)
        return result

    def losses(self, *arguments):
        lines = self.sft(*arguments, "--json").stdout.splitlines()
        return [json.loads(line)["loss"] for line in lines]

    def train(self, run, steps, *arguments):
        return self.losses("--init", MODEL, "--rows", self.rows, "--seq", "16", "--batch", "4",
                           "--steps", str(steps), "--lr", "1e-2", "--run",
                           os.path.join(self.folder, run), *arguments)

    def test_an_adapter_learns_and_is_trained_on(self):
        losses = self.train("run", 40, "--lora-r", "8")
        self.assertLess(losses[-1], 0.5 * losses[0])
        adapter = os.path.join(self.folder, "run", "checkpoints", "step-000040")
        config = json.loads(file_bytes(adapter, "adapter_config.json"))
        self.assertEqual((config["r"], config["lora_alpha"], config["peft_type"]), (8, 32, "LORA"))
        # Trained on, it begins where it ended: the loss of the next step is that of the last.
        again = self.train("again", 1, "--adapter", adapter)
        self.assertLess(again[0], 1.05 * losses[-1])

    def test_a_resumed_run_has_the_same_bits(self):
        for name, flags in (("lora", ["--lora-r", "4"]), ("full", ["--lora-r", "0"])):
            self.train(name, 6, *flags)
            self.train(name + "-half", 3, *flags)
            half = os.path.join(self.folder, name + "-half")
            self.assertEqual(len(self.losses("--resume", half, "--steps", "6")), 3)
            file = "adapter_model.safetensors" if name == "lora" else "model.safetensors"
            whole = file_bytes(self.folder, name, "checkpoints", "step-000006", file)
            self.assertEqual(file_bytes(half, "checkpoints", "step-000006", file), whole)

    def test_only_the_targets_are_adapted(self):
        self.train("run", 1, "--lora-targets", "q_proj", "--lora-targets", "layers.0.mlp.up_proj")
        config = json.loads(file_bytes(self.folder, "run", "checkpoints", "step-000001",
                                       "adapter_config.json"))
        self.assertEqual({name.rsplit(".", 1)[1] for name in config["target_modules"]},
                         {"q_proj", "up_proj"})

    def test_mistakes_are_told(self):
        for arguments, message in (
                ([], "no --init"),
                (["--init", MODEL], "Give --data or --rows"),
                (["--init", MODEL, "--rows", self.rows, "--seq", "16", "--lora-targets", "c_attn"],
                 "no linear map of this model is named 'c_attn'; it has down_proj"),
                (["--init", MODEL, "--rows", self.rows, "--seq", "3"], "rows.jsonl:1:"),
                (["--init", MODEL, "--rows", self.rows, "--seq", "16", "--steps", "1000"],
                 "read 8000")):
            self.assertIn(message, self.sft(*arguments, code=2).stderr.decode())


if __name__ == "__main__":
    unittest.main()
