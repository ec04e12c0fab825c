"""`minke runs`: what it tells of folders that training wrote.

Method: folders in the documented layout are written here, so that the commands are tested without
training; the report is taken apart by Python's HTML parser.
"""

import html.parser
import json
import os
import tempfile
import unittest

from minke_process import minke, minke_json


def write_run(folder, lr, started, num_steps=30):
    os.makedirs(os.path.join(folder, "checkpoints", "step-20"))

    def write(name, text):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(text)

    write("config.json", json.dumps({"stage": "pretrain", "config": {"lr": lr, "seed": 1}}))
    write("environment.json", json.dumps({"sessions": [{"started": started, "threads": 2}]}))
    write("status.json", json.dumps({"state": "finished", "step": num_steps, "time": started + 9}))
    lines = [{"step": step, "loss": 2 / step + lr, "seconds": step / 10}
             for step in range(1, num_steps + 1)]
    lines.append({"step": num_steps, "val_loss": 3.5})
    write("metrics.jsonl", "".join(json.dumps(line) + "\n" for line in lines) + '{"step": 31, "l')


class Figures(html.parser.HTMLParser):
    """Counts elements; fails on an end tag that closes another one than is open."""

    def __init__(self):
        super().__init__()
        self.open, self.count = [], {}

    def handle_starttag(self, tag, attrs):
        self.count[tag] = self.count.get(tag, 0) + 1
        self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.count[tag] = self.count.get(tag, 0) + 1

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, (tag, self.open)
        self.open.pop()


class Runs(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.runs = scratch.name
        write_run(os.path.join(self.runs, "first"), 0.5, 1000.0)
        write_run(os.path.join(self.runs, "second"), 0.25, 2000.0)
        os.mkdir(os.path.join(self.runs, "no-run"))

    def run_json(self, *arguments):
        return minke_json("runs", *arguments, "--runs", self.runs)

    def test_list_has_the_newest_first(self):
        rows = self.run_json("list")["runs"]
        self.assertEqual([row["name"] for row in rows], ["second", "first"])
        self.assertEqual(rows[0]["step"], 30)
        self.assertEqual(rows[0]["last"]["val_loss"], 3.5)
        self.assertIn(b"second", minke("runs", "list", "--runs", self.runs).stdout)

    def test_show_takes_the_newest_run_or_one_by_name_or_folder(self):
        self.assertEqual(self.run_json("show")["name"], "second")
        self.assertEqual(self.run_json("show", "first")["config"]["lr"], 0.5)
        run = self.run_json("show", os.path.join(self.runs, "first"))
        self.assertEqual(run["checkpoints"], ["step-20"])
        self.assertEqual(run["metrics"]["loss"]["best_step"], 30)
        self.assertEqual(run["metrics"]["loss"]["count"], 30)
        self.assertAlmostEqual(run["seconds"], 3.0)

    def test_compare_tells_what_differs(self):
        document = self.run_json("compare", "first", "second")
        self.assertEqual(document["settings"], {"lr": ["0.5", "0.25"]})
        difference = document["largest_differences"]["loss"][0]
        self.assertEqual(difference["step"], 30)
        self.assertAlmostEqual(difference["relative"], 0.25 / (2 / 30 + 0.5))
        self.assertEqual(minke("runs", "compare", "first", "--runs", self.runs).returncode, 2)

    def test_report_is_a_page_of_its_own(self):
        path = os.path.join(self.runs, "report.html")
        for names, num_figures in ((["first"], 1), (["first", "second"], 1)):
            self.assertEqual(self.run_json("report", *names, "-o", path)["report"], path)
            with open(path, encoding="utf-8") as file:
                text = file.read()
            page = Figures()
            page.feed(text.replace("<!DOCTYPE html>", ""))
            page.close()
            self.assertEqual(page.open, [])
            self.assertEqual(page.count["figure"], num_figures)
            self.assertNotIn("http", text.replace("http-equiv", ""))

    def test_events_are_written_beside_the_metrics(self):
        folder = self.run_json("events", "first")["folder"]
        found = [name for name in os.listdir(folder) if "tfevents" in name]
        self.assertEqual(len(found), 1)
        self.assertGreater(os.path.getsize(os.path.join(folder, found[0])), 30 * 50)

    def test_what_is_no_run_is_told(self):
        for code, arguments in ((3, ["show", "secnd"]), (3, ["show", "no-run"]),
                                (2, ["show", "first", "second"]), (2, ["list", "first"])):
            result = minke("runs", *arguments, "--runs", self.runs)
            self.assertEqual(result.returncode, code, result.stderr)
        self.assertIn(b"did you mean second?", minke("runs", "show", "secnd", "--runs",
                                                     self.runs).stderr)


if __name__ == "__main__":
    unittest.main()
