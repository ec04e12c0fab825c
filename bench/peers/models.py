"""The model files of the topics: the default model, llama-quantize's versions of it, and random
weights in the shape of a larger one. Made once, under the folder of the peers' cache.

Random weights are as good as trained ones for speed and memory. They are written as Q8_0, which
needs nothing but Python's standard library, and llama-quantize makes of them what a topic wants.
"""

import json
import os
import random
import struct
import subprocess
import sys

import llama_cpp

DEFAULT_MODEL = "smollm2-135m"

# GGUF's numbers for what is written here.
F32, Q8_0 = 0, 8
VALUE_U32, VALUE_F32, VALUE_STRING, VALUE_ARRAY = 4, 6, 8, 9
ALIGNMENT = 32

# Qwen2-1.5B's widths on the Llama graph.
SHAPE_1_5B = dict(layers=28, hidden=1536, ffn=8960, heads=12, kv_heads=2, vocab=151936,
                  context=32768)


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def metadata_value(value):
    if isinstance(value, str):
        return struct.pack("<I", VALUE_STRING) + text(value)
    if isinstance(value, float):
        return struct.pack("<If", VALUE_F32, value)
    if isinstance(value, list):  # of strings
        head = struct.pack("<IIQ", VALUE_ARRAY, VALUE_STRING, len(value))
        return head + b"".join(map(text, value))
    return struct.pack("<II", VALUE_U32, value)


def random_bytes(kind, count):
    """`count` random weights: a pool of Q8_0 blocks over and over, or ones for a norm."""
    if kind == F32:
        return struct.pack(f"<{count}f", *[1.0] * count)
    generator = random.Random(7)
    block = struct.calcsize("<e32b")
    pool = b"".join(struct.pack("<e", generator.uniform(0.5, 1.0) * 0.03 / 127)
                    + generator.randbytes(32) for _ in range(65536))
    size = count // 32 * block
    return (pool * (size // len(pool) + 1))[:size]


def tensors_of(shape):
    """(name, kind, [cols, rows]) of a Llama with a tied head."""
    kv = shape["hidden"] // shape["heads"] * shape["kv_heads"]
    hidden, ffn = shape["hidden"], shape["ffn"]
    yield "token_embd.weight", Q8_0, [hidden, shape["vocab"]]
    yield "output_norm.weight", F32, [hidden]
    for i in range(shape["layers"]):
        for norm in ("attn_norm", "ffn_norm"):
            yield f"blk.{i}.{norm}.weight", F32, [hidden]
        for name, size in (("attn_q", [hidden, hidden]), ("attn_k", [hidden, kv]),
                           ("attn_v", [hidden, kv]), ("attn_output", [hidden, hidden]),
                           ("ffn_gate", [hidden, ffn]), ("ffn_up", [hidden, ffn]),
                           ("ffn_down", [ffn, hidden])):
            yield f"blk.{i}.{name}.weight", Q8_0, size


def vocabulary(size):
    """As many tokens as the shape says: GPT-2's names of the bytes, then numbered words."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    names = {**{byte: chr(byte) for byte in printable},
             **{byte: chr(256 + i) for i, byte in enumerate(others)}}
    words = [f"word{i}" for i in range(size - 257)]
    return [names[byte] for byte in range(256)] + words + ["<|endoftext|>"]


def write_random_llama(path, shape):
    head_dim = shape["hidden"] // shape["heads"]
    metadata = {
        "general.architecture": "llama", "general.name": "random weights",
        "llama.block_count": shape["layers"], "llama.context_length": shape["context"],
        "llama.embedding_length": shape["hidden"], "llama.feed_forward_length": shape["ffn"],
        "llama.attention.head_count": shape["heads"],
        "llama.attention.head_count_kv": shape["kv_heads"],
        "llama.rope.dimension_count": head_dim, "llama.rope.freq_base": 1e6,
        "llama.attention.layer_norm_rms_epsilon": 1e-6, "llama.vocab_size": shape["vocab"],
        "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.tokens": vocabulary(shape["vocab"]), "tokenizer.ggml.merges": ["w o"],
        "tokenizer.ggml.eos_token_id": shape["vocab"] - 1,
        "tokenizer.ggml.bos_token_id": shape["vocab"] - 1,
    }
    tensors = list(tensors_of(shape))
    sizes = {F32: lambda count: 4 * count, Q8_0: lambda count: count // 32 * 34}
    header = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(metadata))
    header += b"".join(text(key) + metadata_value(value) for key, value in metadata.items())
    offset = 0
    counts = []
    for name, kind, dims in tensors:
        count = dims[0] * (dims[1] if len(dims) > 1 else 1)
        header += text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, offset)
        counts.append(count)
        offset += (sizes[kind](count) + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
    with open(path, "wb") as file:
        file.write(header + b"\0" * (-len(header) % ALIGNMENT))
        for (_, kind, _), count in zip(tensors, counts):
            data = random_bytes(kind, count)
            file.write(data)
            file.write(b"\0" * (-len(data) % ALIGNMENT))


def default_model(minke):
    """The path of the default model's file; fetches it when it is not there."""
    show = [minke, "show", DEFAULT_MODEL, "--json"]
    if subprocess.run(show, capture_output=True).returncode != 0:
        subprocess.run([minke, "pull", DEFAULT_MODEL], check=True, stdout=sys.stderr)
    return json.loads(subprocess.run(show, capture_output=True, check=True).stdout)["path"]


def quantized(programs, source, target, kind, *flags):
    """`source` as llama-quantize writes it in `kind`; kept, and put in its place when whole."""
    if not os.path.exists(target):
        partial = target + ".partial"
        program = os.path.join(programs, "llama-quantize")
        llama_cpp.run_logged([program, "--allow-requantize", *flags, source, partial, kind],
                             target + ".log")
        os.replace(partial, target)
    return target


def model_file(name, minke, programs):
    """The file of a topic's model: DEFAULT_MODEL, smol-<format> or 1.5b-<format>."""
    if name == DEFAULT_MODEL:
        return default_model(minke)
    folder = os.path.join(llama_cpp.cache_folder(), "models")
    os.makedirs(folder, exist_ok=True)
    target = os.path.join(folder, name + ".gguf")
    size, kind = name.split("-", 1)
    if size == "smol":
        return quantized(programs, default_model(minke), target, kind.upper(), "--pure")
    if not os.path.exists(target):
        source = os.path.join(folder, "1.5b-random.gguf")
        print("peers: writing random weights in a 1.5B shape (once)", file=sys.stderr, flush=True)
        write_random_llama(source, SHAPE_1_5B)
        quantized(programs, source, target, kind.upper())
        os.remove(source)
    return target
