"""Wide tables by the command line: seconds and memory of `xpmlp train` for many columns.

    python ci/benchmarks/wide.py [10000x60 5000x4 1000x100000 ...] [--epochs 1]

COLUMNSxROWS: numbers of four decimals, and a label of two of them. With --epochs 1 the last, tall
kind tells what reading takes, as 32 epochs of so many numbers take minutes.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np


def write(path, n_columns, n_rows):
    """Write a CSV file of normal numbers, and a label that two of the columns tell."""
    rng = np.random.default_rng(0)
    with open(path, "w") as file:
        file.write(",".join([*(f"c{i}" for i in range(n_columns)), "y"]) + "\n")
        for i in range(n_rows):
            row = rng.normal(size=n_columns).round(4)
            label = "ab"[int(row[0] + row[1] > 0)] if i > 9 else "ab"[i % 2]
            file.write(",".join([*map(str, row.tolist()), label]) + "\n")


def main():
    """Train on each table in a process of its own, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tables", nargs="*", default=["10000x60"])
    parser.add_argument("--epochs", default="32")
    args = parser.parse_args()
    print("columns x rows: seconds, seconds of CPU, MB of the largest process so far")
    for table in args.tables:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "wide.csv")
            write(path, *map(int, table.split("x")))
            out = ["--out", f"{folder}/wide.safetensors", "--epochs", args.epochs, "--quiet"]
            command = [sys.executable, "-m", "xpmlp", "train", str(path), "--target", "y", *out]
            before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            seconds = time.perf_counter() - start
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(f"{table}: {seconds:.1f} s, {cpu:.1f} s, {after.ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
