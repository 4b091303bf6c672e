"""Small data sets, and estimators that train on them in a moment."""

import numpy as np

from xpmlp import MLPClassifier

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
LABELS = (X[:, 0] + X[:, 1] > 0).astype(int)
THREE = np.digitize(X[:, 0], [-0.5, 0.5])
VALUES = X @ [1.0, -2.0, 0.5, 0.0] + 0.3


def fast(kind=MLPClassifier, **kw):
    kw = {"hidden_layer_sizes": (8,), "max_iter": 5, "random_state": 0, "batch_size": 16} | kw
    return kind(**kw)
