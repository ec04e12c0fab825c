"""What the crash tests share: a small training that is killed and resumed until it is done.

Method: a Llama of two layers is made from its config.json and trained for 24 steps with a
checkpoint at every second one, undisturbed, and then with kill -9 at random: by a timer, or inside
the writing of a checkpoint by build/release/tests/libcheckpoint_faults.so. The weights at the end
must be the same to the bit, and the metrics must have each step once.
"""

import hashlib
import json
import os
import random
import signal
import subprocess
import time

from minke_process import MINKE, ROOT

FAULTS = os.path.join(ROOT, "build", "release", "tests", "libcheckpoint_faults.so")
STEPS, BATCH, SEQ, VOCAB = 24, 4, 32, 256
CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": VOCAB,
          "hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2,
          "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
          "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": True,
          "hidden_act": "silu"}
SECONDS_MAX = 120


class CrashRun:
    """Trainings in one scratch folder."""

    def __init__(self, scratch, seed):
        self.scratch, self.random = scratch, random.Random(seed)
        with open(self.path("config.json"), "w", encoding="utf-8") as file:
            json.dump(CONFIG, file)
        ids = random.Random(1)
        with open(self.path("ids.txt"), "w", encoding="utf-8") as file:
            file.write(" ".join(str(ids.randrange(VOCAB)) for _ in range(STEPS * BATCH * SEQ + 1)))

    def path(self, name):
        return os.path.join(self.scratch, name)

    def start(self, run, fault=None, calls=None):
        """A training of `run`, resumed where there is one. Returns the process."""
        folder = self.path(run)
        command = [MINKE, "pretrain", "--json", "--threads", "2"]
        if os.path.exists(os.path.join(folder, "config.json")):
            command += ["--resume", folder]
        else:
            command += ["--run", folder, "--init", self.path("config.json"), "--ids",
                        self.path("ids.txt"), "--batch", str(BATCH), "--seq", str(SEQ), "--steps",
                        str(STEPS), "--lr", "1e-3", "--save-every", "2", "--keep", "2",
                        "--ema", "0.9"]
        environment = dict(os.environ, LD_PRELOAD=FAULTS)
        if fault:
            environment["MINKE_FAULT"] = fault
        if calls:
            environment["MINKE_FAULT_CALLS"] = calls
        return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def finish(self, process):
        """The exit code (of a killed one -9) and what it said."""
        _, told = process.communicate(timeout=SECONDS_MAX)
        return process.returncode, told

    def undisturbed(self):
        """Trains `whole`; returns its seconds and the calls that a fault can hit."""
        began = time.monotonic()
        code, told = self.finish(self.start("whole", calls=self.path("calls")))
        if code != 0:
            raise AssertionError(f"exit code {code}: {told}")
        with open(self.path("calls"), encoding="utf-8") as file:
            return time.monotonic() - began, int(file.read())

    def kill_in_checkpoint(self, run, calls):
        return self.finish(self.start(run, fault=f"kill:{self.random.randint(1, calls)}"))[0]

    def kill_at_random(self, run, seconds):
        process = self.start(run)
        try:
            process.wait(self.random.uniform(0, seconds))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        return self.finish(process)[0]

    def outcome(self, run):
        """What must be alike: hashes of the last checkpoint and of the average, and the metrics."""
        names = [f"checkpoints/step-{STEPS:06}/model.safetensors",
                 f"checkpoints/step-{STEPS:06}/trainer_state.safetensors",
                 "average/model.safetensors"]
        hashes = []
        for name in names:
            with open(os.path.join(self.path(run), name), "rb") as file:
                hashes.append(hashlib.sha256(file.read()).hexdigest())
        with open(os.path.join(self.path(run), "metrics.jsonl"), encoding="utf-8") as file:
            lines = [json.loads(line) for line in file]
        return hashes, [(line["step"], line["loss"], line["grad_norm"]) for line in lines]

    def crash(self, num_kills, num_in_checkpoints):
        """Kills trainings so often, each resumed. Returns (kills, kills in checkpoints, runs that
        ended, outcomes other than the undisturbed one)."""
        seconds, calls = self.undisturbed()
        expected = self.outcome("whole")
        kills = in_checkpoints = ended = 0
        different = []
        while kills < num_kills or not ended:
            run = f"crashed-{ended}"
            wants_checkpoint = kills % 5 < 3 if in_checkpoints < num_in_checkpoints else False
            if kills >= num_kills:
                code = self.finish(self.start(run))[0]
            elif wants_checkpoint:
                code = self.kill_in_checkpoint(run, calls // 2)
            else:
                code = self.kill_at_random(run, seconds)
            if code == -signal.SIGKILL:
                kills += 1
                in_checkpoints += wants_checkpoint
            elif code != 0:
                raise AssertionError(f"{run}: exit code {code}")
            else:
                ended += 1
                if self.outcome(run) != expected:
                    different.append(run)
        return kills, in_checkpoints, ended, different
