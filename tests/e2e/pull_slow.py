"""The proof of `minke pull`: 500 MB through a server that cuts every 10 MB, and the same while the
program is killed twenty times at random moments (run by ./check --all).

Method: the server counts every byte that it hands to the network, whether or not it arrives.
"""

import hashlib
import os
import unittest

from hub_server import noise
from pull_process import Place

SIZE = 500_000_000
CUT_BYTES = 10_000_000


class Flaky(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        block = 50_000_000
        cls.content = b"".join(noise(block, seed) for seed in range(SIZE // block))
        cls.sha256 = hashlib.sha256(cls.content).hexdigest()

    def setUp(self):
        self.place = Place().__enter__()
        self.addCleanup(self.place.__exit__)
        self.place.hub.add("acme/huge", {"huge-Q4_0.gguf": self.content})
        self.place.hub.faults.cut_bytes = CUT_BYTES

    def check_arrived(self, done, what):
        hub, path = self.place.hub, "huge-Q4_0.gguf"
        served, most = hub.bytes_served(path), hub.most_served(path)
        print(f"{what}: {served - SIZE} of {SIZE} bytes served again, none more than {most} times, "
              f"{done['seconds']:.1f} s", flush=True)
        self.assertEqual(done["sha256"], self.sha256)
        with open(os.path.join(self.place.store, "huge-Q4_0", path), "rb") as file:
            self.assertEqual(hashlib.sha256(file.read()).hexdigest(), self.sha256)
        self.assertLessEqual(most, 2)

    def test_500_mb_arrive_through_a_server_that_cuts_every_10_mb(self):
        for reset in (False, True):
            with self.subTest(reset=reset):
                self.place.hub.served.clear()
                self.place.hub.faults.reset = reset
                self.check_arrived(self.place.pull("acme/huge"), "resets" if reset else "cuts")
                self.place.minke("rm", "--yes", "huge-Q4_0")

    def test_500_mb_arrive_although_the_program_is_killed_twenty_times(self):
        self.place.hub.faults.bytes_per_second = 20_000_000
        killed, done = self.place.pull_with_kills("acme/huge", kills=20, seconds_max=0.6)
        self.assertEqual(killed, 20)
        self.check_arrived(done, "20 kills")


if __name__ == "__main__":
    unittest.main()
