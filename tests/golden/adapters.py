#!/usr/bin/env python3
"""LoRA adapters as PEFT writes them, and the logits that transformers gives with them.

tests/golden/adapters/CASE/ALL/ is what save_pretrained() wrote of an adapter of a checkpoint of
tests/golden/hf, and tests/golden/adapters/CASE/expected.safetensors has `ids` [n] and `logits` [n,
vocab] in f32 with every adapter of the case, each in its weight. tests/models compares.

    adapters.py                      # writes the folders
    adapters.py --check              # computes the logits afresh and compares
    adapters.py --loads CASE FOLDER EXPECTED
        # whether PEFT loads FOLDER and gives EXPECTED's logits for a case's checkpoint
"""

import argparse
import json
import os
import shutil
import sys
import warnings

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.path.join(HERE, "adapters")
TOLERANCE = 2e-4

# case: the checkpoint, and of each adapter its weight and settings
CASES = {
    "llama": ("llama", [
        (1.0, {"r": 4, "lora_alpha": 8, "target_modules": "all-linear"}),
        (0.5, {"r": 3, "lora_alpha": 7, "use_rslora": True, "dtype": "bfloat16",
               "target_modules": ["q_proj", "gate_proj"]}),
    ]),
    "qwen2": ("qwen2", [
        (1.0, {"r": 5, "lora_alpha": 9, "target_modules": r".*\.(q|k|v|up)_proj",
               "dtype": "float16",
               "rank_pattern": {"k_proj": 2, "layers.0.self_attn.q_proj": 17},
               "alpha_pattern": {r"^model\.layers\.0\.self_attn\.v_proj": 3.5}}),
    ]),
    "deepseek-v3": ("deepseek-v3", [
        (-0.75, {"r": 3, "lora_alpha": 6, "target_modules": [
            "q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj"]}),
        (1.5, {"r": 2, "lora_alpha": 3, "by_hand": [
            "model.layers.0.mlp.gate_proj", "model.layers.0.mlp.down_proj",
            "model.layers.1.mlp.shared_experts.up_proj", "model.layers.1.mlp.experts.2.gate_proj",
            "model.layers.1.mlp.shared_experts.down_proj", "model.layers.1.mlp.gate",
            *(f"model.layers.1.mlp.experts.{i}.{part}_proj" for i in (0, 4)
              for part in ("gate", "up", "down"))]}),
    ]),
    "qwen3-moe-sparse": ("qwen3-moe-sparse", [
        (1.0, {"r": 2, "lora_alpha": 4,
               "target_modules": ["o_proj", "q_proj", "k_proj", "lm_head"]}),
    ]),
}


def checkpoint(name):
    return os.path.join(HERE, "hf", name)


def base_model(name):
    import torch
    import transformers
    model = transformers.AutoModelForCausalLM.from_pretrained(
        checkpoint(name), dtype=torch.float32, attn_implementation="eager")
    if hasattr(model, "set_experts_implementation"):
        model.set_experts_implementation("eager")
    return model.eval()


def make_adapter(base, settings, seed, folder):
    """PEFT's file of an adapter whose B is not zero."""
    import peft
    import torch
    settings = dict(settings)
    dtype = getattr(torch, settings.pop("dtype", "float32"))
    torch.manual_seed(seed)
    model = peft.get_peft_model(base_model(base), peft.LoraConfig(
        task_type="CAUSAL_LM", base_model_name_or_path=base, **settings))
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = (0.2 * torch.randn_like(parameter)).to(dtype)
    model.peft_config["default"].base_model_name_or_path = base
    model.save_pretrained(folder)
    os.remove(os.path.join(folder, "README.md"))


def matrix_of(model, module):
    """The rows of a parameter that a module of transformers 4 was."""
    path, _, part = module.rpartition(".")
    experts, _, index = path.rpartition(".")
    if not experts.endswith(".experts"):
        return model.get_submodule(module).weight.data
    experts = model.get_submodule(experts)
    if part == "down_proj":
        return experts.down_proj.data[int(index)]
    gate, up = experts.gate_up_proj.data[int(index)].chunk(2)
    return gate if part == "gate_proj" else up


def make_by_hand(base, settings, seed, folder):
    """An adapter of modules that transformers 5 does not have any more, as PEFT wrote them."""
    import safetensors.torch
    import torch
    generator = torch.Generator().manual_seed(seed)
    model = base_model(base)
    tensors = {}
    for module in settings["by_hand"]:
        rows, cols = matrix_of(model, module).shape
        for part, shape in (("A", (settings["r"], cols)), ("B", (rows, settings["r"]))):
            tensors[f"base_model.model.{module}.lora_{part}.weight"] = 0.3 * torch.randn(
                shape, generator=generator)
    os.makedirs(folder)
    safetensors.torch.save_file(tensors, os.path.join(folder, "adapter_model.safetensors"))
    names = sorted({module.rpartition(".")[2] for module in settings["by_hand"]})
    with open(os.path.join(folder, "adapter_config.json"), "w", encoding="utf-8") as file:
        json.dump({"peft_type": "LORA", "r": settings["r"], "lora_alpha": settings["lora_alpha"],
                   "bias": "none", "fan_in_fan_out": False, "target_modules": names}, file)


def add_by_hand(model, settings, folder, weight):
    import safetensors.torch
    tensors = safetensors.torch.load_file(os.path.join(folder, "adapter_model.safetensors"))
    for module in settings["by_hand"]:
        a, b = (tensors[f"base_model.model.{module}.lora_{part}.weight"] for part in "AB")
        matrix_of(model, module).add_(b @ a, alpha=weight * settings["lora_alpha"] / settings["r"])
    return model


def logits_with(base, adapters, ids):
    """The logits with the adapters' (folder, weight, settings) deltas added in f32."""
    import peft
    import torch
    model = base_model(base)
    for folder, weight, settings in adapters:
        if "by_hand" in settings:
            model = add_by_hand(model, settings, folder, weight)
            continue
        model = peft.PeftModel.from_pretrained(model, folder)
        for module in model.modules():
            if hasattr(module, "scaling") and isinstance(module.scaling, dict):
                for name in module.scaling:
                    module.scaling[name] *= weight
        for parameter in model.parameters():
            parameter.data = parameter.data.float()
        model = model.merge_and_unload()
    with torch.no_grad():
        return model(torch.tensor([ids]), use_cache=False).logits[0].float().numpy()


def case_folders(case):
    return [os.path.join(FOLDER, case, str(i)) for i in range(len(CASES[case][1]))]


def compute(case, ids):
    base, adapters = CASES[case]
    return logits_with(base, [(folder, weight, settings) for folder, (weight, settings)
                              in zip(case_folders(case), adapters)], ids)


def write(case):
    import numpy
    import safetensors.numpy
    base, adapters = CASES[case]
    shutil.rmtree(os.path.join(FOLDER, case), ignore_errors=True)
    for i, (_, settings) in enumerate(adapters):
        make = make_by_hand if "by_hand" in settings else make_adapter
        make(base, settings, 100 + i, case_folders(case)[i])
    ids = safetensors.numpy.load_file(os.path.join(checkpoint(base), "expected.safetensors"))["ids"]
    safetensors.numpy.save_file(
        {"ids": ids.astype(numpy.int32), "logits": compute(case, ids.tolist()),
         "weights": numpy.array([weight for weight, _ in adapters], numpy.float32)},
        os.path.join(FOLDER, case, "expected.safetensors"))


def worst_difference(expected_path, compute_logits):
    import numpy
    import safetensors.numpy
    expected = safetensors.numpy.load_file(expected_path)
    return float(numpy.abs(compute_logits(expected["ids"].tolist()) - expected["logits"]).max())


def report(name, worst):
    print(f"{name}: {worst:.2e}")
    return worst <= TOLERANCE


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--loads", nargs=3, metavar=("CASE", "FOLDER", "EXPECTED"))
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    if args.loads:
        case, folder, expected = args.loads
        good = report(folder, worst_difference(
            expected, lambda ids: logits_with(CASES[case][0], [(folder, 1.0, {})], ids)))
        sys.exit(0 if good else 1)
    good = True
    for case in CASES:
        if not args.check:
            write(case)
        good &= report(case, worst_difference(
            os.path.join(FOLDER, case, "expected.safetensors"), lambda ids: compute(case, ids)))
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
