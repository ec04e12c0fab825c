"""GGUF's deepseek2 against llama.cpp (./check --all): random weights in small shapes, and the
log-probabilities of every token after a prompt and after each token that llama.cpp then chose.

It keeps latents and absorbs their expansion, so this also compares the two forms of attention.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
import unittest
import urllib.request

import numpy

from minke_process import ROOT, answers_in_time, free_port, minke_json

sys.path.insert(0, os.path.join(ROOT, "bench", "peers"))
import llama_cpp  # noqa: E402
import models  # noqa: E402
import random_gguf  # noqa: E402

START_SECONDS_MAX = 60
PROMPT_TOKENS = 70
GENERATED_TOKENS = 12
SHAPE = dict(layers=4, hidden=256, ffn=352, heads=3, q_lora=0, kv_lora=96, nope=32, rope=16, v=64,
             dense_layers=1, experts=12, used=3, shared=2, expert_ffn=96, vocab=320, context=640,
             rope_factor=10.0, original_context=64, mscale=0.707)
# What DeepSeek-V3's files have besides, with 4 groups of experts of which 2 may be chosen from.
V3_FIELDS = {"expert_gating_func": 2, "expert_weights_norm": True, "expert_weights_scale": 2.5,
             "expert_group_count": 4, "expert_group_used_count": 2}


def write_model(path, shape, fields):
    """f32 weights with a spread that makes attention and gates choose, not average."""
    metadata, tensors = models.deepseek2(shape, "f32")
    metadata.update({f"deepseek2.{key}": value for key, value in fields.items()})
    # No single bytes: llama-server tells nothing of a token before its character is whole.
    metadata["tokenizer.ggml.tokens"] = [f"word{i}" for i in range(shape["vocab"])]
    if fields:
        tensors += [random_gguf.RandomTensor(f"blk.{i}.exp_probs_b.bias", [shape["experts"]], "f32")
                    for i in range(shape["dense_layers"], shape["layers"])]
    generator = numpy.random.default_rng(5)
    with open(path, "wb") as file:
        file.write(random_gguf.header_of(metadata, tensors)[0])
        for tensor in tensors:
            values = generator.standard_normal(tensor.count)
            if tensor.name.endswith("norm.weight"):
                values = 1 + 0.2 * values
            elif tensor.name.endswith(".bias"):
                values *= 0.1
            elif tensor.name != "token_embd.weight":
                values *= 1.5 / math.sqrt(tensor.dims[0])
            data = values.astype(numpy.float32).tobytes()
            file.write(data + b"\0" * random_gguf.padding(len(data)))


def programs():
    """--peer-build of bench/peers, as an environment variable, or its own build."""
    return os.environ.get("MINKE_PEER_BUILD") or llama_cpp.build()


class LlamaServer:
    """`with LlamaServer(file) as server:`; one sequence, f32 in its cache."""

    def __init__(self, model):
        self.url = f"http://127.0.0.1:{free_port()}"
        self.command = [os.path.join(programs(), "llama-server"), "-m", model, "--port",
                        self.url.rsplit(":", 1)[1], "-c", "512", "-np", "1", "-t", "2", "-fa",
                        "off", "-ctk", "f32", "-ctv", "f32", "--no-webui"]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if not answers_in_time(self.process, self.url, START_SECONDS_MAX):
            raise AssertionError("llama-server did not start: " + " ".join(self.command))
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=30)

    def greedy(self, ids, count, vocab):
        """(the ids it chose, log-probabilities [count, vocab])."""
        body = {"prompt": ids, "n_predict": count, "n_probs": vocab, "temperature": 0,
                "ignore_eos": True, "cache_prompt": False}
        request = urllib.request.Request(self.url + "/completion", json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        answer = json.loads(urllib.request.urlopen(request, timeout=60).read())
        rows = numpy.full((count, vocab), numpy.nan)
        chosen = []
        for row, step in zip(rows, answer["completion_probabilities"]):
            chosen.append(step["id"])
            for token in step["top_logprobs"]:
                row[token["id"]] = token["logprob"]
        return chosen, rows


def minke_log_probabilities(model, ids, positions, precision):
    document = minke_json("logits", model, "--ids", ",".join(map(str, ids)), "--precision",
                          precision)
    logits = numpy.array(document["logits"], dtype=numpy.float64)[positions]
    highest = logits.max(axis=1, keepdims=True)
    return logits - highest - numpy.log(numpy.exp(logits - highest).sum(axis=1, keepdims=True))


class DeepSeek2EndToEnd(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.model = os.path.join(self.folder.name, "model.gguf")

    def compare(self, shape, fields=None, kind=None, precision="f32"):
        """Log-probabilities [GENERATED_TOKENS, vocab] of minke and of llama.cpp."""
        write_model(self.model, shape, fields or {})
        model = self.model
        if kind:
            model = os.path.join(self.folder.name, kind + ".gguf")
            models.quantized(programs(), self.model, model, kind)
        ids = numpy.random.default_rng(9).integers(0, shape["vocab"] - 1, PROMPT_TOKENS).tolist()
        with LlamaServer(model) as server:
            chosen, theirs = server.greedy(ids, GENERATED_TOKENS, shape["vocab"])
        first = len(ids) - 1
        ours = minke_log_probabilities(model, ids + chosen[:-1],
                                       slice(first, first + GENERATED_TOKENS), precision)
        self.assertFalse(numpy.isnan(theirs).any(), "llama.cpp told not all probabilities")
        return ours, theirs

    def assert_same(self, ours, theirs):
        self.assertGreater(theirs.std(), 0.5)  # else 1e-3 would say nothing
        self.assertLess(numpy.abs(ours - theirs).max(), 1e-3)
        self.assertEqual(ours.argmax(axis=1).tolist(), theirs.argmax(axis=1).tolist())

    def test_v2_without_a_query_latent_has_llama_cpps_probabilities(self):
        self.assert_same(*self.compare(SHAPE))

    def test_v3_with_groups_and_a_query_latent_has_llama_cpps_probabilities(self):
        self.assert_same(*self.compare({**SHAPE, "q_lora": 64, "shared": 1}, V3_FIELDS))

    def test_a_file_of_llama_quantize_has_about_llama_cpps_probabilities(self):
        # Its activations have 8 bits, so no closer; all experts, so that none is chosen by that.
        shape = {**SHAPE, "used": SHAPE["experts"]}
        for precision in ("f32", "int8"):
            with self.subTest(precision):
                ours, theirs = self.compare(shape, kind="Q4_K_M", precision=precision)
                self.assertLess(numpy.abs(ours - theirs).mean(), 0.2 * theirs.std())


if __name__ == "__main__":
    unittest.main()
