"""./quickstart: its messages, its exit codes, and that a second run does nothing anew.

tests/bare/run proves the rest: that it works on a machine with nothing but git.
"""

import os
import signal
import subprocess
import time
import unittest
import urllib.request

from minke_process import ROOT, free_port

QUICKSTART = os.path.join(ROOT, "quickstart")


def quickstart(*arguments):
    return subprocess.run([QUICKSTART, *arguments], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=600)


class Quickstart(unittest.TestCase):
    def test_wrong_arguments_exit_with_2_and_say_what_is_right(self):
        for arguments in (["--frobnicate"], ["--port"], ["--port", "70000"], ["--port=x"],
                          ["more"]):
            done = quickstart(*arguments)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertIn("usage:", done.stderr)
            self.assertEqual(done.stdout, "")

    def test_help_goes_to_standard_output(self):
        done = quickstart("--help")
        self.assertEqual(done.returncode, 0)
        self.assertIn("--once", done.stdout)

    def test_once_answers_and_a_second_run_answers_alike(self):
        first = quickstart("--once")
        self.assertEqual(first.returncode, 0, first.stderr)
        self.assertIn("scatter", first.stdout.lower())
        self.assertIn("tokens/s", first.stdout + first.stderr)
        self.assertNotIn("\x1b", first.stdout + first.stderr)
        self.assertEqual(quickstart("--once").stdout, first.stdout)

    def test_it_serves_until_it_is_interrupted(self):
        port = free_port()
        process = subprocess.Popen([QUICKSTART, "--port", str(port)], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   start_new_session=True)
        try:
            deadline = time.monotonic() + 60
            while True:
                try:
                    url = f"http://127.0.0.1:{port}/health"
                    self.assertEqual(urllib.request.urlopen(url, timeout=2).status, 200)
                    break
                except OSError:
                    self.assertLess(time.monotonic(), deadline, "it does not answer")
                    self.assertIsNone(process.poll(), "it ended")
                    time.sleep(0.1)
            process.send_signal(signal.SIGINT)
            self.assertIn(process.wait(timeout=30), (0, 130))
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


if __name__ == "__main__":
    unittest.main()
