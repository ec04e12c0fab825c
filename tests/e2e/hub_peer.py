"""Whether the local hub of the tests is one: Hugging Face's own client downloads from it, and what
that client left in its cache is what `minke pull` then takes, offline and without a copy.
"""

import os
import subprocess
import sys
import unittest

from hub_server import COMMIT, noise
from pull_process import Place

CLIENT = """
import sys, huggingface_hub
print(huggingface_hub.snapshot_download(sys.argv[1], allow_patterns=["*Q4_K_M*", "*.md"]))
"""


class HuggingFaceClient(unittest.TestCase):
    def test_its_download_works_here_and_its_cache_is_taken(self):
        content = noise(3_000_000)
        with Place() as place:
            place.hub.add("acme/whale-GGUF", {"README.md": b"# hi", "w-Q4_K_M.gguf": content,
                                              "w-Q8_0.gguf": noise(200_000, 2)})
            done = subprocess.run([sys.executable, "-c", CLIENT, "acme/whale-GGUF"],
                                  env=place.environment(), capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            snapshot = done.stdout.strip()
            self.assertTrue(snapshot.endswith(COMMIT), snapshot)
            with open(os.path.join(snapshot, "w-Q4_K_M.gguf"), "rb") as file:
                self.assertEqual(file.read(), content)
            before = len(place.hub.requests)
            pulled = place.pull("acme/whale-GGUF:q4_k_m", "--offline")
            self.assertEqual(pulled["bytes_fetched"], 0)
            with open(pulled["path"], "rb") as file:
                self.assertEqual(file.read(), content)
            self.assertEqual(len(place.hub.requests), before)


if __name__ == "__main__":
    unittest.main()
