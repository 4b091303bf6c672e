"""Compare trainings of a table on one, two and four threads: is the same epoch kept?

    python ci/kept_epoch.py [SEED ...]

For each seed (0 to 9 where none is named) `xpmlp train examples/people.csv` runs in both engines of
NumPy, compiled and plain, with each number of threads in a process of its own. Prints the epochs
that were kept and how far test accuracy and log-loss differ, and fails where that is more than
`LIMITS`. The compiled engine works with so many threads also where there are fewer processors;
plain products have what the BLAS takes.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
THREADS = 1, 2, 4
ENGINES = {"compiled": "auto", "plain": "generic"}  # and how --accelerate says it
LIMITS = {"accuracy": 0.005, "log_loss": 0.01}

# Trains with each seed, and prints the JSON of each.
TRAINING = """
import sys
from xpmlp.cli.train import train
from xpmlp.engines.native import program

model, threads, accelerate, *seeds = sys.argv[1:]
program.n_threads = lambda: int(threads)
for seed in seeds:
    train.main(
        ["examples/people.csv", "--on-bad-row", "skip", "--quiet", "--json", "--seed", seed,
         "--accelerate", accelerate, "--out", model],
        standalone_mode=False,
    )
"""


def trained(threads, accelerate, seeds):
    """Return what `xpmlp train --json` says of each seed."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    env = os.environ | dict.fromkeys(names, str(threads))
    with tempfile.TemporaryDirectory() as folder:
        arguments = [f"{folder}/people.safetensors", str(threads), accelerate, *map(str, seeds)]
        command = [sys.executable, "-c", TRAINING, *arguments]
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def main():
    """Train, and print a line for each engine and seed. Returns whether all stay in the limits."""
    seeds = [int(text) for text in sys.argv[1:]] or [*range(10)]
    print("engine    seed  epochs kept on 1, 2, 4 threads  accuracy differs by  log-loss by")
    well = True
    for engine, accelerate in ENGINES.items():
        found = [trained(threads, accelerate, seeds) for threads in THREADS]
        for seed, runs in zip(seeds, zip(*found, strict=True), strict=True):
            kept = ", ".join(str(run["best_epoch"]) for run in runs)
            apart = {}
            for name in LIMITS:
                values = [run["metrics"][name] for run in runs]
                apart[name] = max(values) - min(values)
            well &= all(apart[name] <= limit for name, limit in LIMITS.items())
            numbers = f"{apart['accuracy']:<19.4f}  {apart['log_loss']:.6f}"
            print(f"{engine:<8}  {seed:<4}  {kept:<30}  {numbers}", flush=True)
    return well


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
