#!/usr/bin/env python3
"""PyTorch's side of the training topics: the loops that a user of transformers and PEFT writes.

    pytorch.py full    --model FOLDER --ids F --batch B --seq S --steps N --lr X
    pytorch.py lora    --model FOLDER --adapter FOLDER --rows F --batch B --steps N --lr X
    pytorch.py nanogpt --text F --steps N

All take --threads and --compile. Each prints one JSON line a step, as minke does, so that a reader
can take the times of both alike. Needs the packages of `scripts/setup peers`.

F of full is text of token ids: row r of step t (from 0) reads S + 1 ids from (tB + r)S. F of lora
is JSON lines of input_ids and labels (-100: no loss): row r of step t is line tB + r. AdamW is 0.9,
0.95, without decay, at a constant rate, fused; gradients are clipped at norm 1. nanogpt has that
repository's recipe for CPUs (see GptSettings).
"""

import argparse
import json
import math
import sys
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

IGNORED = -100  # a label without a loss


def say(**values):
    print(json.dumps(values), flush=True)


def pretrained(options):
    from transformers import AutoModelForCausalLM
    model = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32)
    model.config.use_cache = False
    return model


def causal_loss(model, ids, labels):
    """Mean of -ln p(next token) over the labels that count, in transformers' own way."""
    return model(input_ids=ids, labels=labels).loss


def train(options, model, batch_of, loss_of, optimizer, rate_of=None):
    """The loop; batch_of(step) gives what loss_of takes after the model."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    model.train()
    for step in range(options.steps):
        if rate_of:
            for group in optimizer.param_groups:
                group["lr"] = rate_of(step)
        loss = loss_of(model, *batch_of(step))
        loss.backward()
        norm = nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        say(step=step, loss=loss.item(), grad_norm=norm.item())


def adamw(options, parameters):
    return torch.optim.AdamW(parameters, lr=options.lr, betas=(0.9, 0.95), eps=1e-8,
                             weight_decay=0.0, fused=True)


def compiled(options, model):
    return torch.compile(model, dynamic=options.work == "lora") if options.compile else model


# ---- full weights --------------------------------------------------------------------------------


def full(options):
    with open(options.ids, encoding="utf-8") as file:
        ids = torch.tensor([int(word) for word in file.read().split()])
    needed = options.steps * options.batch * options.seq + 1
    if len(ids) < needed:
        sys.exit(f"{options.ids} has {len(ids)} ids when {options.steps} steps read {needed}")

    def batch_of(step):
        starts = [(step * options.batch + row) * options.seq for row in range(options.batch)]
        rows = torch.stack([ids[start:start + options.seq + 1] for start in starts])
        return rows[:, :-1].contiguous(), rows[:, 1:].contiguous()

    def loss_of(model, tokens, targets):  # targets are shifted already
        return model(input_ids=tokens, labels=targets, shift_labels=targets).loss

    model = pretrained(options)
    train(options, compiled(options, model), batch_of, loss_of, adamw(options, model.parameters()))


# ---- LoRA ----------------------------------------------------------------------------------------


def padded(values, width, filler):
    return values + [filler] * (width - len(values))


def lora(options):
    """Rows are padded at their right to the longest of the batch; with causal attention nothing
    that counts sees the padding, so the fast attention without a mask is right."""
    from peft import PeftModel
    with open(options.rows, encoding="utf-8") as file:
        rows = [json.loads(line) for line in file if line.strip()]
    if len(rows) < options.steps * options.batch:
        sys.exit(f"{options.rows} has {len(rows)} rows when {options.steps} steps read "
                 f"{options.steps * options.batch}")

    def batch_of(step):
        batch = rows[step * options.batch:(step + 1) * options.batch]
        width = max(len(row["input_ids"]) for row in batch)
        return (torch.tensor([padded(row["input_ids"], width, 0) for row in batch]),
                torch.tensor([padded(row["labels"], width, IGNORED) for row in batch]))

    model = PeftModel.from_pretrained(pretrained(options), options.adapter, is_trainable=True)
    trained = [p for p in model.parameters() if p.requires_grad]
    train(options, compiled(options, model), batch_of, causal_loss, adamw(options, trained))


# ---- nanoGPT -------------------------------------------------------------------------------------


@dataclass
class GptSettings:
    """train_shakespeare_char of karpathy/nanoGPT as its README runs it on a CPU."""
    layers: int = 4
    heads: int = 4
    width: int = 128
    block: int = 64
    batch: int = 12
    rate: float = 1e-3
    rate_min: float = 1e-4
    warmup: int = 100
    beta2: float = 0.99
    decay: float = 0.1
    seed: int = 1337


class GptBlock(nn.Module):
    """Pre-norm block of GPT-2 without biases."""

    def __init__(self, settings):
        super().__init__()
        width = settings.width
        self.heads = settings.heads
        self.norm_1 = nn.LayerNorm(width, bias=False)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.attention_out = nn.Linear(width, width, bias=False)
        self.norm_2 = nn.LayerNorm(width, bias=False)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)

    def forward(self, x):  # [batch, seq, width]
        batch, seq, width = x.shape
        q, k, v = (part.view(batch, seq, self.heads, -1).transpose(1, 2)
                   for part in self.qkv(self.norm_1(x)).split(width, dim=2))
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.attention_out(mixed.transpose(1, 2).reshape(batch, seq, width))
        return x + self.down(functional.gelu(self.up(self.norm_2(x))))


class Gpt(nn.Module):
    """GPT-2: learned positions, head tied to the embedding, no dropout."""

    def __init__(self, settings, vocabulary):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, settings.width)
        self.positions = nn.Embedding(settings.block, settings.width)
        self.blocks = nn.ModuleList(GptBlock(settings) for _ in range(settings.layers))
        self.norm = nn.LayerNorm(settings.width, bias=False)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:  # what adds to the residual is smaller, as in GPT-2
                adds = name.endswith(("attention_out.weight", "down.weight"))
                nn.init.normal_(parameter, 0.0,
                                0.02 / math.sqrt(2 * settings.layers) if adds else 0.02)

    def forward(self, ids):  # [batch, seq] -> logits [batch, seq, vocabulary]
        x = self.tokens(ids) + self.positions(torch.arange(ids.shape[1]))
        for block in self.blocks:
            x = block(x)
        return functional.linear(self.norm(x), self.tokens.weight)


def gpt_loss(model, ids, targets):
    return functional.cross_entropy(model(ids).flatten(0, 1), targets.flatten())


def validation_loss(model, ids, settings):
    """Over the whole split, in blocks one after the other."""
    total, count = 0.0, 0
    model.eval()
    with torch.no_grad():
        width = settings.block
        starts = range(0, len(ids) - 1 - width, width)
        for first in range(0, len(starts), 64):
            rows = torch.stack([ids[s:s + width + 1] for s in starts[first:first + 64]])
            total += gpt_loss(model, rows[:, :-1], rows[:, 1:]).item() * rows.shape[0]
            count += rows.shape[0]
    return total / count


def nanogpt(options):
    settings = GptSettings()
    with open(options.text, encoding="utf-8") as file:
        text = file.read()
    characters = sorted(set(text))
    ids = torch.tensor([characters.index(c) for c in text])
    train_ids, held_out = ids[:int(0.9 * len(ids))], ids[int(0.9 * len(ids)):]
    torch.manual_seed(settings.seed)
    model = Gpt(settings, len(characters))
    matrices = [p for p in model.parameters() if p.dim() == 2]
    others = [p for p in model.parameters() if p.dim() != 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": settings.decay},
         {"params": others, "weight_decay": 0.0}], betas=(0.9, settings.beta2), fused=True)

    def batch_of(_):
        starts = torch.randint(len(train_ids) - settings.block, (settings.batch,))
        rows = torch.stack([train_ids[s:s + settings.block + 1] for s in starts])
        return rows[:, :-1], rows[:, 1:]

    def rate_of(step):  # nanoGPT's get_lr
        if step < settings.warmup:
            return settings.rate * (step + 1) / (settings.warmup + 1)
        share = (step - settings.warmup) / max(1, options.steps - settings.warmup)
        cosine = 0.5 * (1.0 + math.cos(math.pi * share))
        return settings.rate_min + cosine * (settings.rate - settings.rate_min)

    run = compiled(options, model)
    train(options, run, batch_of, gpt_loss, optimizer, rate_of)
    say(validation_loss=validation_loss(model, held_out, settings))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", choices=["full", "lora", "nanogpt"])
    parser.add_argument("--model", help="a Hugging Face folder")
    parser.add_argument("--adapter", help="a PEFT folder to start from")
    parser.add_argument("--ids", help="text of token ids")
    parser.add_argument("--rows", help="JSON lines of input_ids and labels")
    parser.add_argument("--text", help="a text")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--seq", type=int, default=512)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    {"full": full, "lora": lora, "nanogpt": nanogpt}[options.work](options)


if __name__ == "__main__":
    main()
