#!/usr/bin/env python3
"""Makes tests/golden/optimizers.json: what PyTorch's optimizers, clipping and schedules compute.

The element at flat index i of tensor j, in double precision and then rounded to f32, is
    weights:              0.5 * sin(0.37 * i + 1.3 * j + 0.0007 * i * i)
    gradients of step s:  0.2 * sin(0.51 * i + 0.7 * j + 1.1 * s + 0.0013 * i * i)
and the learning rate of step s is 0.01 / (1 + s). Eight steps are taken; the document has each
tensor's values after them.

    adamw:  tensors [5, 7] (weight decay 0.2) and [6] (none); betas 0.8, 0.99, eps 1e-6
    muon:   tensors [24, 40], [16, 40] and [40, 24]; torch.optim.Muon, momentum 0.95, weight decay
            0.1, for each way of scaling. PyTorch iterates in bf16; here `Tensor.bfloat16` gives f32
            while it does, so that the numbers say something of other f32 code.
    clip:   clip_grad_norm_ of the gradients of step 0 of adamw's tensors to 0.3: norm and values
    schedules: rates of transformers' schedules of 1 at their steps 1.., with one warm-up step and
            one step in all more than minke's, whose first step is their second.

    optimizers.py            # writes the file
    optimizers.py --check    # computes afresh and compares
"""

import json
import math
import os
import sys
from unittest import mock

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "optimizers.json")
NUM_STEPS = 8
ADAMW_SHAPES = [(5, 7), (6,)]
MUON_SHAPES = [(24, 40), (16, 40), (40, 24)]
WARMUP, STEPS, DECAY = 5, 40, 10  # minke's


def formula(shape, scale, phase, square):
    import torch

    values = [scale * math.sin(phase(i) + square * i * i) for i in range(math.prod(shape))]
    return torch.tensor(values, dtype=torch.float64).float().view(shape)


def weight(j, shape):
    return formula(shape, 0.5, lambda i: 0.37 * i + 1.3 * j, 0.0007)


def gradient(j, shape, step):
    return formula(shape, 0.2, lambda i: 0.51 * i + 0.7 * j + 1.1 * step, 0.0013)


def floats(tensor):
    """f32 values with the nine digits that give the same f32 back."""
    return [float(f"{value:.9g}") for value in tensor.detach().flatten().tolist()]


def train(make_optimizer, shapes):
    parameters = [weight(j, shape).requires_grad_() for j, shape in enumerate(shapes)]
    optimizer = make_optimizer(parameters)
    for step in range(NUM_STEPS):
        for j, parameter in enumerate(parameters):
            parameter.grad = gradient(j, shapes[j], step)
        for group in optimizer.param_groups:
            group["lr"] = 0.01 / (1 + step)
        optimizer.step()
    return [floats(parameter) for parameter in parameters]


def adamw(parameters):
    import torch

    groups = [{"params": [parameters[0]], "weight_decay": 0.2},
              {"params": [parameters[1]], "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, betas=(0.8, 0.99), eps=1e-6)


def muon(scale):
    import torch

    def as_f32(tensor):
        return tensor.float().clone()

    with mock.patch.object(torch.Tensor, "bfloat16", as_f32):
        return train(lambda parameters: torch.optim.Muon(
            parameters, momentum=0.95, weight_decay=0.1, adjust_lr_fn=scale), MUON_SHAPES)


def clip():
    import torch

    parameters = [weight(j, shape).requires_grad_() for j, shape in enumerate(ADAMW_SHAPES)]
    for j, parameter in enumerate(parameters):
        parameter.grad = gradient(j, ADAMW_SHAPES[j], 0)
    norm = torch.nn.utils.clip_grad_norm_(parameters, 0.3)
    return {"norm": float(norm), "gradients": [floats(p.grad) for p in parameters]}


def schedules():
    import torch
    import transformers

    def rates(make):
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        schedule = make(optimizer)
        values = []
        for _ in range(STEPS):
            optimizer.step()
            schedule.step()
            values.append(schedule.get_last_lr()[0])
        return values

    warmup, steps = WARMUP + 1, STEPS + 1

    def wsd(shape):
        return lambda optimizer: transformers.get_wsd_schedule(
            optimizer, warmup, DECAY, num_training_steps=steps, decay_type=shape, min_lr_ratio=0.1)

    return {
        "constant": rates(lambda o: transformers.get_constant_schedule_with_warmup(o, warmup)),
        "linear": rates(lambda o: transformers.get_linear_schedule_with_warmup(o, warmup, steps)),
        "cosine": rates(lambda o: transformers.get_cosine_with_min_lr_schedule_with_warmup(
            o, warmup, steps, min_lr_rate=0.1)),
        "wsd_linear": rates(wsd("linear")), "wsd_cosine": rates(wsd("cosine")),
        "wsd_sqrt": rates(wsd("1-sqrt"))}


def compute():
    import torch
    import transformers

    torch.set_num_threads(1)
    return {"made_by": "tests/golden/optimizers.py",
            "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
            "adamw": train(adamw, ADAMW_SHAPES), "muon_original": muon("original"),
            "muon_match_rms_adamw": muon("match_rms_adamw"), "clip": clip(),
            "schedules": schedules()}


def worst_difference(old, new):
    """The largest |a - b| between numbers in equal places."""
    if isinstance(old, dict):
        assert old.keys() == new.keys(), (old.keys(), new.keys())
        return max(worst_difference(old[key], new[key]) for key in old)
    if isinstance(old, list):
        assert len(old) == len(new), (len(old), len(new))
        return max(worst_difference(a, b) for a, b in zip(old, new))
    return abs(old - new)


def main():
    fresh = compute()
    if sys.argv[1:] == ["--check"]:
        with open(GOLDEN, encoding="utf-8") as file:
            stored = json.load(file)
        for document in (stored, fresh):
            document.pop("versions")
            document.pop("made_by")
        worst = worst_difference(stored, fresh)
        print(f"optimizers.json: largest difference {worst:.2e}")
        return 1 if worst > 1e-4 else 0
    with open(GOLDEN, "w", encoding="utf-8") as file:
        json.dump(fresh, file, separators=(",", ":"))
        file.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
