"""The model files of the topics: the default model, llama-quantize's versions of it, and random
weights in the shapes of larger ones. Made once, under the folder of the peers' cache.
"""

import json
import os
import subprocess
import sys

import llama_cpp
import random_gguf
from random_gguf import RandomTensor

DEFAULT_MODEL = "smollm2-135m"
V2_LITE = "v2-lite-q4_k_m"

# Qwen2-1.5B's widths on the Llama graph.
SHAPE_1_5B = dict(layers=28, hidden=1536, ffn=8960, heads=12, kv_heads=2, vocab=151936,
                  context=32768)
# DeepSeek-V2-Lite's (its config.json, with its names shortened).
SHAPE_V2_LITE = dict(layers=27, hidden=2048, ffn=10944, heads=16, q_lora=0, kv_lora=512, nope=128,
                     rope=64, v=128, dense_layers=1, experts=64, used=6, shared=2, expert_ffn=1408,
                     vocab=102400, context=163840, rope_factor=40.0, original_context=4096,
                     mscale=0.707)


def vocabulary(size):
    """As many tokens as the shape says: GPT-2's names of the bytes, then numbered words."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    names = {**{byte: chr(byte) for byte in printable},
             **{byte: chr(256 + i) for i, byte in enumerate(others)}}
    words = [f"word{i}" for i in range(size - 257)]
    return [names[byte] for byte in range(256)] + words + ["<|endoftext|>"]


def metadata_of(architecture, shape, fields):
    """What every file has; `fields` are the architecture's own."""
    common = {
        "block_count": shape["layers"], "context_length": shape["context"],
        "embedding_length": shape["hidden"], "feed_forward_length": shape["ffn"],
        "attention.head_count": shape["heads"], "attention.layer_norm_rms_epsilon": 1e-6,
        "vocab_size": shape["vocab"],
    }
    return {
        "general.architecture": architecture, "general.name": "random weights",
        **{f"{architecture}.{key}": value for key, value in {**common, **fields}.items()},
        "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.tokens": vocabulary(shape["vocab"]), "tokenizer.ggml.merges": ["w o"],
        "tokenizer.ggml.eos_token_id": shape["vocab"] - 1,
        "tokenizer.ggml.bos_token_id": shape["vocab"] - 1,
    }


def llama(shape, kind):
    """(metadata, tensors) of a Llama with a tied head."""
    hidden, ffn = shape["hidden"], shape["ffn"]
    head_dim = hidden // shape["heads"]
    kv = head_dim * shape["kv_heads"]
    metadata = metadata_of("llama", shape, {
        "attention.head_count_kv": shape["kv_heads"], "rope.dimension_count": head_dim,
        "rope.freq_base": 1e6,
    })
    tensors = [("token_embd", [hidden, shape["vocab"]]), ("output_norm", [hidden])]
    for i in range(shape["layers"]):
        tensors += [(f"blk.{i}.{name}", dims) for name, dims in (
            ("attn_norm", [hidden]), ("ffn_norm", [hidden]), ("attn_q", [hidden, hidden]),
            ("attn_k", [hidden, kv]), ("attn_v", [hidden, kv]), ("attn_output", [hidden, hidden]),
            ("ffn_gate", [hidden, ffn]), ("ffn_up", [hidden, ffn]), ("ffn_down", [ffn, hidden]))]
    return metadata, [RandomTensor(f"{name}.weight", dims, kind) for name, dims in tensors]


def deepseek2_metadata(shape):
    """As llama.cpp's converter writes them: attention over the latent, one key for all heads."""
    return metadata_of("deepseek2", shape, {
        "attention.head_count_kv": 1,
        # Said even when it is 0: llama.cpp asks for it, unless there are 26 or 27 layers.
        "attention.q_lora_rank": shape["q_lora"], "attention.kv_lora_rank": shape["kv_lora"],
        "attention.key_length": shape["kv_lora"] + shape["rope"],
        "attention.value_length": shape["kv_lora"],
        "attention.key_length_mla": shape["nope"] + shape["rope"],
        "attention.value_length_mla": shape["v"],
        "leading_dense_block_count": shape["dense_layers"], "expert_count": shape["experts"],
        "expert_used_count": shape["used"], "expert_shared_count": shape["shared"],
        "expert_feed_forward_length": shape["expert_ffn"], "expert_weights_scale": 1.0,
        "expert_weights_norm": False, "expert_gating_func": 1,  # softmax
        "rope.dimension_count": shape["rope"], "rope.freq_base": 1e4,
        "rope.scaling.type": "yarn", "rope.scaling.factor": shape["rope_factor"],
        "rope.scaling.original_context_length": shape["original_context"],
        "rope.scaling.yarn_log_multiplier": 0.1 * shape["mscale"],
    })


def deepseek2_layer(shape, dense):
    """(name, dims) of a layer's tensors."""
    hidden, heads, kv_lora = shape["hidden"], shape["heads"], shape["kv_lora"]
    nope, rope, v, q_lora = shape["nope"], shape["rope"], shape["v"], shape["q_lora"]
    yield "attn_norm", [hidden]
    if q_lora:
        yield "attn_q_a", [hidden, q_lora]
        yield "attn_q_a_norm", [q_lora]
        yield "attn_q_b", [q_lora, heads * (nope + rope)]
    else:
        yield "attn_q", [hidden, heads * (nope + rope)]
    yield "attn_kv_a_mqa", [hidden, kv_lora + rope]
    yield "attn_kv_a_norm", [kv_lora]
    yield "attn_k_b", [nope, kv_lora, heads]
    yield "attn_v_b", [kv_lora, v, heads]
    yield "attn_output", [heads * v, hidden]
    yield "ffn_norm", [hidden]
    experts, expert_ffn = shape["experts"], shape["expert_ffn"]
    widths = [("", [shape["ffn"]])] if dense else [
        ("_exps", [expert_ffn, experts]), ("_shexp", [expert_ffn * shape["shared"]])]
    for suffix, (width, *number) in widths:
        yield f"ffn_gate{suffix}", [hidden, width, *number]
        yield f"ffn_up{suffix}", [hidden, width, *number]
        yield f"ffn_down{suffix}", [width, hidden, *number]
    if not dense:
        yield "ffn_gate_inp", [hidden, experts]


def deepseek2(shape, kind):
    """(metadata, tensors); the gate is f32 in any file."""
    hidden = shape["hidden"]
    tensors = [("token_embd", [hidden, shape["vocab"]]), ("output_norm", [hidden]),
               ("output", [hidden, shape["vocab"]])]
    for i in range(shape["layers"]):
        tensors += [(f"blk.{i}.{name}", dims)
                    for name, dims in deepseek2_layer(shape, i < shape["dense_layers"])]
    return deepseek2_metadata(shape), [
        RandomTensor(f"{name}.weight", dims, "f32" if name.endswith("gate_inp") else kind)
        for name, dims in tensors]


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


def random_1_5b(programs, target, kind):
    source = os.path.join(os.path.dirname(target), "1.5b-random.gguf")
    random_gguf.write(source, *llama(SHAPE_1_5B, "q8_0"))
    quantized(programs, source, target, kind)
    os.remove(source)


def random_v2_lite(programs, target, kind, layers):
    """Blocks of the formats that llama-quantize would choose: from f16 it would need 31 GB more."""
    metadata, tensors = deepseek2({**SHAPE_V2_LITE, "layers": layers}, "f16")
    program = os.path.join(programs, "llama-quantize")
    kinds = random_gguf.quantized_kinds(program, metadata, tensors, kind)
    random_gguf.write(target, metadata, [RandomTensor(tensor.name, tensor.dims, kinds[tensor.name])
                                         for tensor in tensors])


def model_file(name, minke, programs, layers=SHAPE_V2_LITE["layers"]):
    """The file of a topic's model: DEFAULT_MODEL, smol-<format>, 1.5b-<format> or V2_LITE, which
    alone can have fewer layers."""
    if name == DEFAULT_MODEL:
        return default_model(minke)
    folder = os.path.join(llama_cpp.cache_folder(), "models")
    os.makedirs(folder, exist_ok=True)
    size, kind = name.rsplit("-", 1)
    if name == V2_LITE:
        name = f"{size}-{layers}-layers-{kind}"
    target = os.path.join(folder, name + ".gguf")
    if size == "smol":
        return quantized(programs, default_model(minke), target, kind.upper(), "--pure")
    if not os.path.exists(target):
        print(f"peers: writing random weights in the shape of {size} (once)", file=sys.stderr,
              flush=True)
        if name.startswith("v2-lite"):
            random_v2_lite(programs, target, kind.upper(), layers)
        else:
            random_1_5b(programs, target, kind.upper())
    return target
