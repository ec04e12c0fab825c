#!/usr/bin/env python3
"""Compares the losses of minke pretrain --ids with those of a PyTorch loop, step by step.

    .venv/bin/python bench/peers/train_parity.py MODEL [--steps 200] [--batch 2] [--seq 64]
        [--lr 1e-4] [--ids F] [--within 0.01] [--minke BINARY] [--threads T] [--json]

MODEL is a Hugging Face folder, or `smollm2-135m`, which is made into one. Without --ids the tokens
are random, of a seed. Both start from the same weights and read the same batches (AdamW 0.9, 0.95,
without decay, constant rate, clip 1). Exit code 1 when a step's losses are further apart than
--within, relative.
"""

import argparse
import json
import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import models  # noqa: E402
import training  # noqa: E402


def vocab_size(folder):
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
        return json.load(file)["vocab_size"]


def run_both(options, folder):
    ids = options.ids
    if not ids:
        ids = os.path.join(folder, "ids.txt")
        count = options.steps * options.batch * options.seq + 1
        training.write_random_ids(ids, count, vocab_size(options.model), options.seed)
    shared = ["--ids", ids, "--batch", str(options.batch), "--seq", str(options.seq),
              "--steps", str(options.steps), "--lr", str(options.lr)]
    minke = training.run_steps([options.minke, "pretrain", "--init", options.model, *shared,
                                "--threads", str(options.threads), "--json"])
    return minke, training.run_steps(
        training.peer_command("full", options, "--model", options.model, *shared))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a Hugging Face folder, or smollm2-135m")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--seq", type=int, default=64)
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--ids", help="text of token ids; without it random ones")
    parser.add_argument("--seed", type=int, default=1, help="of the random ids")
    parser.add_argument("--within", type=float, default=0.01, help="most relative difference")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--minke", default=os.path.join(training.ROOT, "build", "release", "minke"))
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    options.minke = os.path.abspath(options.minke)
    if options.model == models.DEFAULT_MODEL:
        options.model = training.smol_folder(options.minke)
    options.model = os.path.abspath(options.model)
    with tempfile.TemporaryDirectory() as folder:
        minke, peer = run_both(options, folder)
    if len(minke.losses) != len(peer.losses):
        sys.exit(f"parity: {len(minke.losses)} steps of minke, {len(peer.losses)} of PyTorch")
    differences = [abs(a - b) / abs(b) for a, b in zip(minke.losses, peer.losses)]
    worst = max(range(len(differences)), key=lambda step: differences[step])
    passed = differences[worst] <= options.within
    if options.json:
        print(json.dumps({"steps": len(differences), "worst_step": worst,
                          "worst_difference": differences[worst], "within": options.within,
                          "passed": passed, "minke": minke.losses, "peer": peer.losses}))
    else:
        print(f"{len(differences)} steps, loss {peer.losses[0]:.4f} to {peer.losses[-1]:.4f}; "
              f"furthest apart at step {worst}: minke {minke.losses[worst]:.6f}, PyTorch "
              f"{peer.losses[worst]:.6f}, {100 * differences[worst]:.4f} % "
              f"({'within' if passed else 'NOT within'} {100 * options.within:g} %)")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
