"""Trainings killed by SIGKILL at random moments, and restarted till they are done (`ci/kill`).

Each is a process of its own, by the estimators or by `xpmlp train`. Its last weights are compared
with those of an undisturbed run, to the last bit.
"""

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from xpmlp import Checkpoint, MLPClassifier, MLPRegressor, load_model

ROWS, PER_TRAINING = 2000, 6
BASE = {"hidden_layer_sizes": (32, 16), "max_iter": 60, "random_state": 3, "tol": 0.0}
TRAININGS = {
    "adam, by time": {"every": "0.0001s"},
    "sgd, a rate that falls": {"solver": "sgd", "learning_rate": "adaptive", "tol": 1e-2},
    "cosine, dropout, batch norm": {
        "learning_rate": "cosine",
        "dropout": 0.2,
        "normalization": "batch",
    },
    "a moving average of a regressor": {"kind": MLPRegressor, "ema_decay": 0.99},
    "early stopping on a table": {"early_stopping": True, "n_iter_no_change": 60, "table": True},
}
COMMAND = "train data.csv --target y --epochs 60 --hidden 32,16 --checkpoint-every 1 --resume"


@dataclass
class Figures:
    """What came of the kills."""

    kills: int = 0
    trainings: int = 0
    unequal: list[str] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)

    def __str__(self):
        return (
            f"{self.kills} kills and restarts in {self.trainings} trainings: "
            f"{self.trainings - len(self.unequal)} equal to the last bit, "
            f"{len(self.unequal)} not; {len(self.leftovers)} files left over"
        )


def rows() -> pd.DataFrame:
    """Return the rows that all train on, the same in every process."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, 3)).round(3)
    made = pd.DataFrame(x, columns=list("abc"))
    made["word"] = np.where(x[:, 1] > rng.normal(size=ROWS), "left", "right")
    made["y"] = (x[:, 0] * x[:, 1] > x[:, 2]).astype(int)
    return made


def train(name: str, folder: Path) -> None:
    """Run one of TRAININGS with checkpoints in a folder, and save its model there."""
    options = BASE | TRAININGS[name]
    kind, every = options.pop("kind", MLPClassifier), options.pop("every", 1)
    data = rows()
    X = data.drop(columns="y")
    if not options.pop("table", False):
        X = X[["a", "b", "c"]].to_numpy()
    model = kind(**options, checkpoint=Checkpoint(folder / "kept", every=every))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, data["y"], resume=True)
    model.save(folder / "model")


def started(name: str, folder: Path) -> subprocess.Popen:
    """Start a training in a process of its own."""
    command = ["-m", "ci.kills", "--train", name, "--folder", str(folder)]
    if name == COMMAND:
        rows().to_csv(folder / "data.csv", index=False)
        words = COMMAND.replace("data.csv", str(folder / "data.csv")).split()
        outputs = ["--checkpoint", str(folder / "kept"), "--out", str(folder / "model")]
        command = ["-m", "xpmlp", *words, *outputs, "--quiet"]
    return subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL)


def weights(folder: Path) -> list[np.ndarray]:
    """Return the weights of the model in a folder."""
    model = load_model(folder / "model")
    return [*model.coefs_, *model.intercepts_]


def begun(child: subprocess.Popen, folder: Path) -> float:
    """Wait until a training has its folder, as importing takes longer than it; return the time."""
    while child.poll() is None and not (folder / "kept" / "lock").exists():
        time.sleep(0.001)
    return time.perf_counter()


def undisturbed(name: str) -> tuple[list[np.ndarray], float]:
    """Return the weights that a training ends with, and the seconds that it takes."""
    with tempfile.TemporaryDirectory() as path:
        child = started(name, Path(path))
        begin = begun(child, Path(path))
        if child.wait() != 0:
            raise RuntimeError(f"the training {name!r} ended with exit code {child.returncode}.")
        return weights(Path(path)), time.perf_counter() - begin


def disturbed(name: str, folder: Path, seconds: float, draw: random.Random, most: int) -> int:
    """Run a training to its end through `most` kills or fewer; return how many there were."""
    kills = 0
    while True:
        (folder / "kept" / "lock").unlink(missing_ok=True)
        child = started(name, folder)
        begun(child, folder)
        try:
            code = child.wait(draw.uniform(0, seconds) if kills < most else None)
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
            code = child.wait()
        if code == 0:
            return kills
        if code != -signal.SIGKILL:
            raise RuntimeError(f"the training {name!r} ended with exit code {code}.")
        kills += 1


def run(kills: int, seed: int = 0) -> Figures:
    """Kill trainings in turn until there were so many kills; return the figures."""
    draw, figures, whole, names = random.Random(seed), Figures(), {}, [*TRAININGS, COMMAND]
    while figures.kills < kills:
        name = names[figures.trainings % len(names)]
        whole[name] = wanted, seconds = whole.get(name) or undisturbed(name)
        with tempfile.TemporaryDirectory() as path:
            folder, most = Path(path), min(PER_TRAINING, kills - figures.kills)
            figures.kills += disturbed(name, folder, seconds / 2, draw, most)
            figures.trainings += 1
            if not all(map(np.array_equal, weights(folder), wanted)):
                figures.unequal.append(name)
            figures.leftovers += left_over(folder)
    return figures


def left_over(folder: Path) -> list[str]:
    """Return the names of files that a training should not leave."""
    own = {"kept", "lock", "model", "data.csv"}
    names = {file.name for file in (*folder.iterdir(), *(folder / "kept").iterdir())}
    return sorted(name for name in names - own if not name.startswith("checkpoint-"))


def main():
    """Kill trainings and print the figures; exit with 1 where a training ended otherwise."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.train:
        train(args.train, args.folder)
        return
    figures = run(args.kills, args.seed)
    print(figures)
    sys.exit(bool(figures.unequal or figures.leftovers))


if __name__ == "__main__":
    main()
