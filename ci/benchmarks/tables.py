"""Raw tables by the command line, beside scikit-learn's MLP and HistGradientBoosting.

    python ci/benchmarks/tables.py FOLDER [--sets adult,california_housing,diamonds] [--seeds 5]

FOLDER holds NAME.csv.gz of the three sets, with their published splits in a column. Each of our
runs is one `xpmlp train TRAIN --target Y --validation VAL --test TEST --seed S`, with nothing but
its defaults; the peers get the same rows in the same process order, with theirs. Prints a table and
writes ci/benchmarks/results/<date>-tables.json. Seconds: of training, for `xpmlp train` from
reading the files to the saved model.
"""

import argparse
import csv
import datetime
import gzip
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Target, column of the split, unit of the figure, least figure asked for, goal, and the tuned plain
# MLP of Gorishniy et al. 2025 (means of 15 seeds, the repository yandex-research/tabm).
SETS = {
    "adult": ("income", "split", 1.0, 85.4, 86.0, 85.40),
    "california_housing": ("MedHouseVal", "yandex_split", 1.0, 0.495, 0.46, 0.4948),
    "diamonds": ("price", "yandex_split", 3989.40276, 0.140, 0.136, 0.1404),
}
NAMES = {"xpmlp": "xpmlp train", "mlp": "scikit-learn MLP", "hgb": "HistGradientBoosting"}


def rows_of(folder, name):
    """Return the header and the rows of each part, without the column of the split."""
    with gzip.open(folder / f"{name}.csv.gz", "rt", newline="") as file:
        header, *rows = csv.reader(file)
    at = header.index(SETS[name][1])
    parts: dict = {}
    for row in rows:
        parts.setdefault(row.pop(at), []).append(row)
    header.pop(at)
    return header, parts


def parts_of(folder, name, seed):
    """Return the header, and the rows to train on, to watch and to test with."""
    header, parts = rows_of(folder, name)
    if name == "adult":  # its split between training and validation was never published
        from sklearn.model_selection import train_test_split

        rest = parts.pop("train")
        labels = [row[header.index("income")] for row in rest]
        parts["train"], parts["val"] = train_test_split(
            rest, test_size=6513, random_state=seed, stratify=labels
        )
    return header, {part: parts[part] for part in ("train", "val", "test")}


def ours(name, files, seed, scratch):
    """Train by the command line; return the figure of the test rows and the seconds."""
    command = [sys.executable, "-m", "xpmlp", "train", str(files["train"])]
    command += ["--target", SETS[name][0], "--validation", str(files["val"])]
    command += ["--test", str(files["test"]), "--seed", str(seed), "--quiet", "--json"]
    command += ["--out", str(scratch / "model.safetensors"), "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed: {done.stderr.strip()}")
    found = json.loads(done.stdout.splitlines()[-1])
    metrics, unit = found["metrics"], SETS[name][2]
    figure = 100 * metrics["accuracy"] if "accuracy" in metrics else metrics["rmse"] / unit
    return figure, found["seconds"]


def theirs(kind, name, files, seed):
    """Train one of scikit-learn's estimators on the same rows; return figure and seconds."""
    import pandas as pd
    from sklearn import ensemble, neural_network
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.metrics import accuracy_score, root_mean_squared_error
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    target, _, unit, *_ = SETS[name]
    tables = {part: pd.read_csv(path, na_values="?") for part, path in files.items()}
    y = {part: table.pop(target) for part, table in tables.items()}
    task = "Classifier" if name == "adult" else "Regressor"
    if task == "Regressor":
        y = {part: values / unit for part, values in y.items()}
    start = time.perf_counter()
    if kind == "hgb":
        for table in tables.values():
            for column in table.select_dtypes(exclude="number"):
                table[column] = table[column].astype("category")
        model = getattr(ensemble, f"HistGradientBoosting{task}")(random_state=seed)
        model.fit(tables["train"], y["train"])
    else:
        encode = make_column_transformer(
            (StandardScaler(), make_column_selector(dtype_include="number")),
            (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_exclude="number")),
        )
        model = make_pipeline(encode, getattr(neural_network, f"MLP{task}")(random_state=seed))
        model.fit(tables["train"], y["train"])
    seconds = time.perf_counter() - start
    made = model.predict(tables["test"])
    if task == "Classifier":
        return 100 * accuracy_score(y["test"], made), seconds
    return root_mean_squared_error(y["test"], made), seconds


def measure(folder, name, seeds):
    """Return the runs of all contenders on one set, seed by seed in turns."""
    runs: dict = {contender: [] for contender in NAMES}
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as scratch:
            header, parts = parts_of(folder, name, seed)
            files = {part: Path(scratch) / f"{part}.csv" for part in parts}
            for part, rows in parts.items():
                with open(files[part], "w", newline="") as file:
                    csv.writer(file).writerows([header, *rows])
            for contender in NAMES:
                if contender == "xpmlp":
                    figure, seconds = ours(name, files, seed, Path(scratch))
                else:
                    figure, seconds = theirs(contender, name, files, seed)
                runs[contender].append({"seed": seed, "figure": figure, "seconds": seconds})
    return runs


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    results = {}
    print(
        f"mean and standard deviation of {args.seeds} seeds on the test rows; accuracy in %, RMSE"
    )
    print(f"{'set':<19} {'contender':<21} {'figure':>8} {'sd':>7} {'seconds':>8}")
    for name in args.sets.split(","):
        *_, least, goal, tuned = SETS[name]
        runs = measure(args.folder, name, args.seeds)
        results[name] = {"least": least, "goal": goal, "tuned plain MLP": tuned, "runs": runs}
        for contender, found in runs.items():
            figures = [run["figure"] for run in found]
            seconds = statistics.median(run["seconds"] for run in found)
            mean, sd = statistics.mean(figures), statistics.pstdev(figures)
            print(f"{name:<19} {NAMES[contender]:<21} {mean:8.4f} {sd:7.4f} {seconds:8.1f}")
        print(f"{name:<19} {'tuned plain MLP':<21} {tuned:8.4f}   asked {least}, goal {goal}")
    record = {
        "date": datetime.date.today().isoformat(),
        "cpu": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
        "versions": {p: importlib.metadata.version(p) for p in ("xpmlp", "numpy", "scikit-learn")},
        "results": results,
    }
    folder = Path(__file__).parent / "results"
    out = args.out or folder / f"{record['date']}-tables.json"
    out.write_text(json.dumps(record, indent=1))
    print(f"written: {out}")


if __name__ == "__main__":
    main()
