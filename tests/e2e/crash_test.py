"""Training survives kill -9, a full disk and Ctrl-C; the long form is crash_slow.py."""

import json
import os
import signal
import time
import unittest

from crash_run import STEPS, CrashRun
from minke_process import ScratchTest


class Crash(ScratchTest):
    def setUp(self):
        super().setUp()
        self.crash = CrashRun(self.scratch, seed=1)

    def checkpoints(self, run):
        return sorted(os.listdir(os.path.join(self.path(run), "checkpoints")))

    def test_kills_change_no_bit(self):
        kills, in_checkpoints, ended, different = self.crash.crash(6, 3)
        self.assertGreaterEqual(kills, 6)
        self.assertGreaterEqual(in_checkpoints, 3)
        self.assertGreaterEqual(ended, 1)
        self.assertEqual(different, [])

    def test_a_full_disk_leaves_the_last_checkpoint_and_stops_with_5(self):
        _, calls = self.crash.undisturbed()
        for at in (calls // 3, calls // 2, calls * 9 // 10):
            run = f"full-{at}"
            code, told = self.crash.finish(self.crash.start(run, fault=f"full:{at}"))
            self.assertEqual(code, 5, told)
            self.assertIn(f"--resume {self.path(run)}", told)
            self.assertTrue(all(len(name) == len("step-000002") for name in self.checkpoints(run)),
                            self.checkpoints(run))
            code, told = self.crash.finish(self.crash.start(run))
            self.assertEqual(code, 0, told)
            self.assertEqual(self.crash.outcome(run), self.crash.outcome("whole"))

    def test_an_interrupt_saves_and_says_how_to_go_on(self):
        self.crash.undisturbed()
        process = self.crash.start("stopped")
        metrics = os.path.join(self.path("stopped"), "metrics.jsonl")
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if os.path.exists(metrics) and os.path.getsize(metrics) > 0:
                break
            time.sleep(0.002)
        process.send_signal(signal.SIGINT)
        code, told = self.crash.finish(process)
        self.assertEqual(code, 130, told)
        self.assertIn(f"minke pretrain --resume {self.path('stopped')}", told)
        with open(os.path.join(self.path("stopped"), "status.json"), encoding="utf-8") as file:
            status = json.load(file)
        self.assertEqual(status["state"], "interrupted")
        self.assertLess(status["step"], STEPS)
        self.assertIn(f"step-{status['step']:06}", self.checkpoints("stopped"))
        self.assertEqual(self.crash.finish(self.crash.start("stopped"))[0], 0)
        self.assertEqual(self.crash.outcome("stopped"), self.crash.outcome("whole"))


if __name__ == "__main__":
    unittest.main()
