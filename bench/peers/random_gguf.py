"""GGUF files of random weights, with nothing but Python's standard library.

Random weights are as good as trained ones for speed and memory. Blocks of each format are drawn so
that a weight is about 0.02 from zero: activations stay finite through many layers. A pool of them
is repeated over the tensors, each beginning elsewhere in it.
"""

import functools
import os
import random
import re
import struct
import subprocess
import tempfile

VALUE_U32, VALUE_F32, VALUE_BOOL, VALUE_STRING, VALUE_ARRAY = 4, 6, 7, 8, 9
ALIGNMENT = 32
POOL_BLOCKS = 65521  # a prime, so that rows of whole blocks do not come again soon


def scale(generator, value):
    return generator.uniform(0.5, 1.0) * value


# format: its number in GGUF, weights a block, and what draws the bytes of a block. Beside random
# bytes these are half-precision scales: d * (q - middle), or d * scale * q - dmin * minimum.
FORMATS = {
    "f32": (0, 1, lambda g: struct.pack("<f", g.gauss(0, 0.02))),
    "f16": (1, 1, lambda g: struct.pack("<e", g.gauss(0, 0.02))),
    "q5_0": (6, 32, lambda g: struct.pack("<e", scale(g, 0.003)) + g.randbytes(20)),
    "q8_0": (8, 32, lambda g: struct.pack("<e", scale(g, 0.03 / 127)) + g.randbytes(32)),
    # 7.5: the mean of the 4-bit numbers, so that the mean of the weights is 0.
    "q4_K": (12, 256, lambda g: struct.pack("<ee", *[scale(g, 1e-4) * f for f in (1, 7.5)])
             + g.randbytes(140)),
    "q6_K": (14, 256, lambda g: g.randbytes(208) + struct.pack("<e", scale(g, 2e-5))),
}


@functools.lru_cache(maxsize=None)
def pool(kind):
    generator = random.Random(7)
    make_block = FORMATS[kind][2]
    return b"".join(make_block(generator) for _ in range(POOL_BLOCKS))


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def metadata_value(value):
    if isinstance(value, bool):
        return struct.pack("<I?", VALUE_BOOL, value)
    if isinstance(value, str):
        return struct.pack("<I", VALUE_STRING) + text(value)
    if isinstance(value, float):
        return struct.pack("<If", VALUE_F32, value)
    if isinstance(value, list):  # of strings
        head = struct.pack("<IIQ", VALUE_ARRAY, VALUE_STRING, len(value))
        return head + b"".join(map(text, value))
    return struct.pack("<II", VALUE_U32, value)


def padding(size):
    return -size % ALIGNMENT


class RandomTensor:
    """`dims` as GGUF has them, the length of a row first; one dimension is a norm, of ones."""

    def __init__(self, name, dims, kind):
        self.name = name
        self.dims = dims
        self.kind = kind if len(dims) > 1 else "f32"
        self.count = functools.reduce(lambda a, b: a * b, dims)

    def size(self):
        return self.count // FORMATS[self.kind][1] * (len(pool(self.kind)) // POOL_BLOCKS)

    def write(self, file, start_block):
        if len(self.dims) == 1:
            file.write(struct.pack("<f", 1.0) * self.count)
            return
        blocks = pool(self.kind)
        start = start_block % POOL_BLOCKS * (len(blocks) // POOL_BLOCKS)
        left = self.size()
        while left > 0:
            piece = memoryview(blocks)[start:start + left]
            file.write(piece)
            left -= len(piece)
            start = 0


def header_of(metadata, tensors):
    header = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(metadata))
    header += b"".join(text(key) + metadata_value(value) for key, value in metadata.items())
    offset = 0
    for tensor in tensors:
        dims = tensor.dims
        header += text(tensor.name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims,
                                                  FORMATS[tensor.kind][0], offset)
        offset += tensor.size() + padding(tensor.size())
    return header + b"\0" * padding(len(header)), offset


def write(path, metadata, tensors):
    """The file of these RandomTensors; put in its place when whole."""
    generator = random.Random(11)
    with open(path + ".partial", "wb") as file:
        file.write(header_of(metadata, tensors)[0])
        for tensor in tensors:
            tensor.write(file, generator.randrange(POOL_BLOCKS))
            file.write(b"\0" * padding(tensor.size()))
    os.replace(path + ".partial", path)


def quantized_kinds(quantize_program, metadata, tensors, kind):
    """{name of a tensor: the format that llama-quantize gives it} in a file of `kind`.

    It is asked in a dry run over a file of these tensors that has no data on the disk.
    """
    with tempfile.NamedTemporaryFile(suffix=".gguf") as file:
        header, data_bytes = header_of(metadata, tensors)
        file.write(header)
        file.truncate(len(header) + data_bytes)
        file.flush()
        told = subprocess.run([quantize_program, "--dry-run", file.name, kind], check=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, encoding="utf-8", errors="replace").stdout
    kinds = {}
    for name, old, new in re.findall(r"\] +(\S+) +- \[[^]]*\], type = +(\S+), size = [^\n(]*"
                                     r"(?:\((\w+)\))?$", told, re.MULTILINE):
        kinds[name] = new or old
    missing = [tensor.name for tensor in tensors if tensor.name not in kinds]
    if missing:
        raise ValueError(f"{quantize_program} did not tell the format of {missing[0]}")
    return kinds
