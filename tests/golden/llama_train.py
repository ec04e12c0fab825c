#!/usr/bin/env python3
"""Makes tests/golden/llama_train.json: 20 AdamW steps of a tiny Llama as PyTorch computes them.

The model is transformers' LlamaForCausalLM in f32 on one thread. Nothing random is used: weights
and tokens follow formulas, which tests/train reproduces in C++.

Model: vocab 96, hidden 64, 2 layers, 4 heads, 2 KV heads, head_dim 16, ffn (gate, up, down) 96,
RMSNorm eps 1e-5, RoPE theta 10000 in the rotate-half form (element i pairs with i + 8), SwiGLU, no
biases, output head tied to the embedding.

Weights: the tensors, j = 0, 1, 2, ... in this order, each row-major [out, in] as PyTorch has it:
    model.embed_tokens.weight [96, 64]
    for layer l = 0, 1, under model.layers.l:
        input_layernorm.weight [64]           self_attn.q_proj.weight [64, 64]
        self_attn.k_proj.weight [32, 64]      self_attn.v_proj.weight [32, 64]
        self_attn.o_proj.weight [64, 64]      post_attention_layernorm.weight [64]
        mlp.gate_proj.weight [96, 64]         mlp.up_proj.weight [96, 64]
        mlp.down_proj.weight [64, 96]
    model.norm.weight [64]
For the element at flat index i, in double precision and then rounded to f32:
    two-dimensional tensors:  0.1 * sin(0.37 * i + 1.3 * j + 0.0007 * i * i)
    norms:                    1 + 0.1 * sin(0.37 * i + 1.3 * j)
(The quadratic term keeps rows from being multiples of one another. Its argument reaches 3e4, so
compute it in double.)

Tokens: step s = 0..19, batch row b = 0..1, position p = 0..24:
    id(s, b, p) = (7 * p + 13 * b + 5 * (s mod 4) + p * p * (b + 1)) mod 96
Inputs are positions 0..23, targets positions 1..24: sequence length 24, batch 2. The loss is the
mean cross entropy over all 48 targets, in nats. There are four distinct batches, so it falls.

Step: zero gradients; forward; backward; grad_norm = square root of the sum of squares of all
gradients (the tied tensor once); multiply gradients by min(1, 1 / (grad_norm + 1e-6)); AdamW with
lr 1e-3 (constant), betas 0.9 and 0.95, eps 1e-8, weight decay 0.1 for two-dimensional tensors (the
embedding included) and 0 for norms:
    w -= lr * decay * w;  m = 0.9 m + 0.1 g;  v = 0.95 v + 0.05 g^2
    w -= lr * (m / (1 - 0.9^t)) / (sqrt(v / (1 - 0.95^t)) + 1e-8),  t = 1 for the first step

The document: versions; losses and grad_norms (before clipping) of the 20 steps; gradients of step 0
before clipping, for each tensor: sum, abs_sum (both accumulated in double) and first8; weights
after step 20, for each tensor: sum, abs_sum, first8; logits of step 0 (before any update): for each
[b, p] in `at`, all 96 values; initial: for each tensor first8, so that a wrong formula is found
before a wrong gradient.

    llama_train.py            # writes the file
    llama_train.py --check    # computes afresh and compares
"""

import json
import math
import os
import platform
import sys

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "llama_train.json")
NUM_STEPS, BATCH, SEQ, VOCAB = 20, 2, 24, 96
LOGITS_AT = [[0, 0], [0, 23], [1, 11]]


def tensor_names():
    names = ["model.embed_tokens.weight"]
    for layer in range(2):
        names += [f"model.layers.{layer}.{part}.weight" for part in (
            "input_layernorm", "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
            "self_attn.o_proj", "post_attention_layernorm", "mlp.gate_proj", "mlp.up_proj",
            "mlp.down_proj")]
    return names + ["model.norm.weight"]


def initial_value(i, j, is_norm):
    if is_norm:
        return 1 + 0.1 * math.sin(0.37 * i + 1.3 * j)
    return 0.1 * math.sin(0.37 * i + 1.3 * j + 0.0007 * i * i)


def token(step, b, p):
    return (7 * p + 13 * b + 5 * (step % 4) + p * p * (b + 1)) % VOCAB


def make_model():
    import torch
    import transformers

    config = transformers.LlamaConfig(
        vocab_size=VOCAB, hidden_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=16, intermediate_size=96, rms_norm_eps=1e-5,
        rope_theta=10000.0, tie_word_embeddings=True, max_position_embeddings=64,
        attention_bias=False, mlp_bias=False, attn_implementation="eager")
    model = transformers.LlamaForCausalLM(config).float()
    parameters = dict(model.named_parameters())
    assert sorted(parameters) == sorted(tensor_names()), sorted(parameters)
    with torch.no_grad():
        for j, name in enumerate(tensor_names()):
            tensor = parameters[name]
            values = [initial_value(i, j, tensor.dim() == 1) for i in range(tensor.numel())]
            tensor.copy_(torch.tensor(values, dtype=torch.float64).float().view_as(tensor))
    return model, [(name, parameters[name]) for name in tensor_names()]


def floats(tensor):
    """f32 values with the nine digits that give the same f32 back."""
    return [float(f"{value:.9g}") for value in tensor.flatten().tolist()]


def summary(tensor):
    flat = tensor.detach().flatten()
    return {"sum": float(flat.double().sum()), "abs_sum": float(flat.double().abs().sum()),
            "first8": floats(flat[:8])}


def compute():
    import torch
    import transformers

    torch.set_num_threads(1)
    model, parameters = make_model()
    document = {"made_by": "tests/golden/llama_train.py",
                "versions": {"python": platform.python_version(), "torch": torch.__version__,
                             "transformers": transformers.__version__},
                "initial": {name: floats(p.detach().flatten()[:8]) for name, p in parameters},
                "losses": [], "grad_norms": []}
    groups = [{"params": [p for _, p in parameters if p.dim() == 2], "weight_decay": 0.1},
              {"params": [p for _, p in parameters if p.dim() == 1], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95), eps=1e-8)
    for step in range(NUM_STEPS):
        ids = torch.tensor([[token(step, b, p) for p in range(SEQ + 1)] for b in range(BATCH)])
        optimizer.zero_grad(set_to_none=True)
        logits = model(input_ids=ids[:, :-1], use_cache=False).logits  # [batch, seq, vocab]
        loss = torch.nn.functional.cross_entropy(logits.reshape(-1, VOCAB), ids[:, 1:].reshape(-1))
        loss.backward()
        if step == 0:
            document["gradients"] = {name: summary(p.grad) for name, p in parameters}
            document["logits"] = {"at": LOGITS_AT,
                                  "values": [floats(logits[b, p].detach()) for b, p in LOGITS_AT]}
        norm = torch.nn.utils.clip_grad_norm_([p for _, p in parameters], 1.0)
        optimizer.step()
        document["losses"].append(float(f"{loss.item():.9g}"))
        document["grad_norms"].append(float(f"{norm.item():.9g}"))
    document["weights"] = {name: summary(p) for name, p in parameters}
    return document


def worst_difference(old, new, path=""):
    """The largest difference |a - b| / (1e-3 + |a|) between numbers in equal places."""
    if isinstance(old, dict):
        assert old.keys() == new.keys(), path
        return max((worst_difference(old[k], new[k], f"{path}/{k}") for k in old), default=(0, ""))
    if isinstance(old, list):
        assert len(old) == len(new), path
        return max((worst_difference(a, b, f"{path}[{i}]") for i, (a, b) in
                    enumerate(zip(old, new))), default=(0, ""))
    return (abs(old - new) / (1e-3 + abs(old)), path)


def main():
    fresh = compute()
    if sys.argv[1:] == ["--check"]:
        with open(GOLDEN, encoding="utf-8") as file:
            stored = json.load(file)
        for document in (stored, fresh):
            document.pop("versions")
            document.pop("made_by")
        worst, where = worst_difference(stored, fresh)
        print(f"llama_train.json: largest relative difference {worst:.2e} at {where}")
        return 1 if worst > 1e-2 else 0
    with open(GOLDEN, "w", encoding="utf-8") as file:
        json.dump(fresh, file, indent=1)
        file.write("\n")
    print(f"losses {fresh['losses'][0]:.4f} .. {fresh['losses'][-1]:.4f}, "
          f"grad norms {min(fresh['grad_norms']):.3f} .. {max(fresh['grad_norms']):.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
