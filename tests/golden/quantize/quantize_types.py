#!/usr/bin/env python3
"""Makes tests/golden/quantize/types.jsonl: which format llama-quantize gives each tensor.

The first line has the versions; each other line is a tiny model of zeros: {"model": name, "facts":
what the rules ask of it, "tensors": {name: shape, outermost first}, "types": {"Q4_K_M": letters}},
with an entry "Q4_0 imatrix" where an importance matrix was given. Letter i is the format of tensor
i, by its place in LETTERS.

    quantize_types.py [--program llama-quantize] [--check]

--program is llama.cpp's; without it the one that bench/peers builds.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile

import gguf
import numpy

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDEN = os.path.join(HERE, "types.jsonl")
TYPES = ["F16", "BF16", "Q8_0", "Q6_K", "Q5_1", "Q5_K_M", "Q5_K_S", "Q5_0", "Q4_1", "Q4_K_M",
         "Q4_K_S", "Q4_0", "Q3_K_L", "Q3_K_M", "Q3_K_S", "Q2_K"]
LETTERS = {"F32": "-", "F16": "h", "BF16": "b", "Q8_0": "8", "Q6_K": "6", "Q5_K": "5", "Q4_K": "4",
           "Q3_K": "3", "Q2_K": "2", "Q5_1": "t", "Q5_0": "s", "Q4_1": "r", "Q4_0": "q"}
WITH_IMATRIX = ["Q4_0", "Q5_0", "Q4_K_M"]


def default_program():
    sys.path.insert(0, os.path.join(HERE, "..", "..", "..", "bench", "peers"))
    import llama_cpp
    return os.path.join(llama_cpp.build(), "llama-quantize")


def attention(hidden, kv):
    return {"attn_norm": [hidden], "attn_q": [hidden, hidden], "attn_k": [kv, hidden],
            "attn_v": [kv, hidden], "attn_output": [hidden, hidden], "ffn_norm": [hidden]}


def dense(hidden, ffn):
    return {"ffn_gate": [ffn, hidden], "ffn_up": [ffn, hidden], "ffn_down": [hidden, ffn]}


def experts(hidden, ffn, count, shared=0):
    out = {"ffn_gate_inp": [count, hidden], "ffn_gate_exps": [count, ffn, hidden],
           "ffn_up_exps": [count, ffn, hidden], "ffn_down_exps": [count, hidden, ffn]}
    if shared:
        out |= {"ffn_gate_shexp": [shared, hidden], "ffn_up_shexp": [shared, hidden],
                "ffn_down_shexp": [hidden, shared]}
    return out


def latent(hidden, heads, split):
    """MLA of nope 32, rope 16, v 32 and a latent of 256; `split`: kv_b in two, and q through a."""
    out = {"attn_norm": [hidden], "attn_kv_a_mqa": [272, hidden], "attn_kv_a_norm": [256],
           "attn_output": [hidden, heads * 32], "ffn_norm": [hidden]}
    if not split:
        return out | {"attn_q": [heads * 48, hidden], "attn_kv_b": [heads * 64, 256]}
    return out | {"attn_q_a": [96, hidden], "attn_q_a_norm": [96], "attn_q_b": [heads * 48, 96],
                  "attn_k_b": [heads, 256, 32], "attn_v_b": [heads, 32, 256]}


class Model:
    def __init__(self, name, architecture, layers, heads, kv_heads, hidden, layer, tied=False,
                 experts_count=0, extra=None, metadata=None):
        self.name, self.architecture = name, architecture
        self.facts = {"architecture": architecture, "layers": layers, "heads": heads,
                      "kv_heads": kv_heads, "experts": experts_count}
        self.hidden, self.metadata = hidden, metadata or {}
        self.tensors = {"token_embd.weight": [64, hidden], "output_norm.weight": [hidden]}
        if not tied:
            self.tensors["output.weight"] = [64, hidden]
        for i in range(layers):
            for part, shape in layer(i).items():
                suffix = "" if "." in part else ".weight"
                self.tensors[f"blk.{i}.{part}{suffix}"] = shape
        self.tensors |= extra or {}

    def write(self, path):
        writer = gguf.GGUFWriter(path, self.architecture)
        facts = self.facts
        writer.add_block_count(facts["layers"])
        writer.add_context_length(128)
        writer.add_embedding_length(self.hidden)
        writer.add_feed_forward_length(256)
        writer.add_head_count(facts["heads"])
        writer.add_head_count_kv(facts["kv_heads"])
        writer.add_layer_norm_rms_eps(1e-5)
        writer.add_vocab_size(64)
        if facts["experts"]:
            writer.add_expert_count(facts["experts"])
            writer.add_expert_used_count(2)
        for key, value in self.metadata.items():
            writer.add_uint32(f"{self.architecture}.{key}", value)
        for name, shape in self.tensors.items():
            writer.add_tensor(name, numpy.zeros(shape, dtype=numpy.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()

    def write_imatrix(self, path):
        writer = gguf.GGUFWriter(path, "none")
        writer.add_type("imatrix")
        writer.add_array("imatrix.datasets", ["none"])
        writer.add_uint32("imatrix.chunk_count", 1)
        writer.add_uint32("imatrix.chunk_size", 1)
        for name, shape in self.tensors.items():
            if len(shape) > 1 and name != "token_embd.weight":
                matrices = shape[0] if len(shape) == 3 else 1
                sums = numpy.ones([matrices, shape[-1]], numpy.float32)
                writer.add_tensor(name + ".in_sum2", sums)
                writer.add_tensor(name + ".counts", numpy.ones([matrices, 1], numpy.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


DEEPSEEK = {"attention.kv_lora_rank": 256, "attention.key_length_mla": 48,
            "attention.value_length_mla": 32, "rope.dimension_count": 16,
            "expert_feed_forward_length": 160, "expert_shared_count": 1,
            "leading_dense_block_count": 1}


def models():
    yield Model("llama, tied, rows that 256 does not divide", "llama", 12, 4, 2, 256,
                lambda i: attention(256, 128) | dense(256, 352), tied=True,
                extra={"rope_freqs.weight": [32]})
    yield Model("llama of 80 layers", "llama", 80, 8, 1, 256,
                lambda i: {"attn_k": [32, 256], "attn_v": [32, 256], "ffn_down": [256, 256]})
    yield Model("llama with eight experts", "llama", 10, 4, 4, 256,
                lambda i: attention(256, 256) | experts(256, 256, 8), experts_count=8)
    yield Model("qwen2", "qwen2", 9, 8, 2, 512,
                lambda i: attention(512, 128) | dense(512, 256)
                | {"attn_q.bias": [512], "attn_k.bias": [128], "attn_v.bias": [128]})
    yield Model("qwen2 of a width that 32 does not divide", "qwen2", 3, 5, 5, 80,
                lambda i: attention(80, 80) | dense(80, 96), tied=True)
    yield Model("deepseek2 as V2-Lite", "deepseek2", 27, 8, 8, 256,
                lambda i: latent(256, 8, False)
                | (dense(256, 288) if i == 0 else experts(256, 160, 7, 320)),
                experts_count=7, metadata=DEEPSEEK)
    yield Model("deepseek2 as V3", "deepseek2", 11, 8, 1, 256,
                lambda i: latent(256, 8, True)
                | (dense(256, 512) if i == 0
                   else experts(256, 256, 16, 256) | {"exp_probs_b.bias": [16]}),
                experts_count=16, metadata=DEEPSEEK | {"attention.q_lora_rank": 96})


def types_of(program, names, source, kind, imatrix):
    with tempfile.TemporaryDirectory() as folder:
        target = os.path.join(folder, "target.gguf")
        flags = ["--imatrix", imatrix] if imatrix else []
        done = subprocess.run([program, *flags, source, target, kind, "2"], capture_output=True)
        if done.returncode != 0:
            sys.exit(f"types: llama-quantize failed:\n{done.stdout.decode()[-2000:]}"
                     f"{done.stderr.decode()[-2000:]}")
        kinds = {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(target).tensors}
        return "".join(LETTERS[kinds[name]] for name in names)


def lines(program):
    yield {"llama_cpp_python": "0.3.36",
           "gguf": __import__("importlib.metadata").metadata.version("gguf")}
    for model in models():
        with tempfile.TemporaryDirectory() as folder:
            source = os.path.join(folder, "source.gguf")
            imatrix = os.path.join(folder, "imatrix.gguf")
            model.write(source)
            model.write_imatrix(imatrix)
            types = {kind: types_of(program, model.tensors, source, kind, None) for kind in TYPES}
            for kind in WITH_IMATRIX:
                types[f"{kind} imatrix"] = types_of(program, model.tensors, source, kind, imatrix)
        yield {"model": model.name, "facts": model.facts, "tensors": model.tensors, "types": types}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    made = [json.dumps(line) for line in lines(options.program or default_program())]
    if not options.check:
        with open(GOLDEN, "w", encoding="utf-8") as file:
            file.writelines(line + "\n" for line in made)
        return
    with open(GOLDEN, encoding="utf-8") as file:
        same = file.read().splitlines() == made
    print("types.jsonl is", "as computed" if same else "NOT as computed")
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
