"""What the end-to-end tests share: running the program, and a server for the time of a test."""

import json
import os
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MINKE = os.environ.get("MINKE_BINARY") or os.path.join(ROOT, "build", "release", "minke")
MODEL = "smollm2-135m"
START_SECONDS_MAX = 30
COMMAND_SECONDS_MAX = 300


def minke(*arguments, stdin=b"", env=None):
    """Runs minke; returns the CompletedProcess with bytes in stdout and stderr."""
    return subprocess.run([MINKE, *arguments], input=stdin, capture_output=True,
                          timeout=COMMAND_SECONDS_MAX, env={**os.environ, **(env or {})})


def minke_json(*arguments, stdin=b""):
    """The document that a command with --json prints; the command must succeed."""
    done = minke(*arguments, "--json", stdin=stdin)
    if done.returncode != 0:
        raise AssertionError(f"exit code {done.returncode}: {done.stderr.decode()}")
    return json.loads(done.stdout)


def model_file():
    return minke_json("show", MODEL)["path"]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers_in_time(process, url, seconds):
    """Waits until a server's /health answers; False, and it is killed, if it does not."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(url + "/health", timeout=2).read()
            return True
        except OSError:
            time.sleep(0.05)
    process.kill()
    return False


class ScratchTest(unittest.TestCase):
    """Each test has a folder of its own in which it may write."""

    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.scratch = scratch.name

    def path(self, name):
        return os.path.join(self.scratch, name)


class Server:
    """`with Server() as server:` runs `minke serve` at server.url until the block ends."""

    def __init__(self, *arguments):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.arguments = arguments

    def __enter__(self):
        self.process = subprocess.Popen(
            [MINKE, "serve", "--model", MODEL, "--port", str(self.port), *self.arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if not answers_in_time(self.process, self.url, START_SECONDS_MAX):
            raise AssertionError("the server did not start: "
                                 + self.process.stderr.read().decode())
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stderr.close()

    def request(self, path, body=None):
        """(status, decoded JSON or text) of a GET, or of a POST when there is a body."""
        data = None if body is None else (
            body if isinstance(body, bytes) else json.dumps(body).encode())
        request = urllib.request.Request(self.url + path, data=data,
                                         headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=COMMAND_SECONDS_MAX) as answer:
                status, text = answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read().decode()
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text

    def events(self, path, body):
        """The data of each server-sent event, in order, "[DONE]" included."""
        request = urllib.request.Request(self.url + path, data=json.dumps(body).encode(),
                                         headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=COMMAND_SECONDS_MAX) as answer:
            lines = answer.read().decode().splitlines()
        return [line[len("data: "):] for line in lines if line.startswith("data: ")]
