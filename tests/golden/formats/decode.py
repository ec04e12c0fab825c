#!/usr/bin/env python3
"""Makes tests/golden/formats/decode.jsonl: blocks of every block format as Python's gguf decodes
them.

The first line has the versions; each other line {"format", "blocks", "values"}: random bytes of
whole blocks with finite f16 scales of ordinary and of subnormal size and both signs, and the
decoded f32 numbers, both as hexadecimal of their little-endian bytes.

    decode.py            # writes the file
    decode.py --check    # computes afresh and compares
"""

import json
import os
import platform
import sys

import gguf
import numpy
from gguf import GGMLQuantizationType as T

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "decode.jsonl")
# Offsets of the f16 numbers in a block, by the formats' descriptions.
HALVES = {T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0], T.Q2_K: [80, 82],
          T.Q3_K: [108], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208], T.IQ4_NL: [0],
          T.IQ4_XS: [0]}
ELEMENTS = 512


def blocks_of(kind, random):
    block_size, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    count = ELEMENTS // block_size
    blocks = random.integers(0, 256, (count, block_bytes), dtype=numpy.uint8)
    for offset in HALVES[kind]:
        halves = random.normal(size=count).astype(numpy.float16)
        halves[0] = 5e-7  # subnormal
        blocks[:, offset:offset + 2] = halves.view(numpy.uint8).reshape(count, 2)
    return blocks


def lines():
    random = numpy.random.Generator(numpy.random.PCG64(20))
    yield {"python": platform.python_version(), "numpy": numpy.__version__,
           "gguf": __import__("importlib.metadata").metadata.version("gguf")}
    for kind in HALVES:
        blocks = blocks_of(kind, random)
        values = gguf.quants.dequantize(blocks, kind).astype("<f4")
        assert values.size == ELEMENTS and numpy.isfinite(values).all()
        yield {"format": kind.name.lower(), "blocks": blocks.tobytes().hex(),
               "values": values.tobytes().hex()}


def main():
    text = "".join(json.dumps(line) + "\n" for line in lines())
    if sys.argv[1:] == ["--check"]:
        with open(GOLDEN, encoding="utf-8") as file:
            known = file.read()
        same = known.splitlines()[1:] == text.splitlines()[1:]
        print("decode.jsonl is", "as computed" if same else "NOT as computed")
        sys.exit(0 if same else 1)
    with open(GOLDEN, "w", encoding="utf-8") as file:
        file.write(text)


if __name__ == "__main__":
    main()
