#!/usr/bin/env python3
"""Makes tests/golden/logits_smollm2.json: what transformers computes for SmolLM2-135M-Instruct.

Method: transformers loads the GGUF file (`gguf_file=`), which de-quantises every weight to f32; the
weights go into a LlamaForCausalLM freshly made from the config, and everything after that is f32.
Each chat prompt is rendered with the file's own chat template and decoded greedily for 64 tokens.

Prompt ids come from llama.cpp's llama-tokenize (`--llama-tokenize PATH`), because transformers'
GGUF tokenizer drops the split of digits. Without that option the ids in the stored file are used
again, so that the numbers can be recomputed where llama.cpp is not at hand.

    logits_smollm2.py --model F.gguf --llama-tokenize PATH    # writes the file
    logits_smollm2.py --model F.gguf --check                  # computes afresh and compares

The document:
    versions     of python, torch, transformers, gguf, and the model file's SHA-256
    prompts[i]   messages, prompt (rendered text), prompt_ids, greedy_ids (64, or fewer when
                 <|im_end|> came, which is then the last id), gaps (top logit minus the second, one
                 for each greedy id), top5: for a few steps, [[id, logit] x 5]
    perplexity   bytes (the first so many of the text), windows of `context` tokens: disjoint, first
                 token of each not scored, tail dropped, no BOS; tokens (scored), nll (mean, nats),
                 perplexity, ids_sha256 (of all ids as decimal numbers joined by one space)
"""

import argparse
import hashlib
import json
import math
import os
import platform
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDEN = os.path.join(HERE, "logits_smollm2.json")
MODEL_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
NUM_GREEDY = 64
TOP5_STEPS = (0, 1, 2, 7, 15, 31, 47, 63)
TEXT_BYTES = 20000
CONTEXT = 512
END_OF_TURN = 2  # <|im_end|>


def user(text):
    return [{"role": "user", "content": text}]


PROMPTS = [
    user("Why is the sky blue?"),
    user("What is 1234 + 5678? Then divide 100 by 7 and give 3 decimals."),
    user("Write a Python function that reverses a linked list, with a short explanation."),
    user("Écris l'histoire d'un chat à Noël, s'il te plaît, en français."),
    user("请用中文介绍一下鲸鱼。🐳"),
    [{"role": "system", "content": "You are a pirate. Answer every question as a pirate would."},
     {"role": "user", "content": "How do I make a cup of tea?"}],
    user("Give me a JSON object with the keys name, age and city for a person you invent."),
    [{"role": "user", "content": "My name is Ada and I live in London."},
     {"role": "assistant", "content": "Nice to meet you, Ada! London is a lovely city."},
     {"role": "user", "content": "Where do I live, and what is my name?"}],
    user("Summarise this text in one sentence:\n\nThe blue whale is the largest animal known to "
         "have ever lived. It feeds almost exclusively on krill, which it catches by lunging with "
         "its mouth open and filtering the water through its baleen plates. Hunted nearly to "
         "extinction until 1967, its numbers have since recovered a little, to perhaps "
         "15,000 animals."),
    user("List the planets of the Solar System in order, one per line, with a remark on each."),
    user("Tell me about the history of the number zero, from 300 BCE to the year 1299."),
    user("Write a short poem about the sea,\n\twith   odd    spaces -- and \"quotes\" (really)!"),
]


def sha256_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def render(template, messages):
    """The text that the file's chat template makes of the messages, ready for the answer."""
    import jinja2.sandbox

    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(messages=messages, add_generation_prompt=True)


def tokenize(program, model, text, parse_special):
    """Ids by llama-tokenize, no BOS added; special tokens are parsed only in rendered templates."""
    with tempfile.NamedTemporaryFile("wb", suffix=".txt") as file:
        file.write(text if isinstance(text, bytes) else text.encode())
        file.flush()
        command = [program, "-m", model, "-f", file.name, "--ids", "--no-bos", "--no-escape",
                   "--log-disable"]
        if not parse_special:
            command.append("--no-parse-special")
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(out)


def load_model(path):
    """(model in f32, chat template). The de-quantised weights go into a freshly made model."""
    import gguf
    import torch
    import transformers

    reader = gguf.GGUFReader(path)
    template = reader.fields["tokenizer.chat_template"].contents()
    rope_theta = reader.fields["llama.rope.freq_base"].contents()
    folder, name = os.path.split(os.path.abspath(path))
    loaded = transformers.AutoModelForCausalLM.from_pretrained(folder, gguf_file=name,
                                                               dtype=torch.float32)
    config = loaded.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    assert config.rope_parameters["rope_theta"] == rope_theta, config.rope_parameters
    model = transformers.LlamaForCausalLM(config)
    missing = model.load_state_dict(loaded.state_dict())
    assert not missing.missing_keys and not missing.unexpected_keys, missing
    return model.float().eval(), template


def decode_greedily(model, prompt_ids):
    import torch

    greedy_ids, gaps, top5 = [], [], {}
    past, ids = None, torch.tensor([prompt_ids])
    for step in range(NUM_GREEDY):
        out = model(input_ids=ids, past_key_values=past, use_cache=True)
        past, logits = out.past_key_values, out.logits[0, -1]  # [vocab]
        top = torch.topk(logits, 5)
        token = int(top.indices[0])
        greedy_ids.append(token)
        gaps.append(round(float(top.values[0] - top.values[1]), 5))
        if step in TOP5_STEPS:
            top5[str(step)] = [[int(i), round(float(v), 5)]
                               for i, v in zip(top.indices, top.values)]
        if token == END_OF_TURN:
            break
        ids = torch.tensor([[token]])
    return {"greedy_ids": greedy_ids, "gaps": gaps, "top5": top5}


def measure_perplexity(model, ids):
    import torch

    total, tokens = 0.0, 0
    for begin in range(0, len(ids) - CONTEXT + 1, CONTEXT):
        window = torch.tensor([ids[begin:begin + CONTEXT]])
        logits = model(input_ids=window, use_cache=False).logits[0]  # [context, vocab]
        log_probs = torch.log_softmax(logits[:-1].double(), dim=-1)
        total -= float(log_probs.gather(1, window[0, 1:, None]).sum())
        tokens += CONTEXT - 1
    return {"bytes": TEXT_BYTES, "context": CONTEXT, "tokens": tokens,
            "nll": round(total / tokens, 7), "perplexity": round(math.exp(total / tokens), 5),
            "ids_sha256": hashlib.sha256(" ".join(map(str, ids)).encode()).hexdigest()}


def compute(arguments, stored):
    import gguf
    import torch
    import transformers

    torch.set_grad_enabled(False)
    model_sha256 = sha256_of(arguments.model)
    if model_sha256 != MODEL_SHA256:
        sys.exit(f"{arguments.model}: SHA-256 is {model_sha256} when it should be {MODEL_SHA256}")
    model, template = load_model(arguments.model)
    document = {
        "made_by": "tests/golden/logits_smollm2.py",
        "versions": {"python": platform.python_version(), "torch": torch.__version__,
                     "transformers": transformers.__version__,
                     "gguf": getattr(gguf, "__version__", None) or package_version("gguf"),
                     "model_sha256": model_sha256},
        "prompts": [],
    }
    for index, messages in enumerate(PROMPTS):
        prompt = render(template, messages)
        if arguments.llama_tokenize:
            prompt_ids = tokenize(arguments.llama_tokenize, arguments.model, prompt, True)
        else:
            entry = stored["prompts"][index]
            assert entry["prompt"] == prompt, f"prompt {index} changed: pass --llama-tokenize"
            prompt_ids = entry["prompt_ids"]
        entry = {"messages": messages, "prompt": prompt, "prompt_ids": prompt_ids}
        entry.update(decode_greedily(model, prompt_ids))
        document["prompts"].append(entry)
        print(f"prompt {index}: {len(prompt_ids)} ids, {len(entry['greedy_ids'])} greedy, "
              f"smallest gap {min(entry['gaps']):.5f}", file=sys.stderr)
    with open(arguments.text, "rb") as file:
        text = file.read(TEXT_BYTES)
    if arguments.llama_tokenize:
        ids = tokenize(arguments.llama_tokenize, arguments.model, text, False)
    else:
        command = [arguments.minke, "tokenize", arguments.model, "--json"]
        ids = json.loads(subprocess.run(command, input=text, check=True,
                                        stdout=subprocess.PIPE).stdout)["ids"]
    document["perplexity"] = measure_perplexity(model, ids)
    return document


def package_version(name):
    from importlib.metadata import version

    return version(name)


def differences(stored, fresh):
    """What differs by more than two correct f32 computations may. A list of sentences."""
    found = []
    for index, (old, new) in enumerate(zip(stored["prompts"], fresh["prompts"])):
        if old["prompt_ids"] != new["prompt_ids"]:
            found.append(f"prompt {index}: prompt ids differ")
            continue
        pairs = list(zip(old["greedy_ids"], new["greedy_ids"]))
        parted = next((i for i, (a, b) in enumerate(pairs) if a != b), None)
        if parted is not None and old["gaps"][parted] >= 1e-3:
            found.append(f"prompt {index}: greedy ids part at step {parted} where the gap is "
                         f"{old['gaps'][parted]}")
        same = len(pairs) if parted is None else parted
        for step in (s for s in old["top5"] if int(s) < same):
            a, b = dict(old["top5"][step]), dict(new["top5"][step])
            worst = max((abs(a[i] - b[i]) for i in a.keys() & b.keys()), default=math.inf)
            if worst > 1e-3:
                found.append(f"prompt {index}, step {step}: top logits differ by {worst}")
    old, new = stored["perplexity"], fresh["perplexity"]
    for key in ("bytes", "context", "tokens", "ids_sha256"):
        if old[key] != new[key]:
            found.append(f"perplexity: {key} is {new[key]} when it should be {old[key]}")
    if abs(old["nll"] - new["nll"]) > 1e-4:
        found.append(f"perplexity: nll is {new['nll']} when it should be {old['nll']}")
    return found


def main():
    root = os.path.dirname(os.path.dirname(HERE))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="SmolLM2-135M-Instruct.Q4_1.gguf")
    parser.add_argument("--text", help="Tiny Shakespeare's input.txt", default=os.path.join(
        root, "../shared/data/tinyshakespeare/input.txt"))
    parser.add_argument("--llama-tokenize", help="llama.cpp's program; without it stored ids serve")
    parser.add_argument("--minke", default=os.path.join(root, "build/release/minke"),
                        help="tokenizes the text when --llama-tokenize is not given")
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    arguments = parser.parse_args()
    stored = None
    if os.path.exists(GOLDEN):
        with open(GOLDEN, encoding="utf-8") as file:
            stored = json.load(file)
    fresh = compute(arguments, stored)
    if not arguments.check:
        with open(GOLDEN, "w", encoding="utf-8") as file:
            json.dump(fresh, file, ensure_ascii=False, separators=(",", ":"))
            file.write("\n")
        return 0
    found = differences(stored, fresh)
    for sentence in found:
        print(sentence)
    print("logits_smollm2.json: " + ("differs" if found else "equal within the tolerances"))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
