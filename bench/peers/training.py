"""The training topics: minke and PyTorch (pytorch.py) at the same steps, in turn.

Both sides print a JSON line a step, and whoever runs them takes the time at which each line comes:
what happens before the first step (loading, compiling, the first allocations) is not counted.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

import models

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
DATA = os.environ.get("MINKE_DATA", os.path.join(os.path.dirname(ROOT), "shared", "data"))
PYTHON = os.path.join(ROOT, ".venv", "bin", "python")
VOCAB_SMOL = 49152
WARM_UP_STEPS = 1  # whose lines only start the clock


@dataclass
class Run:
    """What one process did."""
    losses: list  # one a step
    seconds: list  # of each step after the first
    peak_rss_bytes: int
    validation_loss: float = 0.0


def median(values):
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def run_steps(command):
    """Runs a trainer; its lines that have a step or a validation_loss are taken."""
    with tempfile.TemporaryFile() as err:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=err, cwd=ROOT)
        losses, times, validation_loss = [], [], 0.0
        for line in process.stdout:
            now = time.monotonic()
            document = json.loads(line)
            if "step" in document and "loss" in document:
                losses.append(document["loss"])
                times.append(now)
            for name in ("validation_loss", "val_loss"):
                validation_loss = document.get(name, validation_loss)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0 or not losses:
            err.seek(0)
            sys.stderr.write(err.read().decode(errors="replace")[-3000:])
            sys.exit(f"peers: exit code {process.returncode} after {len(losses)} steps from: "
                     + " ".join(command))
    seconds = [after - before for before, after in zip(times, times[1:])]
    return Run(losses, seconds[WARM_UP_STEPS - 1:], usage.ru_maxrss * 1024, validation_loss)


def peer_command(work, options, *arguments):
    if not os.access(PYTHON, os.X_OK):
        sys.exit(f"peers: no Python with PyTorch at {PYTHON}; run scripts/setup peers first")
    return [PYTHON, os.path.join(HERE, "pytorch.py"), work, "--threads", str(options.threads),
            *map(str, arguments)]


def smol_folder(minke):
    """SmolLM2-135M as a Hugging Face folder in f32; made once beside the peers' other models."""
    import llama_cpp
    folder = os.path.join(llama_cpp.cache_folder(), "models", "smol-f32")
    if not os.path.exists(os.path.join(folder, "config.json")):
        os.makedirs(os.path.dirname(folder), exist_ok=True)
        subprocess.run([minke, "convert", models.default_model(minke), folder, "--type", "f32"],
                       check=True, stdout=sys.stderr)
    return folder


def write_random_ids(path, count, vocab=VOCAB_SMOL, seed=1):
    draw = random.Random(seed)
    with open(path, "w", encoding="utf-8") as file:
        file.write(" ".join(str(draw.randrange(vocab)) for _ in range(count)) + "\n")


# ---- topics: each makes both commands and what they read, in a folder of its own -----------------


def full_commands(options, folder):
    """Full weights: 4 x 512 random tokens."""
    batch, seq, steps = 4, 512, 4
    ids = os.path.join(folder, "ids.txt")
    write_random_ids(ids, steps * batch * seq + 1)
    model = options.model or smol_folder(options.minke)
    shared = ["--ids", ids, "--batch", str(batch), "--seq", str(seq), "--steps", str(steps),
              "--lr", "1e-4"]
    minke = [options.minke, "pretrain", "--init", model, *shared, "--threads",
             str(options.threads), "--json"]
    return minke, peer_command("full", options, "--model", model, *shared), batch * seq


def nanogpt_commands(options, folder):
    """nanoGPT's CPU recipe, from the text on; both end with the loss over the validation split."""
    text = os.path.join(DATA, "tinyshakespeare", "input.txt")
    if not os.path.exists(text):
        sys.exit(f"peers: no {text}; set MINKE_DATA to the folder that has tinyshakespeare")
    tokenizer, data, run = (os.path.join(folder, name) for name in ("characters", "data", "run"))
    for made in (["tokenizer", "train", text, "--characters", "--out", tokenizer],
                 ["data", "prepare", text, "--tokenizer", tokenizer, "--output", data,
                  "--validation", "0.1"]):
        subprocess.run([options.minke, *made], check=True, stdout=sys.stderr)
    steps = 2000
    minke = [options.minke, "pretrain", "--recipe", os.path.join(ROOT, "recipes/nanogpt-char.toml"),
             "--tokenizer", tokenizer, "--data", data, "--eval-every", str(steps),
             "--eval-batches", "1000000", "--threads", str(options.threads), "--json"]
    # Each run is a folder of its own.
    minke = ["sh", "-c", 'rm -rf "$0" && exec "$@" --run "$0"', run, *minke]
    return minke, peer_command("nanogpt", options, "--text", text, "--steps", steps), 12 * 64


@dataclass
class TrainingTopic:
    name: str
    what: str
    commands: object  # (options, folder) -> (minke's command, the peer's, tokens a step)
    unit: str = "tokens/s"


TOPICS = [
    TrainingTopic("train-smol-f32", "SmolLM2-135M, full weights in f32, steps of 4 x 512 tokens",
                  full_commands),
    TrainingTopic("nanogpt", "nanoGPT's recipe for a CPU, Tiny Shakespeare: 2,000 steps of 12 x 64",
                  nanogpt_commands),
]


def compare(topic, options):
    """Runs the topic; returns the document of --json."""
    def say(text):
        print(text, file=sys.stderr, flush=True)

    def speed(run):
        return tokens / median(run.seconds)

    with tempfile.TemporaryDirectory() as folder:
        minke, peer, tokens = topic.commands(options, folder)
        tried = {}  # the compiled one's first run fills its cache on the disk
        for flag in ((), ("--compile",)):
            tried[flag] = run_steps([*peer, *flag])
            say(f"PyTorch {'compiled' if flag else 'eager'}: {speed(tried[flag]):.1f} {topic.unit}")
        better = max(tried, key=lambda flag: speed(tried[flag]))
        pairs = []
        for turn in range(options.repeats):
            pairs.append((run_steps(minke), run_steps([*peer, *better])))
            ours, theirs = pairs[-1]
            say(f"turn {turn + 1} of {options.repeats}: minke {speed(ours):.1f}, "
                f"peer {speed(theirs):.1f} {topic.unit}")
            if ours.validation_loss:
                say(f"  validation loss: minke {ours.validation_loss:.4f}, "
                    f"peer {theirs.validation_loss:.4f}")
    return document_of(topic, options, pairs, speed, "compiled" if better else "eager")


def document_of(topic, options, pairs, speed, kind):
    ours, theirs = ([pair[side] for pair in pairs] for side in (0, 1))
    minke, peer = median([speed(run) for run in ours]), median([speed(run) for run in theirs])
    peaks = [max(run.peak_rss_bytes for run in side) for side in (ours, theirs)]
    document = {
        "topic": topic.name, "model": topic.what, "unit": topic.unit, "minke": minke, "peer": peer,
        "peer_name": f"PyTorch ({kind})", "ratio": minke / peer,
        "runs": [{"minke": speed(a), "peer": speed(b)} for a, b in pairs],
        "minke_peak_rss_bytes": peaks[0], "peer_peak_rss_bytes": peaks[1],
        "memory_ratio": peaks[0] / peaks[1], "threads": options.threads,
        "minke_losses": ours[0].losses, "peer_losses": theirs[0].losses,
        "loss_difference": max(abs(a - b) / b
                               for a, b in zip(ours[0].losses, theirs[0].losses)),
    }
    if ours[0].validation_loss:
        document["minke_validation_loss"] = ours[0].validation_loss
        document["peer_validation_loss"] = theirs[0].validation_loss
    return document
