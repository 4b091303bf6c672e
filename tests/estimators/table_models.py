"""A raw table, and small models of it."""

import numpy as np
import pandas as pd

from xpmlp import MLPClassifier, MLPRegressor

RNG, N = np.random.default_rng(0), 300
CODES = np.asarray([f"z{i:02d}" for i in range(70)], object)
TABLE = pd.DataFrame(
    {
        "age": RNG.normal(40, 10, N),
        "city": RNG.choice(np.asarray(["Rome", "Oslo", None], object), N),
        "zip": np.r_[CODES, CODES, RNG.choice(CODES, N - 140)],
        "when": np.datetime64("2020-01-01", "us") + RNG.integers(0, 900, N).astype("m8[D]"),
        "member": RNG.random(N) < 0.5,
    }
)
TABLE.loc[3, "age"] = np.nan
EFFECT = RNG.normal(size=70)
SCORE = EFFECT[[int(text[1:]) for text in TABLE["zip"]]] + (TABLE["city"] == "Rome")
LABELS = np.where(SCORE > np.median(SCORE), "yes", "no")
FLOATS = RNG.normal(size=(N, 3))
SMALL = {"hidden_layer_sizes": (8,), "max_iter": 3, "random_state": 0, "batch_size": 50}


def classifier(X=TABLE, y=LABELS, **arguments):
    return MLPClassifier(**SMALL | arguments).fit(X, y)


def regressor(X=TABLE, y=SCORE, **arguments):
    return MLPRegressor(**SMALL | arguments).fit(X, y)
