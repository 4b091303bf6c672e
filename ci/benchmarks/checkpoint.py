"""What checkpoints cost: of a large state beside the bare disk, and of an epoch with and without.

    python -m ci.benchmarks.checkpoint [--megabytes 100] [--rounds 5]

Seconds are the least of all rounds, and of the process: where others keep the machine busy, these
tell what a checkpoint costs beyond the disk. The disk's are those of as many bytes in a plain file,
written and brought to the disk by fsync, in the same folder and in turns.
"""

import argparse
import os
import tempfile
import time
import warnings
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from xpmlp import Checkpoint, MLPClassifier
from xpmlp.engines import Carry
from xpmlp.randomness import Draws, random_state
from xpmlp.training import State
from xpmlp.training.checkpoint import Keeper


def seconds(work):
    """Return the seconds that a call takes: those of the clock, and of the process."""
    begin, used = time.perf_counter(), time.process_time()
    work()
    return np.asarray((time.perf_counter() - begin, time.process_time() - used))


def plain_write(path, n_bytes):
    """Write so many bytes and wait for the disk."""
    with open(path, "wb") as file:
        file.write(memoryview(bytearray(n_bytes)))
        file.flush()
        os.fsync(file.fileno())


def state_of(megabytes):
    """Return the State of a training by Adam: parameters and two averages of each, in float32."""
    n = int(megabytes * 1e6 / 12)
    stores = [{"W": np.full(n, value, np.float32)} for value in (1.0, 2.0, 3.0)]
    carry = Carry(stores[0], {}, dict(zip("mv", stores[1:])))
    return State(carry, lr=1e-3, draws=Draws(random_state(0)))


def large(megabytes, rounds, folder):
    """Print what a checkpoint of a state takes beside the disk."""
    keeper, state, took = Keeper(Checkpoint(folder), {}, ExitStack()), state_of(megabytes), []
    for _ in range(rounds):
        disk = seconds(lambda: plain_write(Path(folder, "plain"), int(megabytes * 1e6)))
        took.append((seconds(lambda: keeper.write(state)), disk))
    ours, disk = np.min(took, axis=0)
    for name, own, plain in zip(("of the clock", "of the process"), ours, disk):
        text = f"{own:.3f} s, the disk {plain:.3f} s, beyond it {own - plain:.3f} s"
        print(f"{megabytes:g} MB, {name}: {text}")


def epochs(sizes, n_rows, rounds, folder):
    """Print the seconds of a fit with checkpoint= that is never due, as a ratio to one without."""
    X = np.random.default_rng(0).normal(size=(n_rows, 20)).astype(np.float32)
    y = (X[:, 0] > 0).astype(int)
    args: dict = {"max_iter": 10, "random_state": 0, "tol": 0.0}
    took = []
    for _ in range(rounds):
        plain, kept = (
            MLPClassifier(sizes, **args, checkpoint=checkpoint)
            for checkpoint in (None, Checkpoint(folder, every="60s"))
        )
        for model in (plain, kept):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model.fit(X, y)
        took.append([np.median(model.history_["seconds"]) for model in (plain, kept)])
    without, with_it = map(min, zip(*took))
    print(f"{sizes}, {n_rows} rows: {without * 1e3:.2f} ms an epoch, x{with_it / without:.3f} kept")


def main():
    """Time checkpoints, and print a line for each case."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--megabytes", type=float, default=100.0)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=".") as folder:
        large(args.megabytes, args.rounds, folder)
        epochs((16,), 2000, args.rounds, folder)
        epochs((512, 512), 4000, args.rounds, folder)


if __name__ == "__main__":
    main()
