"""Number formats end to end (./check --all): the default model re-quantised by llama.cpp's
llama-quantize to each format, and the perplexity that minke finds for it.

Rows of 576 cannot hold the formats of 256 elements a block: there ffn_down (1536 wide) has the
format and the rest is q8_0. The text is this tree's documents.

    formats_peer.py --table TEXT_FILE    # prints the table of docs/log.md, no assertions
"""

import glob
import os
import subprocess
import sys
import tempfile
import unittest

from minke_process import ROOT, minke_json, model_file

sys.path.insert(0, os.path.join(ROOT, "bench", "peers"))
import llama_cpp  # noqa: E402

WHOLE = ["q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "iq4_nl"]
WIDE = ["q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_xs"]
TEXT_BYTES = 20000
RATIO_MAX = 1.005


def quantize_program():
    """--peer-build of bench/peers, as an environment variable, or its own build."""
    return os.path.join(os.environ.get("MINKE_PEER_BUILD") or llama_cpp.build(), "llama-quantize")


class Formats:
    """Makes files of the model in a format, and measures them."""

    def __init__(self, text):
        self.folder = tempfile.TemporaryDirectory()
        self.text = self.path("text")
        with open(self.text, "wb") as file:
            file.write(text[:TEXT_BYTES])

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def quantize(self, source, name, kind, *flags):
        made = self.path(name + ".gguf")
        subprocess.run([quantize_program(), "--allow-requantize", *flags, source, made, kind],
                       check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        return made

    def file_of(self, kind):
        if kind in WHOLE:
            return self.quantize(model_file(), kind, kind.upper(), "--pure")
        return self.quantize(model_file(), kind, "Q8_0", "--tensor-type", f"ffn_down={kind}")

    def perplexity(self, path, precision):
        return minke_json("eval", "perplexity", "--model", path, "--file", self.text,
                          "--precision", precision)["perplexity"]

    def measure(self, kind):
        """(f32, int8) perplexity of the format; the file is removed again."""
        path = self.file_of(kind)
        formats = {tensor["dtype"] for tensor in minke_json("show", path)["tensors"]}
        assert kind in formats, f"{path} has {formats}"
        both = self.perplexity(path, "f32"), self.perplexity(path, "int8")
        os.remove(path)
        return both


def documents():
    text = b""
    for path in sorted(glob.glob(os.path.join(ROOT, "**", "*.md"), recursive=True)):
        if os.sep + "." not in path[len(ROOT):] and not path.endswith(".zh.md"):
            with open(path, "rb") as file:
                text += file.read()
    return text


class FormatsEndToEnd(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.formats = Formats(documents())

    @classmethod
    def tearDownClass(cls):
        cls.formats.folder.cleanup()

    def test_integer_arithmetic_keeps_the_perplexity_of_every_format(self):
        for kind in WHOLE + WIDE:
            with self.subTest(kind):
                f32, int8 = self.formats.measure(kind)
                self.assertLess(int8 / f32, RATIO_MAX)
                self.assertGreater(int8 / f32, 1 / RATIO_MAX)

    def test_f32_arithmetic_means_the_weights_that_llama_cpp_decodes(self):
        # Every format in some layers' ffn_down; the same file with f32 weights by llama.cpp.
        kinds = WIDE + WHOLE
        flags = []
        for layer in range(30):
            flags += ["--tensor-type", rf"blk\.{layer}\.ffn_down={kinds[layer % len(kinds)]}"]
        mixed = self.formats.quantize(model_file(), "mixed", "Q8_0", *flags)
        present = {tensor["dtype"] for tensor in minke_json("show", mixed)["tensors"]}
        self.assertLessEqual(set(kinds), present)
        plain = self.formats.quantize(mixed, "plain", "F32")
        one, other = (self.formats.perplexity(path, "f32") for path in (mixed, plain))
        self.assertAlmostEqual(one / other, 1.0, delta=1e-6)


def print_table(text_path):
    with open(text_path, "rb") as file:
        formats = Formats(file.read())
    print("| format | f32 | int8 | ratio |\n|---|---|---|---|")
    for kind in WHOLE + WIDE:
        f32, int8 = formats.measure(kind)
        print(f"| {kind} | {f32:.4f} | {int8:.4f} | {int8 / f32:.5f} |", flush=True)
    formats.folder.cleanup()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--table"]:
        print_table(sys.argv[2])
    else:
        unittest.main()
