"""What the tests of the command line share: rows, files of them, the form of an error."""

import csv

import numpy as np


def is_one_sentence(err):
    """The last line is the error, and before it stands at most click's usage."""
    *usage, last = err.splitlines()
    assert last.startswith("Error: ") and len(last) > 20 and "Traceback" not in err
    assert usage == [] or usage[0].startswith("Usage: ")
    return True


def rows(n=60, target=lambda a, b: a + 2 * b):
    return [(a, b, target(a, b)) for a, b in np.random.default_rng(0).normal(size=(n, 2)).tolist()]


def write_csv(name, rows, head=("a", "b", "y")):
    with open(name, "w", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    return name
