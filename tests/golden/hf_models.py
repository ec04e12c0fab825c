#!/usr/bin/env python3
"""Random checkpoints of each architecture as transformers writes them, and the logits it gives.

tests/golden/hf/CASE/ holds config.json and the weights as save_pretrained() wrote them, and
expected.safetensors with `ids` [n] and `logits` [n, vocab] in f32. tests/models compares.

    hf_models.py                          # writes the folders
    hf_models.py --check                  # computes the logits afresh and compares
    hf_models.py --minke BINARY [--seed N] [--rounds N]
        # other shapes, at random: up to 300 tokens, in one chunk, in chunks and one by one
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "hf")
TOLERANCE = 2e-4  # of a logit in f32

DEFAULT_ROPE = {"rope_type": "default", "rope_theta": 10000.0}
LLAMA3_ROPE = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0,
               "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 64}
YARN_ROPE = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 8.0,
             "original_max_position_embeddings": 64}
LINEAR_ROPE = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}


def llama(rope):
    return lambda transformers, **shape: transformers.LlamaConfig(rope_parameters=rope, **shape)


def qwen2(transformers, **shape):
    head_dim = shape.pop("head_dim")  # Qwen2 has no such setting
    shape["hidden_size"] = shape["num_attention_heads"] * head_dim
    return transformers.Qwen2Config(rope_parameters=DEFAULT_ROPE, **shape)


def qwen3(transformers, **shape):
    return transformers.Qwen3Config(rope_parameters=DEFAULT_ROPE, **shape)


# case: its config, the format of its weights, bytes of a shard
CASES = {
    "llama": (llama(DEFAULT_ROPE), "float32", "1GB"),
    "llama3": (llama(LLAMA3_ROPE), "bfloat16", "10KB"),
    "llama-yarn": (llama(YARN_ROPE), "float16", "1GB"),
    "llama-linear": (llama(LINEAR_ROPE), "bfloat16", "1GB"),
    "qwen2": (qwen2, "bfloat16", "1GB"),
    "qwen3": (qwen3, "bfloat16", "1GB"),
}


def random_shape(rng):
    kv_heads = rng.choice([1, 2, 3])
    heads = kv_heads * rng.choice([1, 2, 3])
    return {
        "vocab_size": rng.choice([97, 128]),
        "hidden_size": heads * rng.choice([6, 8, 10]),
        "intermediate_size": rng.choice([56, 64, 72]),
        "num_hidden_layers": rng.choice([1, 2, 3]),
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": rng.choice([8, 10, 16]),
        "max_position_embeddings": 512,
        "tie_word_embeddings": rng.random() < 0.5,
        "rms_norm_eps": 1e-5,
    }


def golden_shape(case):
    return {"vocab_size": 61, "hidden_size": 36, "intermediate_size": 40, "num_hidden_layers": 2,
            "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 10,
            "max_position_embeddings": 512, "tie_word_embeddings": case in ("llama", "qwen3"),
            "rms_norm_eps": 1e-5}


def make_model(make_config, shape, dtype, seed):
    """A model whose weights are random and exact in `dtype`, in f32."""
    import torch
    import transformers

    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(make_config(transformers, **shape))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim == 1:
                weight.normal_(1.0 if "norm" in name else 0.0, 0.3)
            else:
                weight.normal_(0.0, 1.0 if "embed" in name else 0.18)
            weight.copy_(weight.to(getattr(torch, dtype)).float())
    return model.eval().float()


def logits_of(model, ids):
    import torch

    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0]


def save(model, folder, dtype, shard):
    import torch

    model.to(getattr(torch, dtype)).save_pretrained(folder, max_shard_size=shard)
    model.float()


def golden_case(case):
    """The model of a case and its ids: more than one page of the cache."""
    make_config, dtype, _ = CASES[case]
    model = make_model(make_config, golden_shape(case), dtype, sorted(CASES).index(case))
    rng = random.Random(case)
    return model, [rng.randrange(golden_shape(case)["vocab_size"]) for _ in range(83)]


def write():
    import safetensors.torch
    import torch

    for case, (_, dtype, shard) in CASES.items():
        folder = os.path.join(FOLDER, case)
        shutil.rmtree(folder, ignore_errors=True)
        model, ids = golden_case(case)
        logits = logits_of(model, ids)
        save(model, folder, dtype, shard)
        generation = os.path.join(folder, "generation_config.json")
        if os.path.exists(generation):
            os.remove(generation)
        safetensors.torch.save_file({"ids": torch.tensor(ids, dtype=torch.int32), "logits": logits},
                                    os.path.join(folder, "expected.safetensors"))


def check():
    import safetensors.torch
    import transformers

    for case in CASES:
        folder = os.path.join(FOLDER, case)
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="float32").eval()
        expected = safetensors.torch.load_file(os.path.join(folder, "expected.safetensors"))
        error = (logits_of(model, expected["ids"].tolist()) - expected["logits"]).abs().max().item()
        print(f"{case:<14} {error:.1e}")
        if error > 1e-4:
            sys.exit(f"{case}: transformers gives other logits than the golden ones, by {error}")


def minke_logits(binary, folder, ids, chunk):
    import torch

    done = subprocess.run([binary, "logits", folder, "--ids", ",".join(map(str, ids)),
                           "--precision", "f32", "--chunk", str(chunk), "--json"],
                          capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"minke logits exits with {done.returncode}: {done.stderr}")
    return torch.tensor(json.loads(done.stdout)["logits"])


def compare(binary, seed, rounds):
    worst = {}
    for case, (make_config, dtype, _) in CASES.items():
        for turn in range(rounds):
            rng = random.Random(f"{seed} {turn} {case}")
            shape = random_shape(rng)
            model = make_model(make_config, shape, dtype, rng.randrange(1 << 30))
            ids = [rng.randrange(shape["vocab_size"]) for _ in range(rng.choice([1, 70, 300]))]
            expected = logits_of(model, ids)
            with tempfile.TemporaryDirectory() as folder:
                save(model, folder, dtype, rng.choice(["20KB", "1GB"]))
                for chunk in (512, 7, 1):
                    found = minke_logits(binary, folder, ids, chunk)
                    error = (found - expected).abs().max().item()
                    worst[case] = max(worst.get(case, 0.0), error)
                    if not error <= TOLERANCE:
                        sys.exit(f"{case}, {len(ids)} tokens in chunks of {chunk}: differs by "
                                 f"{error}; {shape}")
        print(f"{case:<14} {rounds} checkpoints, at most {worst[case]:.1e} off")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--minke", metavar="BINARY")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.minke:
        compare(options.minke, options.seed, options.rounds)
    if options.check:
        check()
    if not options.minke and not options.check:
        write()


if __name__ == "__main__":
    main()
