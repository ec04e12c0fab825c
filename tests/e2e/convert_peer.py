"""What minke converts, other programs run (./check --all), and the other way round.

Method: random checkpoints of every architecture (tests/golden/hf_models.py) and the default model.

1. minke's GGUF against that of llama.cpp's own converter: the same tensors, byte by byte, and the
   same metadata;
2. llama.cpp on minke's GGUF: minke's logits and the same greedy tokens;
3. transformers on the folder that minke makes of that GGUF: minke's logits.
"""

import glob
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import unittest

from minke_process import MODEL, ROOT, minke, minke_json

sys.path[:0] = [os.path.join(ROOT, "bench", "peers"), os.path.join(ROOT, "tests", "golden")]
import hf_cases  # noqa: E402
import hf_models  # noqa: E402
import llama_cpp  # noqa: E402

SOURCE = llama_cpp.fetch_source(llama_cpp.cache_folder())
LLAMA_TOLERANCE = 2e-3  # of a logit: llama.cpp's rope and exponentials are approximations
GREEDY_TOKENS = 16
ROUNDS = 2
# What llama.cpp's converter says of a model beyond its shape, or only by default.
NOT_COMPARED = ("general.", "GGUF.", "tokenizer.")


def logits_program(programs, folder):
    """Compiles tests/golden/llama_logits.cpp against the peer's library."""
    program = os.path.join(folder, "llama_logits")
    subprocess.run(["c++", "-std=c++17", "-O1", "-I", os.path.join(SOURCE, "include"),
                    "-I", os.path.join(SOURCE, "ggml", "include"),
                    os.path.join(ROOT, "tests", "golden", "llama_logits.cpp"), "-o", program, "-L",
                    programs, "-lllama", "-lggml", "-lggml-base", f"-Wl,-rpath,{programs}"],
                   check=True)
    return program


def llama_convert(folder, made, kind, tokenizer):
    """llama.cpp's own converter; without a tokenizer it is told that there is none."""
    code = ("import sys; sys.path[:0] = [{source!r}, {source!r} + '/gguf-py']\n"
            "import conversion, convert_hf_to_gguf\n"
            "real = conversion.get_model_class\n"
            "def no_vocab(*a, **k):\n"
            "    found = real(*a, **k)\n"
            "    if not {tokenizer}: found.set_vocab = lambda self: self._set_vocab_none()\n"
            "    return found\n"
            "convert_hf_to_gguf.get_model_class = no_vocab\n"
            "sys.argv = ['convert', {folder!r}, '--outfile', {made!r}, '--outtype', {kind!r}]\n"
            "convert_hf_to_gguf.main()\n")
    done = subprocess.run([sys.executable, "-c", code.format(
        source=SOURCE, folder=folder, made=made, kind=kind, tokenizer=tokenizer)],
        capture_output=True, text=True)
    if done.returncode != 0:
        raise AssertionError(done.stderr[-2000:])


def contents(path):
    """({name: (type, shape, bytes)}, {key: value}) of a GGUF file, as gguf-py reads it."""
    import gguf

    reader = gguf.GGUFReader(path)
    tensors = {t.name: (t.tensor_type.name, t.shape.tolist(), t.data.tobytes())
               for t in reader.tensors}
    return tensors, {name: field.contents() for name, field in reader.fields.items()}


class Checkpoint:
    """A random checkpoint of transformers', saved in `folder`."""

    def __init__(self, case, turn, folder):
        make_config, self.dtype, _ = hf_models.CASES[case]
        rng = random.Random(f"convert {turn} {case}")
        shape = hf_models.random_shape(rng)
        self.model = hf_models.make_model(self.plain(case, make_config), shape, self.dtype,
                                          rng.randrange(1 << 30))
        self.ids = [rng.randrange(shape["vocab_size"]) for _ in range(rng.choice([5, 70]))]
        self.folder = os.path.join(folder, "hf")
        # Saving rounds the rope, and all of FP8, which is what is read then.
        self.model = hf_models.save(self.model, self.folder, self.dtype,
                                    rng.choice(["20KB", "1GB"]))
        self.logits = hf_models.logits_of(self.model, self.ids).tolist()
        self.mtp_logits = hf_models.mtp_logits_of(self.model, self.ids)
        self.is_fp8 = self.dtype.startswith("fp8")
        if case.startswith("deepseek-v3"):  # DeepSeek's files say so; llama.cpp's converter asks
            path = pathlib.Path(self.folder, "config.json")
            config = json.loads(path.read_text(encoding="utf-8"))
            config["scoring_func"] = "sigmoid"
            path.write_text(json.dumps(config), encoding="utf-8")

    @staticmethod
    def plain(case, make_config):
        """llama.cpp counts V2's groups by the sum of their two best experts; V2 by the best."""
        def made(transformers, rng, shape):
            config = make_config(transformers, rng, shape)
            if case == "deepseek-v2":
                config.topk_method, config.n_group, config.topk_group = "greedy", 1, 1
            return config
        return made


class ConvertEndToEnd(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.peers = os.environ.get("MINKE_PEER_BUILD") or llama_cpp.build()
        cls.program = logits_program(cls.peers, cls.scratch.name)

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def convert(self, *arguments):
        done = minke("convert", *arguments)
        self.assertEqual(done.returncode, 0, done.stderr.decode())

    def each_checkpoint(self, body):
        for case in hf_models.CASES:
            if case == "qwen3-moe-sparse":
                continue  # GGUF cannot say which layers have experts
            for turn in range(ROUNDS):
                with self.subTest(f"{case} {turn}"), tempfile.TemporaryDirectory() as folder:
                    body(case, Checkpoint(case, turn, folder), folder)

    def minke_logits(self, path, ids):
        return minke_json("logits", path, "--ids", ",".join(map(str, ids)), "--precision",
                          "f32")["logits"]

    def assert_close(self, one, other, tolerance):
        self.assertEqual(len(one), len(other))
        worst = max(abs(a - b) for row, rows in zip(one, other) for a, b in zip(row, rows))
        self.assertLess(worst, tolerance)

    def test_the_file_is_that_of_llama_cpps_own_converter(self):
        def compare(case, checkpoint, folder):
            ours, theirs = os.path.join(folder, "a.gguf"), os.path.join(folder, "b.gguf")
            kind = {"float16": "f16", "bfloat16": "bf16"}.get(checkpoint.dtype, "f32")
            self.convert(checkpoint.folder, ours, "--type", kind)
            llama_convert(checkpoint.folder, theirs, kind, False)
            (our_tensors, our_keys), (their_tensors, their_keys) = contents(ours), contents(theirs)
            modules = len(checkpoint.mtp_logits)  # which their converter leaves out
            if modules:
                layers = checkpoint.model.config.num_hidden_layers
                self.assertEqual(our_keys.pop("deepseek2.nextn_predict_layers"), modules)
                self.assertEqual(our_keys["deepseek2.block_count"], layers + modules)
                their_keys["deepseek2.block_count"] += modules
                mtp = [name for name in our_tensors if name.startswith(
                    tuple(f"blk.{layers + k}." for k in range(modules)))]
                self.assertEqual(len([name for name in mtp if "nextn.eh_proj" in name]), modules)
                for name in mtp:
                    del our_tensors[name]
            self.assertEqual(sorted(our_tensors), sorted(their_tensors))
            for name, (dtype, shape, data) in their_tensors.items():
                self.assertEqual(our_tensors[name][:2], (dtype, shape), name)
                if name != "rope_freqs.weight":  # computed, to other last bits
                    self.assertEqual(our_tensors[name][2], data, name)
            for key, value in their_keys.items():
                if key.startswith(NOT_COMPARED) or key.endswith("yarn_attn_factor"):
                    continue
                default = {"beta_fast": 32, "beta_slow": 1, "group_count": 1, "group_used_count": 1}
                missing = next((v for end, v in default.items() if key.endswith(end)), None)
                found = our_keys.get(key, missing)
                if key.endswith(("group_count", "group_used_count")) and key not in our_keys:
                    found = value  # all groups are kept, which says the same
                same = found == value if not isinstance(value, float) else (
                    abs(found - value) <= 1e-6 * abs(value))
                self.assertTrue(same, f"{key} is {our_keys.get(key)} and {value}")
            # And minke reads what llama.cpp's converter wrote.
            self.assert_close(self.minke_logits(ours, checkpoint.ids),
                              self.minke_logits(theirs, checkpoint.ids), 2e-4)

        self.each_checkpoint(compare)

    def test_llama_cpp_runs_what_minke_wrote(self):
        def compare(case, checkpoint, folder):
            path = os.path.join(folder, "model.gguf")
            self.convert(checkpoint.folder, path, "--type", "f32")
            done = subprocess.run([self.program, path, str(GREEDY_TOKENS),
                                   *map(str, checkpoint.ids)], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            *theirs, greedy = map(json.loads, done.stdout.splitlines())
            ours = self.minke_logits(path, checkpoint.ids + greedy)
            self.assert_close(ours[:len(theirs)], theirs, LLAMA_TOLERANCE)
            chosen = [max(range(len(row)), key=row.__getitem__) for row in
                      ours[len(theirs) - 1:-1]]
            self.assertEqual(chosen, greedy)

        self.each_checkpoint(compare)

    def test_transformers_loads_the_folder_that_minke_wrote(self):
        def compare(case, checkpoint, folder):
            gguf, back = os.path.join(folder, "model.gguf"), os.path.join(folder, "back")
            self.convert(checkpoint.folder, gguf,
                         *(["--type", "f32"] if checkpoint.is_fp8 else []))
            self.convert(gguf, back, "--shard-gb", "0.001")
            expected = checkpoint.logits
            model = hf_models.load(back)
            found = hf_models.mtp_logits_of(model, checkpoint.ids)
            self.assertEqual(len(found), len(checkpoint.mtp_logits))
            for one, other in zip(found, checkpoint.mtp_logits):
                self.assert_close(one.tolist(), other.tolist(), 1e-5)
            self.assert_close(hf_models.logits_of(model, checkpoint.ids).tolist(), expected, 1e-5)
            self.assert_close(self.minke_logits(back, checkpoint.ids), expected, 4e-4)

        self.each_checkpoint(compare)

    def test_fp8_is_what_torch_makes_of_the_same_weights(self):
        for turn in range(ROUNDS):
            for case in ("deepseek-v3-fp8", "qwen3-fp8"):
                with self.subTest(f"{case} {turn}"), tempfile.TemporaryDirectory() as folder:
                    self.compare_fp8(case, turn, folder)

    def compare_fp8(self, case, turn, folder):
        import torch

        make_config, dtype, _ = hf_models.CASES[case]
        shape = hf_models.random_shape(random.Random(f"fp8 {turn} {case}"))
        model = hf_models.make_model(make_config, shape, "bfloat16", turn)
        theirs, ours = os.path.join(folder, "hf"), os.path.join(folder, "ours")
        hf_models.save(model, theirs, "bfloat16", "1GB")
        kind = "fp8-ue8m0" if dtype.endswith("ue8m0") else "fp8"
        self.convert(theirs, ours, "--type", kind)
        hf_models.to_fp8(theirs, dtype, 1)
        expected, found = hf_models.read_tensors(theirs), hf_models.read_tensors(ours)
        scales = [name for name in found if name.endswith("_scale_inv")]
        self.assertGreater(len(scales), 3)
        for scale in scales:
            name = scale.removesuffix("_scale_inv")
            # Their names of FP8 matrices are as many, but for the one of kv_a.
            if name in expected and scale in expected:
                self.assertTrue(torch.equal(found[scale], expected[scale].float()), scale)
                self.assertTrue(torch.equal(found[name].view(torch.uint8),
                                            expected[name].view(torch.uint8)), name)
        for name in set(found) - set(scales):
            if name + "_scale_inv" in found:
                continue
            self.assertTrue(torch.equal(found[name], expected[name]), name)
        loaded = hf_models.load(ours)
        ids = [i * i % shape["vocab_size"] for i in range(70)]
        self.assert_close(self.minke_logits(ours, ids),
                          hf_models.logits_of(loaded, ids).tolist(), 4e-4)

    def test_block_formats_are_decoded_to_what_they_mean(self):
        import transformers

        shape = {"vocab_size": 256, "hidden_size": 256, "intermediate_size": 512,
                 "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 4,
                 "q_lora_rank": None, "kv_lora_rank": 256, "qk_nope_head_dim": 64,
                 "qk_rope_head_dim": 32, "v_head_dim": 64, "n_routed_experts": 4,
                 "num_experts_per_tok": 2, "moe_intermediate_size": 256, "n_group": 1,
                 "topk_group": 1, "first_k_dense_replace": 1, "max_position_embeddings": 512,
                 "topk_method": "greedy", "rope_parameters": hf_cases.DEEPSEEK_ROPE}
        model = hf_models.make_model(
            lambda _, rng, given: transformers.DeepseekV2Config(**given), shape, "bfloat16", 1)
        with tempfile.TemporaryDirectory() as folder:
            hf, plain, blocks, back = (os.path.join(folder, name) for name in
                                       ("hf", "plain.gguf", "blocks.gguf", "back"))
            hf_models.save(model, hf, "bfloat16", "1GB")
            self.convert(hf, plain)
            subprocess.run([os.path.join(self.peers, "llama-quantize"), plain, blocks, "Q4_K_M"],
                           check=True, capture_output=True)
            kinds = {tensor["dtype"] for tensor in minke_json("show", blocks)["tensors"]}
            self.assertLessEqual({"q4_k", "q5_0"}, kinds)
            self.convert(blocks, back, "--type", "f32")
            ids = [i * i % 256 for i in range(70)]
            expected = self.minke_logits(blocks, ids)
            self.assertEqual(self.minke_logits(back, ids), expected)
            loaded = transformers.AutoModelForCausalLM.from_pretrained(
                back, dtype="float32", experts_implementation="eager").eval()
            self.assert_close(hf_models.logits_of(loaded, ids).tolist(), expected, 1e-3)


class TheDefaultModel(unittest.TestCase):
    """Q4_1 GGUF -> folder -> GGUF: transformers and llama.cpp's converter on the folder."""

    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.folder = os.path.join(cls.scratch.name, "hf")
        for arguments in ([MODEL, cls.folder], [cls.folder, cls.folder + ".gguf"]):
            done = minke("convert", *arguments)
            if done.returncode != 0:
                raise AssertionError(done.stderr.decode())

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def test_transformers_answers_as_minke_does(self):
        import torch
        import transformers

        question = "Why is the sky blue?"
        tokenizer = transformers.AutoTokenizer.from_pretrained(self.folder)
        model = transformers.AutoModelForCausalLM.from_pretrained(self.folder, dtype="float32")
        ids = tokenizer.apply_chat_template([{"role": "user", "content": question}],
                                            add_generation_prompt=True, return_tensors="pt",
                                            return_dict=True)["input_ids"]
        with torch.no_grad():
            made = model.generate(ids, max_new_tokens=40, do_sample=False)[0][ids.shape[1]:]
        for path in (self.folder, self.folder + ".gguf"):
            found = minke_json("run", path, question, "--temperature", "0", "--max-tokens", "40",
                               "--precision", "f32")
            self.assertEqual(found["prompt_tokens"], ids.shape[1])
            self.assertEqual(found["token_ids"], made.tolist())
            self.assertEqual(found["text"].strip(), tokenizer.decode(made).strip())

    def test_the_tokenizer_of_the_folder_is_the_models_own(self):
        import transformers

        tokenizer = transformers.AutoTokenizer.from_pretrained(self.folder)
        lines = []
        for path in sorted(glob.glob(os.path.join(ROOT, "**", "*.md"), recursive=True))[:12]:
            lines += pathlib.Path(path).read_text(encoding="utf-8").splitlines()
        done = minke("tokenize", MODEL, "--lines",
                     stdin="".join(json.dumps(line) + "\n" for line in lines).encode())
        for line, ids in zip(lines, done.stdout.decode().splitlines(), strict=True):
            self.assertEqual(tokenizer.encode(line, add_special_tokens=False), json.loads(ids))

    def test_llama_cpps_converter_makes_the_same_file(self):
        theirs = os.path.join(self.scratch.name, "theirs.gguf")
        llama_convert(self.folder, theirs, "bf16", True)
        (our_tensors, our_keys), (their_tensors, their_keys) = (
            contents(self.folder + ".gguf"), contents(theirs))
        self.assertEqual(our_tensors, their_tensors)
        for key in their_keys:
            if not key.startswith(("general.", "GGUF.")) and their_keys[key] is not False:
                self.assertEqual(our_keys.get(key), their_keys[key], key)


if __name__ == "__main__":
    unittest.main()
