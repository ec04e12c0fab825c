#!/usr/bin/env python3
"""Gradients of whole models by PyTorch, in f64, for the checkpoints of hf_models.py.

tests/golden/gradients/CASE.safetensors holds what is forwarded, `ids` and `targets` [n] (-1: no
loss) of sequences of `lengths` one after the other; `loss`, the mean of -ln p(target) over all
targets, to which MTP modules add MTP_WEIGHT / D times the same of each of their D depths
(DeepSeek-V3, eq. 24-25); and the loss's gradient by each tensor of the checkpoint, under its name.
tests/models/gradients_test.cpp compares.

    model_gradients.py [--case CASE]      # writes the files
    model_gradients.py --check            # computes them afresh and compares
"""

import argparse
import os
import random
import sys
import tempfile

import hf_models

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "gradients")
CASES = ["llama", "qwen2", "qwen3", "qwen3-moe", "deepseek-v2", "deepseek-v3", "deepseek-v3-mtp",
         "gpt2", "gpt2-erf"]
LENGTHS = [23, 1, 17, 9]
MTP_WEIGHT = 0.3
TOLERANCE = 1e-6  # of the largest number of a tensor


def batch_of(case):
    """Ids and targets of each sequence: the next token, of some none."""
    rng = random.Random(case)
    sequences = []
    for length in LENGTHS:
        ids = [rng.randrange(61) for _ in range(length + 1)]
        targets = [t if rng.random() < 0.8 else -1 for t in ids[1:]]
        sequences.append((ids[:-1], targets))
    return sequences


def sum_of_losses(logits, targets):
    import torch

    return torch.nn.functional.cross_entropy(logits, torch.tensor(targets), ignore_index=-1,
                                             reduction="sum")


def sequence_loss(model, ids, targets):
    """The sum over a sequence's targets, and over those of its depths of MTP."""
    import torch

    out = model(torch.tensor([ids]), output_hidden_states=True)
    loss = sum_of_losses(out.logits[0], targets)
    depths = 0 if model.mtp is None else len(model.mtp.layers)
    hidden = out.hidden_states[-1]
    for depth in range(1, depths + 1):
        if len(ids) <= depth:
            break
        hidden = model.mtp.forward_layer(
            depth - 1, hidden[:, :len(ids) - depth], torch.arange(depth, len(ids))[None], None,
            input_ids=torch.tensor([ids[depth:]]))
        logits = model.mtp._project_to_logits(hidden)[0]
        loss = loss + MTP_WEIGHT / depths * sum_of_losses(logits, targets[depth:])
    return loss


def gradients_of(case):
    import torch

    model = hf_models.load(os.path.join(hf_models.FOLDER, case))
    model.double()
    if model.mtp is not None:
        model.mtp.double()
    batch = batch_of(case)
    divisor = sum(t >= 0 for _, targets in batch for t in targets)
    loss = sum(sequence_loss(model, ids, targets) for ids, targets in batch) / divisor
    loss.backward()
    with torch.no_grad():
        modules = [model] if model.mtp is None else [model, model.mtp.layers]
        for parameter in (p for module in modules for p in module.parameters()):
            grad = parameter.grad
            parameter.copy_(torch.zeros_like(parameter) if grad is None else grad)
    # The gradients in the weights' place take their names as the checkpoint is written.
    with tempfile.TemporaryDirectory() as folder:
        hf_models.save(model, folder, "float32", "1GB")
        tensors = hf_models.read_tensors(folder)
    tensors = {name: t for name, t in tensors.items() if "e_score_correction_bias" not in name}
    for name, values in (("ids", [i for ids, _ in batch for i in ids]),
                         ("targets", [t for _, targets in batch for t in targets]),
                         ("lengths", LENGTHS)):
        tensors[name] = torch.tensor(values, dtype=torch.int32)
    tensors["loss"] = loss.detach().float().reshape(1)
    return tensors


def worst_difference(found, expected):
    import torch

    if found.keys() != expected.keys():
        return "other tensors", float("inf")
    worst = ("", 0.0)
    for name, tensor in expected.items():
        scale = max(tensor.double().abs().max().item(), 1e-30)
        error = (found[name].double() - tensor.double()).abs().max().item() / scale
        worst = max(worst, (name, error), key=lambda pair: pair[1])
    return worst


def main():
    import safetensors.torch

    parser = argparse.ArgumentParser()
    parser.add_argument("--case", choices=CASES)
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    failed = False
    os.makedirs(FOLDER, exist_ok=True)
    for case in [args.case] if args.case else CASES:
        path = os.path.join(FOLDER, case + ".safetensors")
        tensors = gradients_of(case)
        if not args.check:
            safetensors.torch.save_file(tensors, path)
            print(f"{case}: loss {tensors['loss'].item():.6f}, {len(tensors)} tensors")
            continue
        name, error = worst_difference(tensors, safetensors.torch.load_file(path))
        print(f"{case}: worst difference {error:.1e} {name}")
        failed |= error > TOLERANCE
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
