"""Models, and what is in their files."""

from dataclasses import fields, is_dataclass

import numpy as np

from xpmlp import MLPClassifier, MLPRegressor, load_model, nn

X = np.random.default_rng(0).normal(size=(60, 3))
SIGN = X[:, 0] > 0


BLOCK = nn.Network([nn.Dense(4, "tanh"), nn.Network([nn.Dropout(0.5), nn.Dense(2)])])
SMALL = {"hidden_layer_sizes": (4,), "max_iter": 2, "random_state": 0}


def classifier(y, X=X, **arguments):
    return MLPClassifier(**SMALL | arguments).fit(X, y)


def regressor(y=X[:, 0] + X[:, 1], X=X, **arguments):
    return MLPRegressor(**SMALL | arguments).fit(X, y)


def saved(model, path):
    model.save(path)
    return load_model(path)


def assert_same(a, b, name):
    """Equal in value and type, through lists and dicts."""
    assert type(a) is type(b), name
    if isinstance(a, list | tuple):
        assert len(a) == len(b), name
        for x, y in zip(a, b):
            assert_same(x, y, name)
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), name
        for key in a:
            assert_same(a[key], b[key], f"{name}[{key!r}]")
    elif is_dataclass(a) and not a.__dataclass_params__.eq:  # a model and its records
        for field in fields(a):
            if field.name not in ("layout", "weights", "smoothing", "coded"):  # of the next fit
                assert_same(getattr(a, field.name), getattr(b, field.name), field.name)
    elif isinstance(a, np.ndarray):
        np.testing.assert_array_equal(a, b, strict=True)
    else:
        assert a == b or a != a, name
