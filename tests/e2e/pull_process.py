"""What the tests of `minke pull` share: a home of its own and a local hub; kills at random."""

import json
import os
import random
import signal
import subprocess
import tempfile
import time

from hub_server import Hub
from minke_process import MINKE

# The test machine may have proxies and tokens of its own.
CLEARED = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_HUB_OFFLINE", "HF_HUB_CACHE",
           "MINKE_OFFLINE", "MODELSCOPE_API_TOKEN", "http_proxy", "HTTP_PROXY", "ALL_PROXY",
           "all_proxy")


class Place:
    """`with Place() as place:` has a hub and an empty store until the block ends."""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.home = self.folder.name
        self.hub = Hub().__enter__()
        return self

    def __exit__(self, *_):
        self.hub.__exit__()
        self.folder.cleanup()

    def environment(self, **extra):
        base = {name: value for name, value in os.environ.items() if name not in CLEARED}
        return {**base, "MINKE_HOME": os.path.join(self.home, "minke"),
                "HF_HOME": os.path.join(self.home, "hf"), "HF_ENDPOINT": self.hub.url,
                "MODELSCOPE_ENDPOINT": self.hub.url, **extra}

    def start(self, *arguments, env=None, **options):
        return subprocess.Popen([MINKE, *arguments], stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                env=self.environment(**(env or {})), **options)

    def minke(self, *arguments, env=None, **options):
        """(exit code, stdout, stderr)"""
        process = self.start(*arguments, env=env, **options)
        out, err = process.communicate(timeout=600)
        return process.returncode, out, err

    def pull(self, *arguments, env=None):
        """The document of a pull that must succeed."""
        code, out, err = self.minke("pull", *arguments, "--json", env=env)
        if code != 0:
            raise AssertionError(f"exit code {code}: {err}")
        return json.loads(out)

    @property
    def store(self):
        return os.path.join(self.home, "minke", "data", "models")

    def visible(self):
        """Names in the store that are models, or look like it."""
        names = os.listdir(self.store) if os.path.isdir(self.store) else []
        return sorted(name for name in names if not name.startswith("."))

    def partial_bytes(self, name):
        folder = os.path.join(self.store, f".incoming-{name}")
        if not os.path.isdir(folder):
            return 0
        # Blocks, not the size: parallel ranges leave holes.
        return sum(os.stat(os.path.join(folder, file)).st_blocks * 512
                   for file in os.listdir(folder) if file.endswith(".partial"))

    def pull_with_kills(self, source, kills, seconds_max, seed=1):
        """Pulls while it is killed with SIGKILL at random moments, from a slow server that becomes
        fast after the last kill; returns how often it was killed, and the document."""
        chance, killed = random.Random(seed), 0
        while True:
            process = self.start("pull", source, "--json")
            if killed < kills:
                time.sleep(chance.uniform(0, seconds_max))
                if process.poll() is None:
                    process.send_signal(signal.SIGKILL)
                    killed += 1
                    process.communicate()
                    continue
            self.hub.faults.bytes_per_second = 0
            out, err = process.communicate(timeout=600)
            if process.returncode != 0:
                raise AssertionError(f"exit code {process.returncode}: {err}")
            return killed, json.loads(out)
