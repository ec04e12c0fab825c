#!/usr/bin/env python3
"""Random checkpoints of each architecture as transformers writes them, and the logits it gives.

tests/golden/hf/CASE/ holds config.json and the weights as save_pretrained() wrote them, and
expected.safetensors with `ids` [n] and `logits` [n, vocab] in f32; of a model with MTP modules
`mtp_logits_D` [n - D, vocab] of each depth D too, and `mtp_swapped_D`, what the wrong order of the
projection's inputs would give. tests/models compares.

    hf_models.py [--case CASE]            # writes the folders
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

from hf_cases import CASES

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "hf")
TOLERANCE = 2e-4  # of a logit in f32; where f32 and f64 of transformers differ, that much more


def random_shape(rng):
    kv_heads = rng.choice([1, 2, 3])
    heads = kv_heads * rng.choice([1, 2, 3])
    return {
        "vocab_size": rng.choice([97, 128]),
        "hidden_size": heads * rng.choice([6, 8, 10]) * (1 if heads > 3 else 4),
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
            "max_position_embeddings": 512, "rms_norm_eps": 1e-5,
            "tie_word_embeddings": case in ("llama", "qwen3", "gpt2")}


def make_model(make_config, shape, dtype, seed):
    """A model in f32 whose weights are random and exact in `dtype` (before FP8: bfloat16)."""
    import torch
    import transformers

    dtype = plain(dtype)
    torch.manual_seed(seed)
    config = make_config(transformers, random.Random(seed), dict(shape))
    # The grouped kernel of experts refuses odd widths.
    model = transformers.AutoModelForCausalLM.from_config(config, experts_implementation="eager")
    draw_weights(model, dtype)
    model.mtp = None
    if getattr(config, "num_mtp_layers", 0):
        from transformers.modeling_layers import MtpModel

        mtp = MtpModel(model, config.num_mtp_layers)
        draw_weights(mtp.layers, dtype)
        object.__setattr__(model, "mtp", mtp.eval())  # not a submodule, which would be saved
    return model.eval().float()


def draw_weights(module, dtype):
    import torch

    with torch.no_grad():
        for name, buffer in module.named_buffers():
            if "e_score_correction_bias" in name:
                buffer.normal_(0.0, 0.3)
                buffer.copy_(buffer.to(getattr(torch, dtype)).float())
        for name, weight in module.named_parameters():
            if weight.ndim == 1:
                is_norm = "norm" in name or (".ln_" in name and name.endswith("weight"))
                weight.normal_(1.0 if is_norm else 0.0, 0.3)
            else:
                # Wide matrices smaller: logits of one size have errors of one size.
                spread = 0.18 * min(1.0, (40 / weight.shape[-1]) ** 0.5)
                weight.normal_(0.0, 1.0 if "embed" in name else spread)
            weight.copy_(weight.to(getattr(torch, dtype)).float())


def logits_of(model, ids):
    import torch

    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0]


def mtp_logits_of(model, ids):
    """Of each depth [n - depth, vocab]: row i has the tokens up to i + depth."""
    import torch

    if model.mtp is None:
        return []
    logits = []
    with torch.no_grad():
        hidden = model(torch.tensor([ids]), output_hidden_states=True).hidden_states[-1]
        for k in range(len(model.mtp.layers)):
            depth = k + 1
            hidden = model.mtp.forward_layer(
                k, hidden[:, :len(ids) - depth], torch.arange(depth, len(ids))[None], None,
                input_ids=torch.tensor([ids[depth:]]))
            logits.append(model.mtp._project_to_logits(hidden)[0])
    return logits


def mtp_tensors(model):
    """The MTP modules' weights under the names of DeepSeek's checkpoints."""
    tensors = {}
    for name, weight in model.mtp.layers.state_dict().items():
        depth, rest = name.split(".", 1)
        prefix = f"model.layers.{model.config.num_hidden_layers + int(depth)}."
        rest = rest.replace("mtp_block.", "").replace("post_norm", "shared_head.norm")
        if rest == "mlp.experts.gate_up_proj":
            for e, expert in enumerate(weight):
                gate, up = expert.chunk(2)
                tensors[f"{prefix}mlp.experts.{e}.gate_proj.weight"] = gate
                tensors[f"{prefix}mlp.experts.{e}.up_proj.weight"] = up
        elif rest == "mlp.experts.down_proj":
            for e, expert in enumerate(weight):
                tensors[f"{prefix}mlp.experts.{e}.down_proj.weight"] = expert
        else:
            tensors[prefix + rest] = weight
    return tensors


def plain(dtype):
    return "bfloat16" if dtype.startswith("fp8") else dtype


def save_mtp(model, folder, dtype):
    """Adds the MTP modules' weights to a checkpoint."""
    import safetensors.torch
    import torch

    extra = {name: weight.to(getattr(torch, dtype)).contiguous()
             for name, weight in mtp_tensors(model).items()}
    single = os.path.join(folder, "model.safetensors")
    if os.path.exists(single):
        extra.update(safetensors.torch.load_file(single))
        safetensors.torch.save_file(extra, single, metadata={"format": "pt"})
        return
    path = os.path.join(folder, "model.safetensors.index.json")
    with open(path) as file:
        index = json.load(file)
    safetensors.torch.save_file(extra, os.path.join(folder, "mtp.safetensors"))
    index["weight_map"].update({name: "mtp.safetensors" for name in extra})
    with open(path, "w") as file:
        json.dump(index, file)


def save(model, folder, dtype, shard):
    """Writes the checkpoint; returns the model as it is read back, which FP8 changes."""
    import copy

    import torch

    # A copy, for this rounds the rope's frequencies too.
    rounded = copy.deepcopy(model).to(getattr(torch, plain(dtype)))
    rounded.save_pretrained(folder, max_shard_size=shard)
    if model.mtp is not None:
        save_mtp(model, folder, plain(dtype))
    if not dtype.startswith("fp8"):
        return model
    to_fp8(folder, dtype, shards=1 if shard == "1GB" else 2)
    return load(folder)


def read_tensors(folder):
    import glob

    import safetensors.torch

    tensors = {}
    for path in sorted(glob.glob(os.path.join(folder, "model*.safetensors"))):
        tensors.update(safetensors.torch.load_file(path))
    return tensors


def change_config(folder, change):
    path = os.path.join(folder, "config.json")
    with open(path, encoding="utf-8") as file:
        config = json.load(file)
    change(config)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(config, file, indent=2)


def in_blocks(matrix, size=128):
    """Views of a matrix's blocks, those at its edges cut off, with their places."""
    for i, rows in enumerate(matrix.split(size)):
        for j, block in enumerate(rows.split(size, dim=1)):
            yield i, j, block


def to_fp8(folder, dtype, shards):
    """Turns a checkpoint into FP8 as DeepSeek-V3's: each block of 128 x 128 over 448 of its
    largest number, or over the next power of two of that (fp8-ue8m0), in f32 or f8_e8m0."""
    import glob

    import safetensors.torch
    import torch

    tensors = read_tensors(folder)
    for path in glob.glob(os.path.join(folder, "model*.safetensors*")):
        os.remove(path)
    for name in [name for name in tensors if name.endswith("_proj.weight")]:
        weight = tensors[name].float()
        scales = torch.empty(-(-weight.shape[0] // 128), -(-weight.shape[1] // 128))
        for i, j, block in in_blocks(weight):
            scale = block.abs().max() / 448
            scales[i, j] = torch.exp2(scale.log2().ceil()) if dtype == "fp8-ue8m0" else scale
            block /= scales[i, j]
        tensors[name] = weight.to(torch.float8_e4m3fn)
        if dtype == "fp8-ue8m0" and "k_proj" not in name:  # both ways in one checkpoint
            scales = scales.to(torch.float8_e8m0fnu)
        tensors[name + "_scale_inv"] = scales
    names = sorted(tensors)
    weight_map = {}
    for shard in range(shards):  # a matrix and its scales in different files
        file = "model.safetensors" if shards == 1 else f"model-{shard}.safetensors"
        part = {name: tensors[name].contiguous() for name in names[shard::shards]}
        weight_map.update(dict.fromkeys(part, file))
        safetensors.torch.save_file(part, os.path.join(folder, file))
    if shards > 1:
        with open(os.path.join(folder, "model.safetensors.index.json"), "w") as file:
            json.dump({"weight_map": weight_map}, file)
    quantization = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic",
                    "weight_block_size": [128, 128]}
    if dtype == "fp8-ue8m0":
        quantization["scale_fmt"] = "ue8m0"
    change_config(folder, lambda config: config.update(quantization_config=quantization))


def with_mtp(model):
    """A model just read from its folder, with the MTP modules that are there."""
    from transformers.modeling_layers import MtpModel

    model.mtp = None
    if getattr(model.config, "num_mtp_layers", 0):
        # The pattern that the class has is that of V3 itself: layer 61.
        model._keys_to_ignore_on_load_unexpected = [
            rf"model\.layers\.{model.config.num_hidden_layers + k}\..*"
            for k in range(model.config.num_mtp_layers)]
        object.__setattr__(model, "mtp", MtpModel.from_pretrained(model).eval())
    return model


def load(folder):
    """The model of a folder in f32; what is FP8 is multiplied out here."""
    import safetensors.torch
    import transformers

    def from_folder(name):
        return with_mtp(transformers.AutoModelForCausalLM.from_pretrained(
            name, dtype="float32", experts_implementation="eager").eval())

    tensors = read_tensors(folder)
    scales = {name: tensors.pop(name) for name in list(tensors) if name.endswith("_scale_inv")}
    if not scales:
        return from_folder(folder)
    for name, grid in scales.items():
        matrix = tensors[name.removesuffix("_scale_inv")].float()
        for i, j, block in in_blocks(matrix):
            block *= grid[i, j].float()
        tensors[name.removesuffix("_scale_inv")] = matrix
    with tempfile.TemporaryDirectory() as multiplied:
        shutil.copy(os.path.join(folder, "config.json"), multiplied)
        change_config(multiplied, lambda config: config.pop("quantization_config"))
        safetensors.torch.save_file(tensors, os.path.join(multiplied, "model.safetensors"),
                                    metadata={"format": "pt"})
        return from_folder(multiplied)


def golden_case(case):
    """The model of a case and its ids: more than one page of the cache."""
    make_config, dtype, _ = CASES[case]
    model = make_model(make_config, golden_shape(case), dtype, sum(case.encode()))
    rng = random.Random(case)
    return model, [rng.randrange(golden_shape(case)["vocab_size"]) for _ in range(83)]


def write(only):
    import safetensors.torch
    import torch

    for case, (_, dtype, shard) in CASES.items():
        if only and case != only:
            continue
        folder = os.path.join(FOLDER, case)
        shutil.rmtree(folder, ignore_errors=True)
        model, ids = golden_case(case)
        saved = save(model, folder, dtype, shard)
        expected = {"ids": torch.tensor(ids, dtype=torch.int32), "logits": logits_of(saved, ids)}
        for k, mtp_logits in enumerate(mtp_logits_of(saved, ids)):
            expected[f"mtp_logits_{k + 1}"] = mtp_logits
        if saved.mtp is not None:
            saved.mtp.config.mtp_hidden_states_first = True
            for k, mtp_logits in enumerate(mtp_logits_of(saved, ids)):
                expected[f"mtp_swapped_{k + 1}"] = mtp_logits
        generation = os.path.join(folder, "generation_config.json")
        if os.path.exists(generation):
            os.remove(generation)
        safetensors.torch.save_file(expected, os.path.join(folder, "expected.safetensors"))


def check():
    import safetensors.torch

    for case in CASES:
        folder = os.path.join(FOLDER, case)
        model = load(folder)
        expected = safetensors.torch.load_file(os.path.join(folder, "expected.safetensors"))
        ids = expected["ids"].tolist()
        error = (logits_of(model, ids) - expected["logits"]).abs().max().item()
        for k, logits in enumerate(mtp_logits_of(model, ids)):
            error = max(error, (logits - expected[f"mtp_logits_{k + 1}"]).abs().max().item())
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


def compare(binary, seed, rounds, only):
    worst = {}
    for case, (make_config, dtype, _) in CASES.items():
        if only and case != only:
            continue
        for turn in range(rounds):
            rng = random.Random(f"{seed} {turn} {case}")
            shape = random_shape(rng)
            model = make_model(make_config, shape, dtype, rng.randrange(1 << 30))
            ids = [rng.randrange(shape["vocab_size"]) for _ in range(rng.choice([1, 70, 300]))]
            with tempfile.TemporaryDirectory() as folder:
                model = save(model, folder, dtype, rng.choice(["20KB", "1GB"]))
                expected = logits_of(model, ids)
                # How far transformers itself is from the same in double.
                noise = (logits_of(model.double(), ids) - expected).abs().max().item()
                for chunk in (512, 7, 1):
                    found = minke_logits(binary, folder, ids, chunk)
                    error = (found - expected).abs().max().item()
                    worst[case] = max(worst.get(case, 0.0), error)
                    if not error <= TOLERANCE + noise:
                        sys.exit(f"{case}, {len(ids)} tokens in chunks of {chunk}: differs by "
                                 f"{error} (f32 from f64: {noise}); {shape}")
        print(f"{case:<14} {rounds} checkpoints, at most {worst[case]:.1e} off")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--minke", metavar="BINARY")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--case", help="only this one")
    options = parser.parse_args()
    if options.minke:
        compare(options.minke, options.seed, options.rounds, options.case)
    if options.check:
        check()
    if not options.minke and not options.check:
        write(options.case)


if __name__ == "__main__":
    main()
