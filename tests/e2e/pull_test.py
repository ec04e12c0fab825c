"""`minke pull` against a hub that behaves, misbehaves, lies and counts (hub_server.py).

Method: the built program is run as a user would run it; what arrived is compared with what the hub
has, and what was asked for with what the protocol and good manners demand.
"""

import fcntl
import hashlib
import json
import os
import resource
import signal
import subprocess
import time
import unittest

from hub_server import COMMIT, git_sha1, noise
from minke_process import MINKE
from pull_process import Place

REPO = "acme/whale-GGUF"
BIG = noise(3_000_000, seed=7)
HUGE = noise(20_000_000, seed=8)  # three requests
QUANTS = {"README.md": b"# Whale\n", "whale-Q4_K_M.gguf": BIG, "whale-Q8_0.gguf": noise(200_000),
          "mmproj-whale-f16.gguf": b"not this", "imatrix.gguf": b"nor this"}
FOLDER = {"config.json": b'{"model_type": "llama"}', "tokenizer.json": b"{}",
          "generation_config.json": b"{}", "README.md": b"no", "pytorch_model.bin": b"pickle",
          "model.safetensors.index.json": json.dumps({"weight_map": {
              "a": "model-00001-of-00002.safetensors",
              "b": "model-00002-of-00002.safetensors"}}).encode(),
          "model-00001-of-00002.safetensors": noise(150_000, 3),
          "model-00002-of-00002.safetensors": noise(120_000, 4),
          "original/consolidated.safetensors": b"no"}


class PullCase(unittest.TestCase):
    def setUp(self):
        self.place = Place().__enter__()
        self.addCleanup(self.place.__exit__)
        self.hub = self.place.hub
        self.hub.add(REPO, dict(QUANTS))
        self.hub.add("acme/huge", {"huge-Q4_0.gguf": HUGE})

    def expect(self, code, *arguments, env=None, says=""):
        """The pull fails with this code; its message, which must hold `says`."""
        status, out, err = self.place.minke("pull", *arguments, env=env)
        self.assertEqual(status, code, err)
        self.assertEqual(out, "")
        message = err.strip().splitlines()[-1]
        self.assertTrue(message.startswith("minke: "), err)
        self.assertIn(says, message)
        return err

    def check_model(self, name, content):
        with open(os.path.join(self.place.store, name, f"{name}.gguf"), "rb") as file:
            self.assertEqual(hashlib.sha256(file.read()).hexdigest(),
                             hashlib.sha256(content).hexdigest())
        self.assertFalse(os.path.exists(os.path.join(self.place.store, f".incoming-{name}")))


class Protocols(PullCase):
    def test_the_usual_quantisation_of_a_hugging_face_repository_arrives(self):
        done = self.place.pull(REPO)
        self.assertEqual((done["name"], done["revision"], done["license"], done["source"]),
                         ("whale-Q4_K_M", COMMIT, "apache-2.0", f"hf.co/{REPO}"))
        self.assertEqual(done["bytes_fetched"], len(BIG))
        self.check_model("whale-Q4_K_M", BIG)
        self.assertEqual(self.place.minke("verify", "whale-Q4_K_M")[0], 0)

    def test_all_forms_of_a_name_mean_the_same_model(self):
        content = QUANTS["whale-Q8_0.gguf"]
        for i, form in enumerate((
                f"{REPO}:q8_0", f"hf.co/{REPO}:Q8_0", f"hf://{REPO}:whale-Q8_0.gguf@main",
                f"huggingface.co/{REPO}:Q8_0@{COMMIT}", f"{REPO}:Q8_0@v1",
                f"{self.hub.url}/{REPO}/resolve/main/whale-Q8_0.gguf",
                f"{self.hub.url}/{REPO}/blob/v1/whale-Q8_0.gguf",
                f"ms://{REPO}:Q8_0", f"modelscope.cn/{REPO}:q8_0@master",
                f"modelscope.cn/models/{REPO}:whale-Q8_0.gguf")):
            with self.subTest(form):
                done = self.place.pull(form, "--name", f"m{i}")
                self.assertEqual(done["sha256"], hashlib.sha256(content).hexdigest())

    def test_a_second_pull_asks_but_fetches_nothing_and_sees_an_update(self):
        self.place.pull(REPO)
        before = len(self.hub.served)
        self.assertTrue(self.place.pull(REPO)["was_there"])
        self.assertEqual(len(self.hub.served), before)
        newer = noise(2_000_000, seed=9)
        self.hub.add(REPO, {**QUANTS, "whale-Q4_K_M.gguf": newer}, commit="b" * 40)
        self.assertFalse(self.place.pull(REPO)["was_there"])
        self.check_model("whale-Q4_K_M", newer)

    def test_all_parts_of_a_split_model_arrive_from_a_sub_folder(self):
        parts = {f"Q8_0/whale-Q8_0-0000{i}-of-00003.gguf": noise(120_000 + i, i)
                 for i in (1, 2, 3)}
        self.hub.add("acme/split", {**parts, "whale-Q4_0.gguf": BIG})
        for which in ("Q8_0", "Q8_0/whale-Q8_0-00002-of-00003.gguf"):
            done = self.place.pull(f"acme/split:{which}")
            self.assertEqual(done["file"], "whale-Q8_0-00001-of-00003.gguf")
            self.assertEqual([file["sha256"] for file in done["files"]],
                             [hashlib.sha256(part).hexdigest() for part in parts.values()])
        self.hub.add("acme/split", {path: parts[path] for path in list(parts)[:2]})
        self.expect(3, "acme/split:Q8_0", "--name", "other", says="2 of its 3 parts")

    def test_a_folder_model_brings_what_it_needs_and_no_pickle(self):
        self.hub.add("acme/whale", FOLDER)
        for source, name in (("acme/whale", "whale"), ("ms://acme/whale", "whale-ms")):
            done = self.place.pull(source, "--name", name)
            there = sorted(os.listdir(os.path.join(self.place.store, name)))
            self.assertEqual(there, ["config.json", "generation_config.json", "manifest.json",
                                     "model-00001-of-00002.safetensors",
                                     "model-00002-of-00002.safetensors",
                                     "model.safetensors.index.json", "tokenizer.json"])
            self.assertEqual(done["path"], os.path.join(self.place.store, name))
            self.assertEqual(self.place.minke("verify", name)[0], 0)
        self.hub.add("acme/half", {path: content for path, content in FOLDER.items()
                                   if path != "model-00002-of-00002.safetensors"})
        self.expect(7, "acme/half", says="model-00002-of-00002.safetensors")
        self.hub.add("acme/pickle", {"config.json": b"{}", "pytorch_model.bin": b"x"})
        self.expect(3, "acme/pickle", says="pickle")

    def test_a_plain_url_arrives_and_a_web_page_does_not(self):
        content = b"GGUF" + noise(1_000_000)
        self.hub.add("plain", {"files/whale.gguf": content, "page.gguf": b"<html>log in</html>"})
        done = self.place.pull(f"{self.hub.url.replace('127.0.0.1', 'localhost')}"
                               "/plain/files/whale.gguf")
        self.assertEqual(done["sha256"], hashlib.sha256(content).hexdigest())
        self.check_model("whale", content)
        self.expect(7, self.hub.url.replace("127.0.0.1", "localhost") + "/plain/page.gguf",
                    says="no GGUF file")

    def test_what_is_missing_is_named_with_what_there_is(self):
        self.expect(3, f"{REPO}:Q3_K_M", says="Q4_K_M (0.00 GB)")
        self.expect(3, f"{REPO}:whale-Q4_K_N.gguf", says="did you mean whale-Q4_K_M.gguf")
        self.expect(3, "acme/nothing", says="404")
        self.expect(3, "ms://acme/nothing", says="404")
        self.expect(3, f"{REPO}@v9", says="revision")
        self.expect(2, f"{REPO}:", says="colon")
        self.expect(2, "acme/../x", says="OWNER/REPO")
        self.hub.add("acme/two", {"a-Q4_K_M.gguf": b"a", "b-Q4_K_M.gguf": b"b"})
        self.expect(2, "acme/two", says="b-Q4_K_M.gguf")

    def test_a_name_that_is_taken_by_another_model_is_kept(self):
        self.place.pull(REPO)
        self.hub.add("other/whale", {"whale-Q4_K_M.gguf": noise(500_000)})
        self.expect(2, "other/whale", says="--name")
        self.place.pull("other/whale", "--name", "other")
        self.check_model("whale-Q4_K_M", BIG)

    def test_a_model_is_found_by_its_source_and_else_the_pull_command_is_told(self):
        code, _, err = self.place.minke("show", f"hf.co/{REPO}:Q4_K_M")
        self.assertEqual(code, 3)
        self.assertIn(f"minke pull hf.co/{REPO}:Q4_K_M", err)
        self.place.pull(REPO)
        code, _, err = self.place.minke("show", f"hf.co/{REPO}:q4_k_m")
        self.assertIn("not a GGUF file", err)  # found; the test's file is noise
        self.assertEqual(code, 7)


class Credentials(PullCase):
    def test_the_token_goes_to_the_hub_and_never_to_the_storage_host(self):
        self.hub.faults.gated = "hf_secret"
        self.place.pull(REPO, env={"HF_TOKEN": "hf_secret\n"})
        hub = self.hub.asked("hub")
        self.assertTrue(hub and all(fields.get("Authorization") == "Bearer hf_secret"
                                    for _, _, fields in hub))
        storage = self.hub.asked("storage")
        self.assertTrue(storage)
        for _, path, fields in storage:
            self.assertNotIn("hf_secret", json.dumps([path, fields]))

    def test_a_token_is_found_in_its_file(self):
        self.hub.faults.gated = "hf_file"
        folder = os.path.join(self.place.home, "hf")
        os.makedirs(folder)
        with open(os.path.join(folder, "token"), "w") as file:
            file.write("hf_file\n")
        self.place.pull(REPO)

    def test_a_refusal_says_what_to_do(self):
        self.hub.faults.gated = "hf_secret"
        self.expect(4, REPO, says="HF_TOKEN")
        self.expect(4, REPO, env={"HF_TOKEN": "wrong"}, says="accept its terms")
        self.expect(4, f"ms://{REPO}", says="MODELSCOPE_API_TOKEN")
        self.expect(2, REPO, env={"HF_TOKEN": "a\nX-Evil: b"}, says="HF_TOKEN")


class Faults(PullCase):
    """Each fault of a server, and what becomes of it."""

    def arrives(self, source=REPO, name="whale-Q4_K_M", content=BIG, arguments=()):
        done = self.place.pull(source, *arguments)
        self.check_model(name, content)
        return done

    def test_cuts_are_gone_on_from_and_no_byte_comes_a_third_time(self):
        for reset in (False, True):
            with self.subTest(reset=reset):
                self.hub.served.clear()
                self.hub.faults.cut_bytes, self.hub.faults.reset = 10_000_000, reset
                self.arrives("acme/huge", "huge-Q4_0", HUGE)
                self.assertLessEqual(self.hub.most_served("huge-Q4_0.gguf"), 2)
                self.place.minke("rm", "--yes", "huge-Q4_0")

    def test_small_cuts_are_gone_on_from_too(self):
        self.hub.faults.cut_bytes = 300_000
        self.arrives()
        self.assertLessEqual(self.hub.most_served("whale-Q4_K_M.gguf"), 2)

    def test_ignored_ranges_are_read_in_one_go(self):
        self.hub.faults.ignore_ranges = True
        self.arrives("acme/huge", "huge-Q4_0", HUGE)
        self.assertLessEqual(self.hub.most_served("huge-Q4_0.gguf"), 1)

    def test_ignored_ranges_and_cuts_give_up_with_a_reason(self):
        self.hub.faults.ignore_ranges, self.hub.faults.cut_bytes = True, 1_000_000
        self.expect(6, REPO, "--retries", "2", says="attempts without progress")
        self.assertEqual(self.place.visible(), [])

    def test_a_stalled_connection_is_replaced(self):
        self.hub.faults.stall_after = 1_000_000
        self.arrives(arguments=("--timeout", "1"))

    def test_busy_servers_are_waited_for(self):
        self.hub.faults.api_statuses = [(503, []), (429, [("Retry-After", "1")])]
        self.hub.faults.statuses = [(429, [("Retry-After", "1")]), (500, []), (503, [])]
        start = time.monotonic()
        self.arrives()
        self.assertGreater(time.monotonic() - start, 2)

    def test_a_server_that_stays_busy_ends_the_pull(self):
        self.hub.faults.api_statuses = [(503, [])] * 9
        self.expect(6, REPO, "--retries", "2", says="503")

    def test_expired_storage_links_are_asked_for_again(self):
        self.hub.faults.link_uses, self.hub.faults.cut_bytes = 2, 500_000
        self.arrives()

    def test_wrong_bytes_are_fetched_once_more(self):
        self.hub.faults.wrong_bytes = 1
        self.arrives()
        self.assertEqual(self.hub.most_served("whale-Q4_K_M.gguf"), 2)

    def test_bytes_that_stay_wrong_are_corrupt_and_both_hashes_are_told(self):
        self.hub.faults.wrong_bytes = 99
        self.expect(7, REPO, says=hashlib.sha256(BIG).hexdigest())
        self.assertEqual(self.place.visible(), [])
        self.assertEqual(self.place.partial_bytes("whale-Q4_K_M"), 0)

    def test_a_small_file_is_checked_by_gits_hash(self):
        self.hub.add("acme/small", {"small-Q8_0.gguf": b"GGUF small"})
        self.arrives("acme/small", "small-Q8_0", b"GGUF small")
        self.hub.faults.wrong_bytes = 99
        self.expect(7, "acme/small", "--name", "again", says=git_sha1(b"GGUF small"))

    def test_answers_that_contradict_the_request_are_refused(self):
        for field, value in (("wrong_range", "bytes 5-9/3000000"), ("wrong_range", "nonsense"),
                             ("compressed", True),
                             ("redirect_loop", True)):
            with self.subTest(field, value=value):
                setattr(self.hub.faults, field, value)
                self.expect(6, REPO, "--retries", "2")
                self.hub.faults.__init__()
        self.arrives()

    def test_an_answer_that_announces_too_much_is_taken_as_far_as_it_goes(self):
        self.hub.faults.wrong_length = 1000
        self.arrives()

    def test_endless_header_fields_are_refused(self):
        self.hub.faults.header_bytes = 2_000_000
        self.expect(6, REPO, "--retries", "1")

    def test_a_plain_url_that_changes_between_two_pulls_is_fetched_afresh(self):
        url = self.hub.url.replace("127.0.0.1", "localhost") + "/plain/whale.gguf"
        self.hub.add("plain", {"whale.gguf": b"GGUF" + noise(2_000_000, 1)})
        self.hub.faults.cut_bytes, self.hub.faults.ignore_ranges = 1_000_000, True
        self.expect(6, url, "--retries", "1")
        self.assertGreater(self.place.partial_bytes("whale"), 900_000)
        self.hub.faults.__init__()
        newer = b"GGUF" + noise(2_000_000, 2)
        self.hub.add("plain", {"whale.gguf": newer})
        self.arrives(url, "whale", newer)

    def test_listings_that_lead_out_of_the_folder_are_refused(self):
        for path in ("../evil.gguf", "a/../../evil.gguf", "/etc/evil.gguf", "a//b.gguf"):
            with self.subTest(path):
                self.hub.add("acme/evil", {path: b"GGUF"})
                self.expect(6, "acme/evil", says="leads elsewhere")
                self.expect(6, "ms://acme/evil", says="leads elsewhere")


class Interruptions(PullCase):
    def test_kills_at_random_moments_lose_next_to_nothing(self):
        self.hub.faults.cut_bytes = 10_000_000
        self.hub.faults.bytes_per_second = 700_000
        killed, done = self.place.pull_with_kills("acme/huge", kills=20, seconds_max=0.5)
        self.assertEqual(killed, 20)
        self.assertEqual(done["sha256"], hashlib.sha256(HUGE).hexdigest())
        self.check_model("huge-Q4_0", HUGE)
        # Two as a rule; where a kill hits just between a request and its note, three. The slow test
        # over 500 MB, where that cannot add up, asks for two.
        self.assertLessEqual(self.hub.most_served("huge-Q4_0.gguf"), 3)

    def test_ctrl_c_leaves_no_model_and_the_next_pull_goes_on(self):
        self.hub.faults.bytes_per_second = 2_000_000
        process = self.place.start("pull", "acme/huge")
        while self.place.partial_bytes("huge-Q4_0") < 1_000_000:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
        self.assertEqual(process.returncode, 130)
        self.assertIn("goes on from here", err)
        self.assertEqual(self.place.visible(), [])
        self.hub.faults.bytes_per_second = 0
        done = self.place.pull("acme/huge")
        self.assertLess(done["bytes_fetched"], len(HUGE) - 500_000)
        self.check_model("huge-Q4_0", HUGE)

    def test_a_full_disk_is_told_and_the_next_pull_goes_on(self):
        def limit():  # the disk's end, without being root
            resource.setrlimit(resource.RLIMIT_FSIZE, (12_000_000, 12_000_000))

        code, _, err = self.place.minke("pull", "acme/huge", preexec_fn=limit)
        self.assertEqual(code, 5, err)
        self.assertIn("ulimit -f", err)
        self.assertEqual(self.place.visible(), [])
        self.place.pull("acme/huge")
        self.check_model("huge-Q4_0", HUGE)
        self.assertLessEqual(self.hub.most_served("huge-Q4_0.gguf"), 2)

    def test_what_cannot_fit_is_not_begun(self):
        class Enormous(bytes):
            def __len__(self):
                return 1 << 60

        enormous = Enormous()
        self.hub.hashes[id(enormous)] = ("a" * 64, enormous)
        self.hub.add("acme/enormous", {"enormous-Q8_0.gguf": enormous})
        self.expect(5, "acme/enormous", says="free")
        self.assertEqual(self.hub.served, [])

    def test_a_second_pull_of_the_same_model_says_so(self):
        self.hub.faults.bytes_per_second = 2_000_000
        first = self.place.start("pull", "acme/huge")
        while self.place.partial_bytes("huge-Q4_0") < 100_000:
            time.sleep(0.02)
        self.expect(1, "acme/huge", says="another minke process")
        self.hub.faults.bytes_per_second = 0
        first.communicate(timeout=60)
        self.assertEqual(first.returncode, 0)
        self.check_model("huge-Q4_0", HUGE)

    def test_rm_drops_what_a_stopped_pull_left(self):
        self.hub.faults.cut_bytes, self.hub.faults.ignore_ranges = 1_000_000, True
        self.expect(6, REPO, "--retries", "1")
        self.assertGreater(self.place.partial_bytes("whale-Q4_K_M"), 0)
        code, _, err = self.place.minke("rm", "--yes", "whale-Q4_K_M")
        self.assertEqual(code, 0, err)
        self.assertEqual(self.place.partial_bytes("whale-Q4_K_M"), 0)

    def test_progress_is_plain_lines_where_there_is_no_terminal(self):
        code, out, err = self.place.minke("pull", "acme/huge")
        self.assertEqual((code, out), (0, ""))
        self.assertNotIn("\r", err)
        self.assertIn("1 file, 20.0 MB", err)
        code, out, err = self.place.minke("pull", REPO, "--quiet")
        self.assertEqual((code, out, err), (0, "", ""))

    def test_progress_fits_the_terminal(self):
        self.hub.faults.bytes_per_second = 10_000_000
        main, side = os.openpty()
        columns = 60
        fcntl.ioctl(side, 0x5414, b"\x18\0" + bytes([columns, 0]) + b"\0\0\0\0")  # TIOCSWINSZ
        process = subprocess.Popen([MINKE, "pull", "acme/huge"], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=side,
                                   env=self.place.environment())
        os.close(side)
        text = b""
        try:
            while chunk := os.read(main, 4096):
                text += chunk
        except OSError:
            pass  # the other end is closed
        self.assertEqual(process.wait(), 0)
        os.close(main)
        drawn = [line for line in text.decode().split("\r") if "%" in line]
        self.assertTrue(drawn)
        for line in drawn:
            self.assertLess(len(line.replace("\x1b[K", "")), columns, line)
            self.assertIn("MB/s", line.replace("kB", "MB").replace(" B/s", " MB/s"))


class Caches(PullCase):
    """An existing Hugging Face cache, and no network."""

    def fill_cache(self, files, repo=REPO):
        root = os.path.join(self.place.home, "hf", "hub", "models--" + repo.replace("/", "--"))
        for path, content in files.items():
            blob = (hashlib.sha256(content).hexdigest() if len(content) >= 100_000
                    else git_sha1(content))
            link = os.path.join(root, "snapshots", COMMIT, path)
            for folder in (os.path.dirname(link), os.path.join(root, "blobs"),
                           os.path.join(root, "refs")):
                os.makedirs(folder, exist_ok=True)
            with open(os.path.join(root, "blobs", blob), "wb") as file:
                file.write(content)
            os.symlink(os.path.relpath(os.path.join(root, "blobs", blob),
                                       os.path.dirname(link)), link)
        with open(os.path.join(root, "refs", "main"), "w") as file:
            file.write(COMMIT)
        return root

    def test_a_cached_file_is_shared_and_not_fetched(self):
        root = self.fill_cache({"whale-Q4_K_M.gguf": BIG})
        done = self.place.pull(REPO)
        self.assertEqual(done["bytes_fetched"], 0)
        self.check_model("whale-Q4_K_M", BIG)
        self.place.minke("rm", "--yes", "whale-Q4_K_M")
        blob = os.path.join(root, "blobs", hashlib.sha256(BIG).hexdigest())
        with open(blob, "rb") as file:
            self.assertEqual(file.read(), BIG)

    def test_a_damaged_cached_file_is_left_alone_and_fetched(self):
        root = self.fill_cache({"whale-Q4_K_M.gguf": BIG})
        blob = os.path.join(root, "blobs", hashlib.sha256(BIG).hexdigest())
        with open(blob, "r+b") as file:
            file.write(b"damage")
        self.assertEqual(self.place.pull(REPO)["bytes_fetched"], len(BIG))
        self.check_model("whale-Q4_K_M", BIG)
        with open(blob, "rb") as file:
            self.assertEqual(file.read(6), b"damage")

    def test_offline_takes_from_the_cache_and_the_store_and_asks_nobody(self):
        self.fill_cache({"whale-Q4_K_M.gguf": BIG, "README.md": b"x"})
        offline = {"HF_HUB_OFFLINE": "1"}
        self.assertFalse(self.place.pull(f"{REPO}:Q4_K_M", env=offline)["was_there"])
        self.check_model("whale-Q4_K_M", BIG)
        self.assertTrue(self.place.pull(REPO, "--offline")["was_there"])
        self.assertTrue(self.place.pull(f"{REPO}:q4_k_m", env={"MINKE_OFFLINE": "1"})["was_there"])
        self.expect(3, f"{REPO}:Q8_0", env=offline, says="Q8_0")
        self.expect(3, "acme/huge", "--offline", says="--offline")
        self.expect(3, "smollm2-135m", env={"MINKE_OFFLINE": "1"}, says="MINKE_OFFLINE")
        self.expect(3, f"ms://{REPO}:Q8_0", "--offline", says="offline")
        self.assertEqual(self.hub.requests, [])


if __name__ == "__main__":
    unittest.main()
