"""llama.cpp as a peer: built from the source package of llama-cpp-python, and measured.

The Python package's source archive carries the whole of llama.cpp. It is built natively, once,
under ${XDG_CACHE_HOME:-~/.cache}/minke-peers (5 to 10 minutes on two cores).
"""

import json
import os
import shutil
import subprocess
import sys
import tarfile

VERSION = "0.3.36"  # of llama-cpp-python; pinned, so that figures of different days compare
PROGRAMS = ["llama-bench", "llama-batched-bench", "llama-server", "llama-quantize",
            "llama-perplexity", "llama-tokenize"]
NAME = f"llama.cpp (llama-cpp-python {VERSION})"


def cache_folder():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(base, "minke-peers", f"llama.cpp-{VERSION}")


def run_logged(command, log_path):
    """Runs a command with its output in a file; shows the end of it on failure."""
    print("   $ " + " ".join(command), file=sys.stderr, flush=True)
    with open(log_path, "wb") as log:
        status = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log,
                                stderr=subprocess.STDOUT).returncode
    if status != 0:
        with open(log_path, encoding="utf-8", errors="replace") as log:
            sys.stderr.writelines(log.readlines()[-30:])
        sys.exit(f"peers: {command[0]} ended with exit code {status}; see {log_path}")


def fetch_source(folder):
    """Downloads and unpacks the source; returns llama.cpp's own folder."""
    source = os.path.join(folder, f"llama_cpp_python-{VERSION}", "vendor", "llama.cpp")
    if os.path.exists(os.path.join(source, "CMakeLists.txt")):
        return source
    run_logged([sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary",
                "llama-cpp-python", "-d", folder, f"llama-cpp-python=={VERSION}"],
               os.path.join(folder, "download.log"))
    archive = os.path.join(folder, f"llama_cpp_python-{VERSION}.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data") if hasattr(tarfile, "data_filter") else (
            tar.extractall(folder))
    return source


def build():
    """The folder of the built programs; builds them when they are not there yet."""
    folder = cache_folder()
    programs = os.path.join(folder, "build", "bin")
    stamp = os.path.join(folder, "built")
    if os.path.exists(stamp):
        return programs
    os.makedirs(folder, exist_ok=True)
    source = fetch_source(folder)
    print("peers: building llama.cpp (minutes, once)", file=sys.stderr, flush=True)
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    run_logged(["cmake", "-S", source, "-B", os.path.join(folder, "build"), *generator,
                "-DCMAKE_BUILD_TYPE=Release", "-DGGML_NATIVE=ON", "-DLLAMA_CURL=OFF",
                "-DLLAMA_BUILD_TESTS=OFF"], os.path.join(folder, "configure.log"))
    run_logged(["cmake", "--build", os.path.join(folder, "build"), "-j", str(os.cpu_count() or 1),
                "--target", *PROGRAMS], os.path.join(folder, "build.log"))
    with open(stamp, "w", encoding="utf-8") as file:
        file.write(VERSION + "\n")
    return programs


def median(values):
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


class LlamaCpp:
    """Runs llama.cpp's own benchmarks. `measure` is bench/peers/run's: command -> (stdout, RSS)."""

    def __init__(self, programs, measure):
        self.programs = programs
        self.measure = measure

    def bench(self, job, flash_attention, repetitions):
        """(tokens per second, peak RSS in bytes) by llama-bench; it draws new tokens each time."""
        out, rss = self.measure([
            os.path.join(self.programs, "llama-bench"), "-m", job.model, "-t", str(job.threads),
            "-p", str(job.prompt_tokens), "-n", str(job.generated_tokens), "-d", str(job.depth),
            "-fa", str(int(flash_attention)), "-r", str(repetitions), "-o", "json"])
        return median(json.loads(out)[0]["samples_ts"]), rss

    def batched_bench(self, job, flash_attention, repetitions):
        """The same by llama-batched-bench: speed of generation for all sequences together."""
        context = job.sequences * (job.depth + job.generated_tokens)
        command = [os.path.join(self.programs, "llama-batched-bench"), "-m", job.model,
                   "-t", str(job.threads), "-tb", str(job.threads), "-c", str(context),
                   "-b", "2048", "-ub", "512", "-npp", str(job.depth),
                   "-ntg", str(job.generated_tokens), "-npl", str(job.sequences),
                   "-fa", "on" if flash_attention else "off", "--output-format", "jsonl"]
        speeds, peak_rss = [], 0
        for _ in range(repetitions):
            out, rss = self.measure(command)
            row = next(json.loads(line) for line in out.splitlines() if line.startswith("{"))
            speeds.append(row["speed_tg"])
            peak_rss = max(peak_rss, rss)
        return median(speeds), peak_rss
