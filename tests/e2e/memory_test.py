"""A model larger than memory: its weights go to a packed file, the answer stays the same.

Needs the default model. The part with a cgroup's limit is skipped where cgroups cannot be written.
"""

import json
import os
import signal
import subprocess
import tempfile
import time
import unittest

from minke_process import MINKE, ROOT, minke, model_file

IDS = "1,504,253,3581,282,260"
LIMIT = os.path.join(ROOT, "tests", "e2e", "memory_limit")
SKIPPED = 77  # LIMIT's exit code where cgroups cannot be written


def logits(*arguments, env):
    done = minke("logits", model_file(), "--ids", IDS, "--json", *arguments, env=env)
    if done.returncode != 0:
        raise AssertionError(done.stderr.decode())
    return json.loads(done.stdout)["logits"], done.stderr.decode()


class WeightsOnDisk(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.env = {"XDG_CACHE_HOME": self.folder.name}
        self.packed = os.path.join(self.folder.name, "minke", "packed")

    def cache(self, *arguments):
        return minke("cache", *arguments, env=self.env)

    def test_the_answer_is_the_same_and_the_file_is_made_once(self):
        in_memory, notes = logits(env=self.env)
        self.assertEqual(notes, "")
        self.assertFalse(os.path.exists(self.packed))
        for made_before, words in ((False, "packed once"), (True, "read as needed")):
            for threads in ("1", "2"):
                on_disk, notes = logits("--weights", "disk", "--threads", threads, env=self.env)
                self.assertEqual(on_disk, in_memory)
                self.assertIn("read as needed" if threads == "2" else words, notes)
        self.assertEqual(len(os.listdir(self.packed)), 1)

    def test_a_damaged_file_is_made_anew(self):
        good, _ = logits("--weights", "disk", env=self.env)
        path = os.path.join(self.packed, os.listdir(self.packed)[0])
        os.truncate(path, os.path.getsize(path) // 2)
        self.assertEqual(json.loads(self.cache("list", "--json").stdout)["files"][0]["state"],
                         "damaged")
        again, _ = logits("--weights", "disk", env=self.env)
        self.assertEqual(again, good)

    def test_cache_lists_and_deletes(self):
        source = os.path.join(self.folder.name, "copy.gguf")
        with open(model_file(), "rb") as read, open(source, "wb") as write:
            write.write(read.read())
        done = minke("logits", source, "--ids", "1,2", "--weights", "disk", env=self.env)
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(os.path.join(self.packed, "x.panels.part"), "w") as left:
            left.write("what a killed process left")

        def states():
            listed = json.loads(self.cache("list", "--json").stdout)
            return [file["state"] for file in listed["files"]]

        self.assertEqual(states(), ["current", "unfinished"])
        self.assertIn(b"copy", self.cache("list").stdout)
        self.assertEqual(self.cache("prune").returncode, 2, "nobody can be asked")
        self.assertEqual(self.cache("prune", "--yes").returncode, 0)
        self.assertEqual(states(), ["current"])
        os.utime(source)
        self.assertEqual(states(), ["changed"])
        os.remove(source)
        self.assertEqual(states(), ["gone"])
        self.assertEqual(self.cache("clear", "--yes").returncode, 0)
        self.assertEqual(os.listdir(self.packed), [])

    def test_an_interrupt_while_packing_leaves_nothing(self):
        process = subprocess.Popen(
            [MINKE, "logits", model_file(), "--ids", "1,2", "--weights", "disk"],
            env={**os.environ, **self.env}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 30
        while process.poll() is None and time.monotonic() < deadline:
            if os.path.isdir(self.packed) and os.listdir(self.packed):
                break
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
        left = os.listdir(self.packed)
        self.assertFalse([name for name in left if name.endswith(".part")])
        if process.returncode == 130:  # else it was faster than the signal
            self.assertEqual(left, [])
        else:
            self.assertEqual(process.returncode, 0, errors)

    def run_limited(self, limit, *arguments):
        done = subprocess.run([LIMIT, limit, MINKE, *arguments], capture_output=True, timeout=300,
                              env={**os.environ, **self.env}, stdin=subprocess.DEVNULL)
        if done.returncode == SKIPPED:
            self.skipTest(done.stderr.decode())
        return done

    def test_a_model_larger_than_its_cgroup_gives_the_same_tokens(self):
        question = ("run", model_file(), "What is a whale?", "--temperature", "0", "--max-tokens",
                    "8", "--ctx", "256", "--json", "--weights")
        # 96 MB of weights in 190 MB, of which 64 are kept free and 45 are the context and the rest.
        limited = self.run_limited("190M", *question, "auto")
        self.assertEqual(limited.returncode, 0, limited.stderr)
        self.assertIn(b"which is slow", limited.stderr)
        free = minke(*question, "memory")
        self.assertEqual(json.loads(limited.stdout)["token_ids"],
                         json.loads(free.stdout)["token_ids"])

        refused = self.run_limited("190M", *question, "memory")
        self.assertEqual(refused.returncode, 5)
        self.assertIn(b"96.4 MB of weights", refused.stderr)
        self.assertIn(b"cgroup", refused.stderr)
        hopeless = self.run_limited("90M", *question, "auto")
        self.assertEqual(hopeless.returncode, 5)
        self.assertIn(b"even with weights on disk", hopeless.stderr)


if __name__ == "__main__":
    unittest.main()
