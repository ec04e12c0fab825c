#!/usr/bin/env python3
"""Makes tests/golden/formats/fp8.json: FP8 as PyTorch decodes and encodes it.

{"versions", "e4m3", "e8m0", "values", "codes"}: the f32 numbers of all 256 bytes of float8_e4m3fn
and of float8_e8m0fnu; and f32 numbers within +-464 (beyond, PyTorch has NaN where minke has 448),
with the e4m3 bytes that they become. All as hexadecimal of little-endian bytes.

    fp8.py            # writes the file
    fp8.py --check    # computes afresh and compares
"""

import json
import os
import sys

import torch

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fp8.json")


def hexadecimal(tensor):
    return tensor.numpy().tobytes().hex()


def values_to_encode():
    """Every e4m3 number, the middles between neighbours, what is just beside these; and others."""
    numbers = torch.arange(127, dtype=torch.uint8).view(torch.float8_e4m3fn).float()
    middles = (numbers[1:] + numbers[:-1]) / 2
    beside = [torch.nextafter(middles, torch.tensor(to)) for to in (-1.0, 1000.0)]
    generator = torch.Generator().manual_seed(8)
    others = torch.randn(300, generator=generator) * torch.exp2(
        torch.randint(-14, 8, (300,), generator=generator).float())
    tiny = torch.tensor([1e-45, 1e-30, 2.0 ** -11, 463.9])
    values = torch.cat([numbers, middles, *beside, others.clamp(-463, 463), tiny])
    return torch.cat([values, -values])


def golden():
    every = torch.arange(256).to(torch.uint8)
    values = values_to_encode()
    return {"versions": {"torch": torch.__version__},
            "e4m3": hexadecimal(every.view(torch.float8_e4m3fn).float()),
            "e8m0": hexadecimal(every.view(torch.float8_e8m0fnu).float()),
            "values": hexadecimal(values),
            "codes": hexadecimal(values.to(torch.float8_e4m3fn).view(torch.uint8))}


def main():
    made = golden()
    if sys.argv[1:] == ["--check"]:
        with open(GOLDEN, encoding="utf-8") as file:
            known = json.load(file)
        same = {**known, "versions": 0} == {**made, "versions": 0}
        print("fp8.json is", "as computed" if same else "NOT as computed")
        sys.exit(0 if same else 1)
    with open(GOLDEN, "w", encoding="utf-8") as file:
        json.dump(made, file, indent=0)
        file.write("\n")


if __name__ == "__main__":
    main()
