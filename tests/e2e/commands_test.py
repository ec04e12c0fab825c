"""The contracts of the commands: what they print with --json, and what they make of bad input.

Method: the built program is run as a user would run it, on the default model; nothing is mocked.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest

from minke_process import MINKE, MODEL, ROOT, minke, minke_json, model_file


class Contracts(unittest.TestCase):
    def test_run_prints_one_document(self):
        document = minke_json("run", MODEL, "Why is the sky blue?", "--temperature", "0",
                              "--max-tokens", "24")
        self.assertEqual(document["completion_tokens"], len(document["token_ids"]))
        self.assertEqual(document["completion_tokens"], 24)
        self.assertEqual(document["finish_reason"], "length")
        self.assertEqual(document["prompt_tokens"], 36)
        self.assertGreater(document["tokens_per_second"], 0)
        self.assertGreater(document["seconds"], 0)
        decoded = minke_json("tokenize", MODEL, "--decode",
                             stdin=json.dumps(document["token_ids"]).encode())
        self.assertEqual(decoded["text"].strip(), document["text"].strip())

    def test_run_takes_its_prompt_from_a_pipe(self):
        piped = minke_json("run", MODEL, "--temperature", "0", "--max-tokens", "8",
                           stdin=b"Why is the sky blue?\n")
        given = minke_json("run", MODEL, "Why is the sky blue?", "--temperature", "0",
                           "--max-tokens", "8")
        self.assertEqual(piped["token_ids"], given["token_ids"])

    def test_raw_takes_the_prompt_without_a_template(self):
        text = "Once upon a time"
        ids = minke_json("tokenize", MODEL, stdin=text.encode())["ids"]
        document = minke_json("run", MODEL, text, "--raw", "--temperature", "0",
                              "--max-tokens", "4")
        self.assertEqual(document["prompt_tokens"], len(ids))

    def test_the_seed_decides_the_answer(self):
        def answer(seed):
            return minke_json("run", MODEL, "Tell me a story.", "--temperature", "1",
                              "--max-tokens", "16", "--seed", str(seed))["token_ids"]

        self.assertEqual(answer(7), answer(7))
        self.assertNotEqual(answer(7), answer(8))

    def test_a_signal_decides_the_exit_code(self):
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            with self.subTest(number), subprocess.Popen(
                    [MINKE, "run", MODEL, "Tell me a story.", "--max-tokens", "4000",
                     "--temperature", "1"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE) as process:
                begun = process.stdout.read(1)  # it generates, so it catches signals
                self.assertTrue(begun, begun or process.stderr.read())
                process.send_signal(number)
                process.stdout.read()
                self.assertEqual(process.wait(timeout=60), code)

    def test_a_model_is_found_by_name_and_by_path(self):
        by_name, by_path = minke_json("show", MODEL), minke_json("show", model_file())
        self.assertEqual(by_name["path"], by_path["path"])
        self.assertEqual(by_name["architecture"], "llama")
        self.assertEqual(by_name["parameters"], 134515008)
        self.assertEqual(len(by_name["tensors"]), 272)

    def test_tokenize_reads_special_tokens_as_text_and_loses_nothing(self):
        text = "<|im_start|>user\nhi 123 \U0001f433 鲸鱼<|im_end|>\n"
        ids = minke_json("tokenize", MODEL, stdin=text.encode())["ids"]
        self.assertNotIn(1, ids)
        self.assertNotIn(2, ids)
        back = minke("tokenize", MODEL, "--decode", stdin=" ".join(map(str, ids)).encode())
        self.assertEqual(back.stdout.decode(), text)

    def test_tokenize_takes_a_tokenizer_json_or_its_folder(self):
        golden = os.path.join(ROOT, "tests", "golden", "tokenizer_hf")
        with open(os.path.join(golden, "deepseek-v3.ids"), encoding="utf-8") as file:
            expected = [json.loads(line) for line in file]
        with open(os.path.join(golden, "texts.jsonl"), "rb") as file:
            texts = file.read().split(b"\n", 1)[1]
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "tokenizer.json")
            shutil.copyfile(os.path.join(golden, "deepseek-v3.json"), path)
            for name in (path, folder):
                out = minke("tokenize", name, "--lines", stdin=texts).stdout
                self.assertEqual([json.loads(line) for line in out.splitlines()], expected)
        document = minke_json("tokenize", os.path.join(golden, "llama2.json"), "--count",
                              stdin=b"the whale")
        self.assertEqual(document["bytes"], 9)
        self.assertGreater(document["tokens"], 1)

    def test_tokenize_takes_100_mb_of_text(self):
        line = "The whale is a mammal, 鲸鱼, that lives in the sea for 80 years.\n".encode()
        one = minke_json("tokenize", MODEL, "--count", stdin=line)
        number = 100_000_000 // len(line)
        document = minke_json("tokenize", MODEL, "--count", stdin=line * number)
        self.assertEqual(document["bytes"], number * len(line))
        self.assertEqual(document["tokens"], number * one["tokens"])

    def test_quantize_calibrates_on_a_text(self):
        with tempfile.TemporaryDirectory() as folder:
            text = os.path.join(folder, "text.txt")
            with open(text, "w", encoding="utf-8") as file:
                file.write("Whales are mammals that live in the sea. " * 20)
            target, saved = os.path.join(folder, "a.gguf"), os.path.join(folder, "i.gguf")
            done = minke("quantize", MODEL, target, "--type", "Q4_0", "--calibrate", text,
                         "--calibrate-chunks", "1", "--save-importance", saved)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn(b"210 matrices", done.stderr)
            again = os.path.join(folder, "b.gguf")
            minke("quantize", MODEL, again, "--type", "Q4_0", "--imatrix", saved)
            # Sums in the file are f32, which now and then moves a scale.
            compared = minke_json("verify", target, "--against", again, "--tolerance", "0.01")
            self.assertTrue(compared["same"], compared)
            far = minke("verify", target, "--against", MODEL)
            self.assertEqual(far.returncode, 1)
            self.assertIn(b"relative error", far.stdout)
            near = minke("verify", target, "--against", MODEL, "--tolerance", "0.2")
            self.assertEqual(near.returncode, 0, near.stderr)
            other = os.path.join(folder, "c.gguf")
            for flags in (("--calibrate", text, "--imatrix", saved), ("--save-importance", again)):
                self.assertEqual(minke("quantize", MODEL, other, *flags).returncode, 2)

    def test_quantize_reports_error_and_divergence(self):
        with tempfile.TemporaryDirectory() as folder:
            target, text = os.path.join(folder, "q6.gguf"), os.path.join(folder, "text")
            with open(text, "w", encoding="utf-8") as file:
                file.write("A whale is a large animal of the sea. " * 20)
            document = minke_json("quantize", MODEL, target, "--type", "Q6_K", "--text", text,
                                  "--context", "32", "--rule", "*.attn_v.weight=q8_0", "--json")
            self.assertEqual({row["format"] for row in document["formats"]},
                             {"q8_0", "f32", "q6_k"})
            self.assertLess(document["formats"][0]["relative_squared_error"], 1e-3)
            self.assertTrue(0 < document["kl"] < 0.02, document["kl"])
            shown = minke_json("show", target, "--json")
            self.assertEqual(os.path.getsize(target), shown["file_bytes"])

    def test_perplexity_scores_all_but_the_first_token_of_each_window(self):
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write("The whale is a mammal that lives in the sea. " * 40)
            file.flush()
            document = minke_json("eval", "perplexity", "--model", MODEL, "--file", file.name,
                                  "--context", "64")
            with open(file.name, "rb") as text:
                ids = minke_json("tokenize", MODEL, stdin=text.read())["ids"]
        self.assertEqual(document["tokens"], len(ids) // 64 * 63)
        self.assertGreater(document["perplexity"], 1)

    def test_choice_takes_the_likeliest_continuation(self):
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
            for country, city in (("France", "Paris"), ("Japan", "Tokyo"), ("Egypt", "Cairo")):
                file.write(json.dumps({"context": f"The capital of {country} is ",
                                       "choices": ["Paris", "Tokyo", "Cairo", "Lima"],
                                       "answer": ["Paris", "Tokyo", "Cairo"].index(city)}) + "\n")
            file.flush()
            command = ("eval", "choice", "--model", MODEL, "--file", file.name)
            document = minke_json(*command)
            self.assertEqual((document["questions"], document["correct"]), (3, 3))
            self.assertEqual(minke(*command, "--above", "1").returncode, 0)
            file.write('{"context": "a", "choices": ["b"], "answer": 0}\n')
            file.flush()
            refused = minke(*command)
            self.assertEqual(refused.returncode, 2)
            self.assertIn(b".jsonl:4: expected", refused.stderr)

    def test_bench_reports_speed_and_memory(self):
        for what in (["decode", "--tokens", "8"], ["prefill", "--tokens", "64"],
                     ["batch", "--tokens", "4", "--sequences", "3", "--depth", "8"]):
            with self.subTest(what[0]):
                document = minke_json("bench", *what, "--model", MODEL, "--threads", "2")
                self.assertGreater(document["tokens_per_second"], 0)
                self.assertGreater(document["share_of_limit"], 0)
                self.assertGreater(document["peak_rss_bytes"], 1 << 20)
                self.assertTrue(document["runs"])

    def test_bench_needs_no_tokenizer(self):
        folder = os.path.join(ROOT, "tests", "golden", "hf", "deepseek-v2")
        document = minke_json("bench", "decode", "--model", folder, "--tokens", "4")
        self.assertGreater(document["tokens_per_second"], 0)

    def test_logits_do_not_depend_on_the_chunk(self):
        whole = minke_json("logits", MODEL, "--ids", "19556,905 [11]", "--precision", "f32")
        self.assertEqual(whole["architecture"], "llama")
        self.assertEqual(whole["precision"], "f32")
        self.assertEqual([len(row) for row in whole["logits"]], [49152] * 3)
        alone = minke_json("logits", MODEL, "--ids", "19556,905,11", "--precision", "f32",
                           "--chunk", "1", "--last")
        self.assertEqual(alone["logits"], whole["logits"][2:])

    def test_logits_need_no_tokenizer(self):
        folder = os.path.join(ROOT, "tests", "golden", "hf", "qwen2")
        document = minke_json("logits", folder, "--ids", "1,2,3")
        self.assertEqual(document["architecture"], "qwen2")
        self.assertEqual([len(row) for row in document["logits"]], [61] * 3)

    def test_show_experts_runs_a_text(self):
        folder = os.path.join(ROOT, "tests", "golden", "hf", "deepseek-v2")
        document = minke_json("show", folder, "--experts", "--ids", "1,2,3,4,5,1,2")
        self.assertEqual((document["tokens"], document["num_experts_per_tok"]), (7, 2))
        for layer in document["layers"]:
            self.assertEqual(len(layer["tokens"]), document["n_routed_experts"])
            self.assertEqual(sum(layer["tokens"]), 7 * 2)
            self.assertEqual(layer["max"], max(layer["tokens"]))
            self.assertAlmostEqual(layer["max_violation"],
                                   layer["max"] / layer["mean"] - 1, places=6)
        table = minke("show", folder, "--experts", "--ids", "1,2,3,4,5,1,2").stdout.decode()
        self.assertEqual(len(table.splitlines()), 4 + len(document["layers"]))
        dense = minke("show", MODEL, "--experts")
        self.assertEqual(dense.returncode, 2)
        self.assertIn(b"has no experts", dense.stderr)
        self.assertEqual(minke("show", folder, "--ids", "1").returncode, 2)

    def test_list_names_the_model(self):
        names = [row["name"] for row in minke_json("list")["models"]]
        self.assertIn(MODEL, names)


class BadInput(unittest.TestCase):
    def expect(self, code, *arguments, stdin=b""):
        """The command fails with this code, one line on stderr, nothing on stdout."""
        done = minke(*arguments, stdin=stdin)
        message = done.stderr.decode()
        self.assertEqual(done.returncode, code, message)
        self.assertEqual(done.stdout, b"")
        self.assertTrue(message.startswith("minke: "), message)
        return message

    def test_quantize_keeps_what_it_cannot_replace(self):
        with tempfile.NamedTemporaryFile(suffix=".gguf") as file:
            self.expect(2, "quantize", MODEL, file.name)
            self.expect(2, "quantize", MODEL, file.name, "--force", "--type", "Q9")
            self.expect(2, "quantize", MODEL, file.name, "--force", "--rule", "*.nothing=Q8_0")
            self.assertEqual(os.path.getsize(file.name), 0)

    def test_usage_errors_exit_with_2(self):
        self.expect(2, "frobnicate")
        self.expect(2, "run", MODEL, "hello", "--no-such-flag")
        self.expect(2, "run", MODEL, "hello", "--temperature", "hot")
        self.expect(2, "run", MODEL)
        self.expect(2, "serve", "--model", MODEL, "--port", "99999")
        self.expect(2, "run", MODEL, "hello", "--draft", "-1")
        for precision, reason in (("bf16", "needs weights in f32, f16 or bf16"),
                                  ("int4", "{f32,bf16,int8}")):
            message = self.expect(2, "run", MODEL, "hello", "--precision", precision)
            self.assertIn(reason, message)

    def test_ids_that_are_none_exit_with_2(self):
        for ids in ("", "1,x", "49152", "-1"):
            self.expect(2, "logits", MODEL, "--ids", ids)
        self.expect(5, "logits", MODEL, "--ids", "1,2,3", "--ctx", "2")

    def test_what_does_not_exist_exits_with_3(self):
        folder = os.path.join(ROOT, "tests", "golden", "hf", "qwen2")
        self.assertIn("no tokenizer.json", self.expect(3, "run", folder, "--raw", "hello"))
        self.expect(3, "run", "no-such-model", "hello")
        self.expect(3, "show", "/no/such/file.gguf")
        self.expect(3, "eval", "perplexity", "--model", MODEL, "--file", "/no/such/text")

    def test_a_prompt_longer_than_the_context_exits_with_5(self):
        message = self.expect(5, "run", MODEL, "word " * 400, "--ctx", "128")
        self.assertIn("128", message)

    def test_a_port_in_use_exits_with_6(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = str(taken.getsockname()[1])
            message = self.expect(6, "serve", "--model", MODEL, "--port", port)
        self.assertIn(port, message)

    def test_damaged_files_exit_with_7(self):
        with open(model_file(), "rb") as file:
            head = file.read(4 << 20)
        damaged = {
            "truncated in the metadata": head[:1000],
            "truncated in the tensors": head,
            "wrong magic": b"GGML" + head[4:],
            "unknown version": head[:4] + (99).to_bytes(4, "little") + head[8:],
            "a lying tensor count": head[:8] + (1 << 60).to_bytes(8, "little") + head[16:],
            "a lying metadata count": head[:16] + (1 << 60).to_bytes(8, "little") + head[24:],
            "empty": b"",
        }
        for what, content in damaged.items():
            with self.subTest(what), tempfile.NamedTemporaryFile(suffix=".gguf") as file:
                file.write(content)
                file.flush()
                self.expect(7, "run", file.name, "hello")


class Golden(unittest.TestCase):
    """Against transformers' numbers in tests/golden/logits_smollm2.json."""

    @classmethod
    def setUpClass(cls):
        path = os.path.join(ROOT, "tests", "golden", "logits_smollm2.json")
        with open(path, encoding="utf-8") as file:
            cls.golden = json.load(file)

    def compare_greedy(self, precision, gap_max):
        """Equal ids, or parting only where the two best logits are closer than `gap_max`."""
        for entry in self.golden["prompts"]:
            roles = [message["role"] for message in entry["messages"]]
            if roles not in (["user"], ["system", "user"]):
                continue  # minke run asks one question
            system = ["--system", entry["messages"][0]["content"]] if len(roles) == 2 else []
            document = minke_json("run", MODEL, entry["messages"][-1]["content"], *system,
                                  "--temperature", "0", "--max-tokens", "64",
                                  "--precision", precision)
            self.assertEqual(document["prompt_tokens"], len(entry["prompt_ids"]))
            expected = entry["greedy_ids"]
            found = document["token_ids"] + ([2] if document["finish_reason"] == "stop" else [])
            parted = next((i for i, pair in enumerate(zip(expected, found))
                           if pair[0] != pair[1]), None)
            if parted is None:
                self.assertEqual(len(found), len(expected), entry["prompt"])
            else:
                self.assertLess(entry["gaps"][parted], gap_max, (entry["prompt"], parted))

    def test_greedy_ids_in_f32_are_those_of_transformers(self):
        self.compare_greedy("f32", 1e-3)

    def test_greedy_ids_in_int8_part_only_where_the_choice_is_close(self):
        self.compare_greedy("int8", 0.3)

    def test_perplexity_is_that_of_transformers(self):
        golden = self.golden["perplexity"]
        source = os.path.join(ROOT, "..", "shared", "data", "tinyshakespeare", "input.txt")
        if not os.path.exists(source):
            self.skipTest("Tiny Shakespeare is not here")
        with open(source, "rb") as file, tempfile.NamedTemporaryFile(suffix=".txt") as text:
            text.write(file.read(golden["bytes"]))
            text.flush()
            document = minke_json("eval", "perplexity", "--model", MODEL, "--file", text.name,
                                  "--context", str(golden["context"]))
        self.assertEqual(document["tokens"], golden["tokens"])
        self.assertLess(abs(document["perplexity"] / golden["perplexity"] - 1), 0.005)


if __name__ == "__main__":
    unittest.main()
