#!/usr/bin/env python3
"""The steps of ./check, in order, with a summary at the end (Python's standard library only).

A step is a function that returns (passed, failed); any exception, or a command that fails, counts
as one failure. Steps go on after a failure unless they need what failed. Run it through ./check,
which installs the packages first.
"""

import argparse
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import time
import traceback
import xml.etree.ElementTree

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MODEL = "smollm2-135m"
TEST_TIMEOUT_S = 900
# Inputs for each fuzz target: enough to run its seeds and a few seconds of mutations.
FUZZ_RUNS, FUZZ_SECONDS_MAX = 20000, 20


# What failed, in a few lines each: told once more above the summary, since the output is long.
FAILURES = []
FAILURE_LINES_MAX = 25


class StepFailed(Exception):
    """A command ended with an error; its output has been shown."""


def remember_failure(text):
    lines = text.strip().splitlines()
    FAILURES.append("\n".join(["[...]"] * (len(lines) > FAILURE_LINES_MAX)
                              + lines[-FAILURE_LINES_MAX:]))


def environment():
    return {**os.environ, "MINKE_TEST_MODEL": model_path() or ""}


def run(command, **options):
    """Runs a command in the repository; its output is shown as it comes."""
    print("   $ " + " ".join(command), flush=True)
    status = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, **options).returncode
    if status != 0:
        raise StepFailed(f"{command[0]} ended with exit code {status}")


def binary(preset="release"):
    return os.path.join(ROOT, "build", preset, "minke")


def model_path():
    """Where `minke pull` put the default model, or None before that."""
    try:
        import json

        shown = subprocess.run([binary(), "show", MODEL, "--json"], capture_output=True, check=True)
        return json.loads(shown.stdout)["path"]
    except (OSError, subprocess.CalledProcessError, ValueError, KeyError):
        return None


# ---- steps -------------------------------------------------------------------------------------


def build(preset, *targets):
    def step(options):
        run(["scripts/build", preset, *targets], env=job_environment(options))
        return 1, 0

    return step


def job_environment(options):
    extra = {"MINKE_JOBS": str(options.jobs)} if options.jobs_given else {}
    return {**os.environ, **extra}


def pull(options):
    run([binary(), "pull", MODEL])
    return 1, 0


def count_cases(output):
    """(passed, failed) cases of a GoogleTest program by what it printed; None for others."""
    ran = re.search(r"\[==========\] (\d+) tests? from .* ran", output)
    passed = re.search(r"\[  PASSED  \] (\d+) tests?", output)
    if not ran or not passed:
        return None
    skipped = re.search(r"\[  SKIPPED \] (\d+) tests?", output)
    num_skipped = int(skipped.group(1)) if skipped else 0
    return int(passed.group(1)), int(ran.group(1)) - int(passed.group(1)) - num_skipped


def ctest(preset, *arguments):
    def step(options):
        folder = os.path.join(ROOT, "build", preset)
        report = os.path.join(folder, "check.xml")
        command = ["ctest", "--test-dir", folder, "--output-on-failure", "--no-tests=error",
                   "--output-junit", report, "--test-output-size-passed", "1000000",
                   "--timeout", str(TEST_TIMEOUT_S),
                   "-j", str(options.jobs), *arguments]
        status = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL,
                                env=environment()).returncode
        passed, failed = read_report(report)
        if status != 0 and failed == 0:
            raise StepFailed(f"ctest ended with exit code {status}")
        return passed, failed

    return step


def read_report(path):
    """Sums the cases of all programs. A program that crashed counts as at least one failure."""
    passed = failed = 0
    for case in xml.etree.ElementTree.parse(path).getroot().iter("testcase"):
        ok = case.get("status") == "run"
        counted = count_cases(case.findtext("system-out") or "") or ((1, 0) if ok else (0, 1))
        passed += counted[0]
        failed += counted[1] if ok else max(1, counted[1])
        if not ok:
            output = case.findtext("system-out") or ""
            cases = re.findall(r"^\[  FAILED  \] (.*)$", output, re.MULTILINE)
            remember_failure("\n".join([f"{case.get('name')}:", *dict.fromkeys(cases)]
                                       if cases else [f"{case.get('name')}:", output]))
    return passed, failed


def count_unittests(output):
    """(passed, failed) by the last lines of Python's unittest."""
    ran = re.search(r"^Ran (\d+) tests?", output, re.MULTILINE)
    if not ran or int(ran.group(1)) == 0:
        return 0, 1
    bad = sum(int(n) for n in re.findall(r"(?:failures|errors)=(\d+)", output))
    skipped = sum(int(n) for n in re.findall(r"skipped=(\d+)", output))
    return int(ran.group(1)) - bad - skipped, bad


def unittests(folder, pattern, python=sys.executable):
    """Runs Python's unittest over a folder; the count is that of its cases."""

    def step(options):
        command = [python() if callable(python) else python, "-m", "unittest", "discover",
                   "-s", folder, "-p", pattern, "-v"]
        print("   $ " + " ".join(command), flush=True)
        done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, env=environment())
        print(done.stdout, flush=True)
        passed, failed = count_unittests(done.stdout)
        for block in re.findall(r"^((?:FAIL|ERROR): .*?)(?=^={20}|^-{20,}\nRan )", done.stdout,
                                re.MULTILINE | re.DOTALL):
            name, _, trace = block.partition("\n")
            remember_failure("\n".join([name, *trace.strip().splitlines()[-12:]]))
        if done.returncode != 0 and failed == 0:
            failed = 1
        return passed, failed

    return step


def tidy(options):
    passed, failed = unittests("tests/tidy", "test_*.py")(options)
    try:
        run([sys.executable, "tests/tidy/tidy.py"])
    except StepFailed:
        return passed, failed + 1
    return passed + 1, failed


def fuzz_targets():
    folder = os.path.join(ROOT, "tests", "fuzz")
    return sorted("fuzz_" + name[:-len("_fuzz.cpp")] for name in os.listdir(folder)
                  if name.endswith("_fuzz.cpp"))


def fuzz(options):
    """Every libFuzzer target on its seed corpus and a fixed sequence of mutations."""
    targets = fuzz_targets()
    if not targets:
        raise StepFailed("tests/fuzz has no *_fuzz.cpp")
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        passed = sum(pool.map(fuzz_target, targets))
    return passed, len(targets) - passed


def fuzz_target(target):
    """Runs one target, which has one thread; True when it found nothing."""
    seeds = os.path.join("tests", "fuzz", "seeds", target[len("fuzz_"):])
    corpus = [seeds] if os.path.isdir(os.path.join(ROOT, seeds)) else []
    # libFuzzer adds what it finds to the first folder: an empty one, so that runs are alike.
    scratch = os.path.join("build", "asan", "corpus", target)
    shutil.rmtree(os.path.join(ROOT, scratch), ignore_errors=True)
    os.makedirs(os.path.join(ROOT, scratch, "new"))
    command = [f"build/asan/tests/fuzz/{target}", f"-runs={FUZZ_RUNS}", "-seed=1",
               f"-max_total_time={FUZZ_SECONDS_MAX}", "-rss_limit_mb=4096", "-timeout=10",
               f"-artifact_prefix={scratch}/", f"{scratch}/new", *corpus]
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace")
    print("   $ " + " ".join(command) + "\n"
          + (done.stdout if done.returncode else done.stdout.splitlines()[-1]), flush=True)
    if done.returncode:
        remember_failure(f"{target}:\n{done.stdout}")
    return done.returncode == 0


def peer_python():
    return os.path.join(ROOT, ".venv", "bin", "python")


def golden(options):
    """Computes the golden files of tests/golden afresh and compares."""
    passed = failed = 0
    for command in (["tests/golden/logits_smollm2.py", "--check", "--model", model_path() or ""],
                    ["tests/golden/llama_train.py", "--check"],
                    ["tests/golden/optimizers.py", "--check"],
                    ["tests/golden/dpo.py", "--check"],
                    ["tests/golden/hf_models.py", "--check", "--minke", binary()],
                    ["tests/golden/adapters.py", "--check"],
                    ["tests/golden/formats/decode.py", "--check"],
                    ["tests/golden/formats/fp8.py", "--check"],
                    ["tests/golden/formats/encode.py", "--check", "--model", model_path() or ""],
                    ["tests/golden/quantize/quantize_types.py", "--check"],
                    ["tests/golden/tokenizer_hf.py", "--check"],
                    ["tests/golden/bpe_trainer.py", "--check"],
                    ["tests/golden/tokenizer_peers.py"],
                    ["tests/golden/jinja_conversations.py", "--minke", binary()]):
        try:
            run([peer_python(), *command])
            passed += 1
        except StepFailed as error:
            print(error)
            failed += 1
    return passed, failed


def peers(options):
    """Each topic of bench/peers once, to show that it runs; its figures are not judged here."""
    passed = 0
    listed = subprocess.run(["bench/peers/run", "--list"], cwd=ROOT, capture_output=True, text=True,
                            check=True).stdout
    for topic in (line.split()[0] for line in listed.splitlines() if line.strip()):
        run(["bench/peers/run", topic, "--repeats", "2", "--layers", "3"])
        passed += 1
    return passed, 0


# (name, function, needs): a step is skipped, and counts as failed, when one that it needs failed.
QUICK_STEPS = [
    ("release build", build("release"), []),
    ("model", pull, ["release build"]),
    ("tests", ctest("release", "-LE", "slow"), ["release build"]),
    ("tidy", tidy, []),
    ("commands", unittests("tests/e2e", "*_test.py"), ["release build", "model"]),
    ("asan build", build("asan"), []),
    ("asan tests", ctest("asan", "-LE", "slow"), ["asan build"]),
    ("fuzz", fuzz, ["asan build"]),
]
LONG_STEPS = [
    ("slow tests", ctest("release", "-L", "slow"), ["release build", "model"]),
    ("slow commands", unittests("tests/e2e", "*_slow.py"), ["release build"]),
    ("tsan build", build("tsan"), []),
    ("tsan tests", ctest("tsan", "-LE", "slow"), ["tsan build"]),
    ("arm64 build", build("arm64"), []),
    ("arm64 tests", ctest("arm64", "-LE", "slow"), ["arm64 build"]),
    ("golden", golden, ["model"]),
    ("peer clients", unittests("tests/e2e", "*_peer.py", peer_python), ["model"]),
    ("peers", peers, ["model"]),
]


# ---- the run -------------------------------------------------------------------------------------


def take(step, options, failed_steps):
    """Runs one step; returns (seconds, passed, failed, remark)."""
    name, function, needs = step
    missing = [need for need in needs if need in failed_steps]
    if missing:
        return 0.0, 0, 1, f"not run: needs {missing[0]}"
    print(f"== {name}", flush=True)
    began = time.monotonic()
    try:
        passed, failed = function(options)
        remark = ""
    except StepFailed as error:
        passed, failed, remark = 0, 1, str(error)
    except Exception as error:  # a defect of a step must not hide the other steps
        traceback.print_exc()
        passed, failed, remark = 0, 1, repr(error)
    return time.monotonic() - began, passed, failed, remark


def arguments_of(argv):
    parser = argparse.ArgumentParser(prog="./check",
                                     description="Builds minke and runs every test.")
    parser.add_argument("--all", action="store_true", help="thread sanitizer, long tests and peers")
    parser.add_argument("--jobs", type=int, help="compilers and test programs at a time")
    parser.add_argument("--only", action="append", metavar="STEP", help="run just this step")
    parser.add_argument("--list", action="store_true", help="print the steps")
    parser.add_argument("--setup-seconds", type=float, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    options.jobs_given = options.jobs is not None
    if options.jobs is not None and options.jobs < 1:
        parser.error(f"--jobs is {options.jobs} when it should be at least 1")
    options.jobs = options.jobs or len(os.sched_getaffinity(0))
    return parser, options


def main(argv):
    parser, options = arguments_of(argv)
    steps = QUICK_STEPS + (LONG_STEPS if options.all else [])
    if options.only:
        steps = [step for step in QUICK_STEPS + LONG_STEPS if step[0] in options.only]
        if len(steps) != len(options.only):
            parser.error(f"--only: no such step; the steps are: "
                         f"{', '.join(step[0] for step in QUICK_STEPS + LONG_STEPS)}")
    if options.list:
        print("\n".join(step[0] for step in steps))
        return 0
    rows = [("setup", options.setup_seconds, 1, 0, "")]
    for step in steps:
        failed_steps = {row[0] for row in rows if row[3]}
        rows.append((step[0], *take(step, options, failed_steps)))
    for text in FAILURES:
        print(f"\n-- failed: {text}")
    print(f"\n{'step':<16}{'seconds':>9}{'passed':>9}{'failed':>9}")
    for name, seconds, passed, failed, remark in rows:
        verdict = "FAILED" if failed else "ok"
        print(f"{name:<16}{seconds:>9.1f}{passed:>9}{failed:>9}  {verdict}"
              + (f" ({remark})" if remark else ""))
    passed, failed = sum(row[2] for row in rows), sum(row[3] for row in rows)
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        print("check: interrupted", file=sys.stderr)
        sys.exit(130)
