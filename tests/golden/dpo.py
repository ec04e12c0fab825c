#!/usr/bin/env python3
"""Makes tests/golden/dpo.json: losses and gradients of direct preference optimisation in PyTorch.

The formula is that of TRL's DPOTrainer with loss_type "sigmoid" (arXiv 2305.18290, eq. 7), with
label smoothing as in cDPO: with d = (pi_chosen - pi_rejected) - (ref_chosen - ref_rejected), sums
of the log-probabilities of an answer's tokens,

    loss = mean of -(1 - s) ln sigmoid(beta d) - s ln sigmoid(-beta d)
    reward = beta (pi - ref);  accuracy: how often the chosen reward is the larger

Log-probabilities of token j of answer i (chosen ones first, then rejected ones) follow a formula,
in double and rounded to f32: -3 + 2.5 sin(1 + 0.7 j + 2.3 i + 0.01 i j); every third is masked: 0.
An answer i has 3 + (5 i mod 7) tokens; its reference is the sum times 0.9 + 0.05 (i mod 5).

    dpo.py            # writes the file
    dpo.py --check    # computes afresh and compares
"""

import json
import math
import os
import sys

import torch
from torch.nn.functional import logsigmoid

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "dpo.json")
CASES = [(1, 0.1, 0.0), (4, 0.1, 0.0), (4, 0.5, 0.2), (3, 2.0, 0.05)]  # pairs, beta, smoothing


def log_probs(answer):
    values = [-3 + 2.5 * math.sin(1 + 0.7 * j + 2.3 * answer + 0.01 * answer * j)
              for j in range(3 + 5 * answer % 7)]
    return torch.tensor([0.0 if j % 3 == 0 else v for j, v in enumerate(values)],
                        dtype=torch.float32)


def case(pairs, beta, smoothing):
    tokens = [log_probs(i).requires_grad_() for i in range(2 * pairs)]
    sums = torch.stack([t.double().sum() for t in tokens])
    references = torch.tensor([s * (0.9 + 0.05 * (i % 5)) for i, s in enumerate(sums.tolist())],
                              dtype=torch.float64)
    rewards = beta * (sums - references)
    margins = rewards[:pairs] - rewards[pairs:]
    losses = -logsigmoid(margins) * (1 - smoothing) - logsigmoid(-margins) * smoothing
    losses.mean().backward()
    return {
        "pairs": pairs, "beta": beta, "label_smoothing": smoothing,
        "loss": losses.mean().item(), "gradients": [t.grad[1].item() for t in tokens],
        "chosen_reward": rewards[:pairs].mean().item(),
        "rejected_reward": rewards[pairs:].mean().item(),
        "accuracy": (margins > 0).double().mean().item(),
    }


def differs(a, b):
    if isinstance(a, dict):
        return a.keys() != b.keys() or any(differs(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) != len(b) or any(differs(x, y) for x, y in zip(a, b))
    return abs(a - b) > 1e-9 * max(1.0, abs(a))


def main():
    cases = [case(*values) for values in CASES]
    if "--check" in sys.argv:
        with open(GOLDEN, encoding="utf-8") as file:
            if differs(json.load(file)["cases"], cases):
                sys.exit("dpo: PyTorch computes other numbers than dpo.json has")
        print(f"dpo: {len(cases)} cases are as before")
        return
    with open(GOLDEN, "w", encoding="utf-8") as file:
        json.dump({"torch": torch.__version__, "cases": cases}, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
