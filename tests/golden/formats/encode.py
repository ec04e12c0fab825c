#!/usr/bin/env python3
"""Makes tests/golden/formats/encode.jsonl: the squared error of llama.cpp's quantisers.

The first line has the versions; each other line {"row", "values", "errors"}: 2048 numbers as
hexadecimal of little-endian f16, and for each format the sum of squares of what llama.cpp's
quantize_row_*_ref (no importance matrix) and back leaves of them. Rows: normal, Student's t with
three degrees of freedom, exponential (all positive), sparse, groups of very different size, and
rows of SmolLM2-135M-Instruct (token_embd, which is q8_0 in its file, and ffn_down, q4_1).

    encode.py --model FILE.gguf [--library libggml-base.so] [--check]

--library is llama.cpp's; without it the one that bench/peers builds.
"""

import argparse
import ctypes
import json
import os
import sys

import gguf
import numpy

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDEN = os.path.join(HERE, "encode.jsonl")
ELEMENTS = 2048
KINDS = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"]


def default_library():
    sys.path.insert(0, os.path.join(HERE, "..", "..", "..", "bench", "peers"))
    import llama_cpp
    return os.path.join(llama_cpp.build(), "libggml-base.so")


def rows_of(model):
    random = numpy.random.Generator(numpy.random.PCG64(21))
    yield "normal", random.normal(0, 0.02, ELEMENTS)
    yield "heavy-tailed", random.standard_t(3, ELEMENTS) * 0.02
    yield "positive", random.exponential(1, ELEMENTS) + 0.5
    yield "sparse", random.normal(0, 1, ELEMENTS) * (numpy.arange(ELEMENTS) % 5 == 0)
    groups = numpy.arange(ELEMENTS) // 16 % 12
    yield "uneven groups", random.normal(0, 1, ELEMENTS) * numpy.exp2(groups - 6)
    wanted = {"token_embd.weight": 40000, "blk.5.ffn_down.weight": 7, "blk.20.ffn_down.weight": 300}
    for tensor in gguf.GGUFReader(model).tensors:
        if tensor.name in wanted:
            weights = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
            yield tensor.name, weights[wanted[tensor.name]:].ravel()[:ELEMENTS]


def squared_error(library, kind_name, row):
    kind = gguf.GGMLQuantizationType[kind_name]
    block_size, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    blocks = numpy.zeros(ELEMENTS // block_size * block_bytes, dtype=numpy.uint8)
    quantize = getattr(library, f"quantize_row_{kind_name.replace('Q', 'q')}_ref")
    quantize(row.ctypes.data_as(ctypes.c_void_p), blocks.ctypes.data_as(ctypes.c_void_p),
             ctypes.c_int64(ELEMENTS))
    back = gguf.quants.dequantize(blocks, kind).astype(numpy.float64)
    return float(numpy.sum((back - row) ** 2))


def lines(library, model):
    yield {"numpy": numpy.__version__, "llama_cpp_python": "0.3.36",
           "gguf": __import__("importlib.metadata").metadata.version("gguf")}
    for name, values in rows_of(model):
        halves = numpy.asarray(values).astype("<f2")
        row = numpy.ascontiguousarray(halves.astype(numpy.float32))
        yield {"row": name, "values": halves.tobytes().hex(),
               "errors": {kind.lower(): squared_error(library, kind, row) for kind in KINDS}}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--library")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    library = ctypes.CDLL(options.library or default_library())
    made = list(lines(library, options.model))
    if not options.check:
        with open(GOLDEN, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(line) + "\n" for line in made)
        return
    with open(GOLDEN, encoding="utf-8") as file:
        known = [json.loads(line) for line in file]
    same = len(known) == len(made)
    for old, new in zip(known[1:], made[1:]):
        same = same and old["values"] == new["values"] and all(
            abs(old["errors"][kind] - error) <= 1e-5 * error
            for kind, error in new["errors"].items())
    print("encode.jsonl is", "as computed" if same else "NOT as computed")
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
