"""MNIST by the command line: Nielsen's recipes and a modern one, several seeds each.

    python ci/benchmarks/mnist.py FOLDER [--recipes chapter1,chapter3,modern] [--seeds 5]

FOLDER holds the four IDX files. Each run is one `xpmlp train`, watching the test images after each
epoch: "best" is the best test epoch, as the book counts, "final" the last. Prints a table and
writes ci/benchmarks/results/<date>-mnist.json. Seconds: from reading the data to the saved model.
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

NIELSEN = (
    "--hidden 30 --activation logistic --solver sgd --momentum 0 --init normal --batch-size 10 "
    "--epochs 30 --rows 50000 --no-standardise"
)
RECIPES = {
    # Nielsen 2015, chapter 1: quadratic cost; the book's best of three runs: 95.42
    "chapter1": f"{NIELSEN} --loss squared_error --lr 3 --alpha 0",
    # Chapter 3: cross-entropy of independent sigmoids; L2 with lambda 5 is alpha 1e-3 at batch 10.
    # The book: 96.49
    "chapter3": f"{NIELSEN} --loss binary_log_loss --lr 0.5 --alpha 1e-3",
    "modern": (
        "--hidden 512,256 --activation relu --dropout 0.4 --solver adamw --batch-size 512 "
        "--epochs 20 --lr 2e-3 --no-standardise"
    ),
}
GOALS = {
    "chapter1": "best 94.6-95.7, final >= 94.3",
    "chapter3": "best 96.1-97.0, final >= 95.2",
    "modern": "final >= 98.3 in under 2 minutes on 2 cores",
}


def run(folder, recipe, seed, threads):
    """Train once; return the test accuracy of each epoch and the seconds of the command."""
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "xpmlp", "train", str(folder), *RECIPES[recipe].split()]
        command += ["--validation", "test", "--seed", str(seed), "--quiet", "--json"]
        command += ["--out", str(Path(scratch) / "mnist.safetensors"), "--device", "cpu"]
        env = os.environ | {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
        done = subprocess.run(command, capture_output=True, text=True, env=env)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed: {done.stderr.strip()}")
    found = json.loads(done.stdout.splitlines()[-1])
    scores = [100 * score for score in found["validation_scores"]]
    return {"seed": seed, "scores": scores, "seconds": found["seconds"]}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--recipes", default=",".join(RECIPES))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    results = {}
    print(f"medians of {args.seeds} seeds")
    print(f"{'recipe':<10} {'best':>7} {'final':>7} {'seconds':>8}   goal")
    for recipe in args.recipes.split(","):
        runs = [run(args.folder, recipe, seed, args.threads) for seed in range(args.seeds)]
        median = {
            "best": statistics.median(max(r["scores"]) for r in runs),
            "final": statistics.median(r["scores"][-1] for r in runs),
            "seconds": statistics.median(r["seconds"] for r in runs),
        }
        print(
            f"{recipe:<10} {median['best']:7.2f} {median['final']:7.2f} {median['seconds']:8.1f}"
            f"   {GOALS[recipe]}",
            flush=True,
        )
        results[recipe] = {"options": RECIPES[recipe], "median": median, "runs": runs}
    packages = {p: importlib.metadata.version(p) for p in ("xpmlp", "numpy", "scikit-learn")}
    machine = {"machine": platform.machine(), "cores": os.cpu_count(), "threads": args.threads}
    today = datetime.date.today().isoformat()
    out = args.out or Path(__file__).parent / "results" / f"{today}-mnist.json"
    record = {"date": today, "python": platform.python_version(), **machine, "versions": packages}
    out.write_text(json.dumps(record | {"results": results}, indent=1) + "\n")
    print(f"Written: {out}")


if __name__ == "__main__":
    main()
