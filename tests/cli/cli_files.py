"""Files that commands read."""

import gzip
import json
import os
import pickle
import struct
import subprocess
import sys

import numpy as np
import pytest
from cli_data import rows, write_csv

QUICK = ["--epochs", "2", "--hidden", "5", "--quiet"]
KEYS = {
    "task", "n_train", "n_test", "n_left_out", "metrics", "seconds", "device", "why", "model",
    "validation_scores", "best_epoch", "scoring", "notes", "baseline", "classes", "threshold",
    "split", "sample_weight", "warnings", "folds",
}  # fmt: skip


@pytest.fixture(name="train")
def train_fixture(xpmlp):
    """Train quickly. Returns the JSON, which stands alone on standard output."""

    def run(*arguments):
        code, out, err = xpmlp("train", *QUICK, "--json", *arguments)
        assert (code, [word for word in ("Warning", "Note", "Error") if word in err]) == (0, [])
        found = json.loads(out, parse_constant=pytest.fail)
        assert found.keys() == KEYS
        return found

    return run


def npz(name, rows):
    columns = [np.array(column) for column in zip(*rows)]
    np.savez(name, X=np.column_stack(columns[:2]), y=columns[2])
    return name


def images(n):
    """Squares, dark for label 0 and bright for label 1."""
    y = np.arange(n) % 2
    return np.broadcast_to((20 + 200 * y)[:, None, None], (n, 3, 3)).astype(np.uint8), y


def idx(a):
    return bytes((0, 0, 8, a.ndim)) + struct.pack(f">{a.ndim}I", *a.shape) + a.tobytes()


def idx_folder(name, end="", n=40):
    os.mkdir(name)
    for part, size in (("train", n), ("t10k", 10)):
        X, y = images(size)
        for kind, a in (("images-idx3", X), ("labels-idx1", y.astype(np.uint8))):
            data = gzip.compress(idx(a)) if end else idx(a)
            with open(f"{name}/{part}-{kind}-ubyte{end}", "wb") as file:
                file.write(data)
    return name


def label(a, b):
    return "yes" if a > b else "no"


def code(a, b):
    return int(a > b)


def bad(name, data, mode="wb"):
    with open(name, mode) as file:
        file.write(data)
    return name


def broken_idx(n_bytes=None, magic=None):
    folder = idx_folder("d")
    path = f"{folder}/train-images-idx3-ubyte"
    with open(path, "rb") as file:
        data = file.read()
    bad(path, (magic or b"") + data[len(magic or b"") : n_bytes])
    return folder


BAD_DATA = {
    "missing": (lambda: "missing.csv", ["missing.csv", "does not exist"]),
    "misspelt": (lambda: "irsi", ["irsi", "'iris'"]),
    "long": (lambda: "a" * 300, ["does not exist"]),
    "empty": (lambda: bad("d.csv", b""), ["d.csv", "line 1"]),
    "only a head": (lambda: bad("d.csv", b"a,b,y\n"), ["d.csv", "no rows"]),
    "ragged": (lambda: bad("d.csv", b"a,b,y\n1,2,3\n4,5\n"), ["d.csv", "line 3"]),
    "too long": (lambda: bad("d.csv", b"a,b,y\n1,2,3\n4,5,6,7\n"), ["d.csv", "line 3"]),
    "text": (lambda: write_csv("d.csv", [*rows(), (1, "five", 2)]), ["line 62", "'b'", "'five'"]),
    "no target": (lambda: write_csv("d.csv", [*rows(), (1, 2, "")]), ["line 62", "'y'"]),
    "too large": (lambda: npz("d.npz", [(a * 1e39, b, y) for a, b, y in rows()]), ["too large"]),
    "targets too large": (
        lambda: write_csv("d.csv", [(a, b, y * 1e300) for a, b, y in rows()]),
        ["d.csv", "too large"],
    ),
    "one row": (lambda: write_csv("d.csv", rows(1)), ["d.csv", "every row holds"]),
    "two rows": (lambda: write_csv("d.csv", rows(2)), ["d.csv", "hold rows out"]),
    "wrong magic": (lambda: broken_idx(magic=b"\x00\x00\x07\x03"), ["train-images", "byte 0"]),
    "truncated": (lambda: broken_idx(300), ["train-images", "ends at byte 300"]),
    "empty folder": (lambda: os.mkdir("d") or "d", ["d lacks a file"]),
    "no npz": (lambda: bad("d.npz", b"PK nonsense"), ["d.npz"]),
    "no pickle": (lambda: bad("d.pkl.gz", b"\x1f\x8bnonsense"), ["d.pkl.gz"]),
    "code": (lambda: bad("d.pkl", pickle.dumps(os.system)), ["d.pkl", "system"]),
    "no parquet": (lambda: bad("d.parquet", b"PAR1"), ["d.parquet"]),
    "unknown kind": (lambda: bad("d.docx", b"text"), ["d.docx", "no known kind"]),
}


# A shell's background job ignores SIGINT, and what it starts inherits that.
RUN = """import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from xpmlp.cli import main
main()"""


def command(*arguments, stdout=subprocess.PIPE):
    return subprocess.Popen(
        [sys.executable, "-c", RUN, *arguments],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
    )
