"""Runs the commands that the READMEs show.

Every ```sh block directly after a line `<!-- test -->` is run by bash in the repository, with port
6465 replaced by that of a server started here. A block must succeed and print something.
"""

import os
import re
import subprocess
import unittest

from minke_process import ROOT, Server

BLOCK = re.compile(r"^<!-- test -->\n```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCK_SECONDS_MAX = 600


def blocks(name):
    with open(os.path.join(ROOT, name), encoding="utf-8") as file:
        return BLOCK.findall(file.read())


class Readme(unittest.TestCase):
    def run_blocks(self, name):
        found = blocks(name)
        self.assertTrue(found, f"{name} has no tested block")
        with Server() as server:
            for block in found:
                script = block.replace("6465", str(server.port))
                with self.subTest(block):
                    done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=ROOT,
                                          stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                          timeout=BLOCK_SECONDS_MAX)
                    self.assertEqual(done.returncode, 0, done.stderr)
                    self.assertTrue(done.stdout.strip(), "nothing was printed")

    def test_the_commands_of_the_readme_work(self):
        self.run_blocks("README.md")

    def test_both_languages_show_the_same_commands(self):
        def commands(name):  # without the prompts' texts, which are translated
            return [re.sub(r'"[^"]*"', '""', block) for block in blocks(name)]

        self.assertEqual(commands("README.zh.md"), commands("README.md"))


if __name__ == "__main__":
    unittest.main()
