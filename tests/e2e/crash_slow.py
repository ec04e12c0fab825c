"""The proof that training survives kill -9: 50 of them, at least 20 inside the writing of
checkpoints (run by ./check --all)."""

import unittest

from crash_run import CrashRun
from minke_process import ScratchTest


class ManyCrashes(ScratchTest):
    def test_fifty_kills_change_no_bit(self):
        kills, in_checkpoints, ended, different = CrashRun(self.scratch, seed=2).crash(50, 30)
        print(f"{kills} kills, {in_checkpoints} in checkpoints, {ended} runs")
        self.assertGreaterEqual(kills, 50)
        self.assertGreaterEqual(in_checkpoints, 20)
        self.assertEqual(different, [])


if __name__ == "__main__":
    unittest.main()
