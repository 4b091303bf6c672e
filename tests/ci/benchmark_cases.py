"""Small cases of the benchmark, and their trainings by formulas."""

from importlib.util import find_spec

import pytest

from ci.benchmarks import Case

MATPLOTLIB = pytest.mark.skipif(not find_spec("matplotlib"), reason="needs matplotlib")
SMALL = {
    "logistic": Case("a", (5, 4, 3), 6, "logistic", "squared_error", "sgd", rows=6, lr=0.5),
    "softmax": Case("b", (5, 8, 6, 3), 6, "relu", "log_loss", "adam", rows=6, lr=0.01),
    "identity": Case("c", (5, 8, 1), 6, "relu", "squared_error", "adam", rows=6, lr=0.01),
}


def record(name, role, seconds, case="planar", threads=1, **more):
    about = {"kind": "steps", "case": case, "threads": threads, "name": name, "role": role}
    return about | {"seconds": seconds, "peak_goal": None} | more
