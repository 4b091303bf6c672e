"""What users pass as X, y, weights and options: what is refused, what is accepted, and warnings.

The rows of reference/reliability.md, section 5, for both estimators and `train`. A refusal is one
ValueError or TypeError; what is accepted predicts finite numbers; neither warns before.
"""

import warnings
from collections.abc import Callable

import numpy as np
from scipy import sparse

from xpmlp import MLPClassifier, MLPRegressor, nn, train

from . import Figures

N = 24
X = np.random.default_rng(0).normal(size=(N, 3))
Y, LABELS = X[:, 0], np.arange(N) % 2
NETWORK = nn.Network([nn.Dense(1)])
ARGS = {"max_iter": 2, "random_state": 0}
MISSING = [np.nan, np.inf, -np.inf, None]


def run() -> Figures:
    """Pass everything in every place; return the figures."""
    figures = Figures()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that two epochs are few, that y is a column
        warnings.simplefilter("error", RuntimeWarning)
        for places in (
            _estimator_places(MLPClassifier, LABELS),
            _estimator_places(MLPRegressor, Y),
            _train_places(),
        ):
            for what, calls in places.items():
                for place, call in calls.items():
                    _try_all(figures, what, place, call)
    return figures


def _try_all(figures: Figures, what: str, place: str, call: Callable):
    """Call with everything that stands for X, y, weights or options, and count what came of it."""
    bad, good = TABLES[what]
    if what == "X" and "train" not in place:
        good = good | ROWS_OF_ESTIMATORS
    for name, value in bad.items():
        _try(figures, f"{place}: {name}", call, value, refused=True)
    for name, value in good.items():
        _try(figures, f"{place}: {name}", call, value, refused=False)


def _try(figures: Figures, name: str, call: Callable, value, *, refused: bool):
    """Call with a value, and count what came of it."""
    figures.tried += 1
    try:
        call(value)
    except (ValueError, TypeError) as error:
        figures.refused += 1
        if not refused:
            figures.wrong += 1
            figures.notes.append(f"{name} was refused: {error}")
    except Exception as error:
        figures.crashed += 1
        figures.notes.append(f"{name} ended in {type(error).__name__}: {error}")
    else:
        if refused:
            figures.wrong += 1
            figures.notes.append(f"{name} was accepted")


def _with(a, number):
    """Return an array with a number in its fourth place, in the dtype that holds it."""
    made = np.asarray(a).astype(np.result_type(np.asarray(a), np.asarray(number)))
    made.flat[3] = number
    return made


def _objects(a, value):
    """Return an array as objects, with a value in its fourth place."""
    made = np.asarray(a).astype(object)
    made.flat[3] = value
    return made


def _hidden(a):
    """Return a masked array whose fourth element is hidden."""
    return np.ma.array(a, mask=np.arange(np.size(a)).reshape(np.shape(a)) == 3)


def _like(kind):
    """Return (array) -> what has its shape and a kind of values."""
    return lambda a: np.arange(np.size(a)).reshape(np.shape(a)).astype(kind)


KINDS: dict[str, Callable] = {  # of no numbers and no labels
    "a mask": _hidden,
    "rows of masks": lambda a: list(_hidden(a)),
    "dates": _like("datetime64[D]"),
    "durations": _like("timedelta64[s]"),
    "complex numbers": _like(complex),
    "records": lambda a: np.zeros(np.shape(a), [("a", float), ("b", int)]),
    "nothing": lambda a: np.asarray(a)[:0],
    "one number": lambda a: np.asarray(1.0),
    "too few": lambda a: np.asarray(a)[:5],
    "a function": lambda a: len,
    "lists of several lengths": lambda a: [[1.0], [2.0, 3.0]],
    **{f"{value} in it": lambda a, value=value: _objects(a, value) for value in MISSING},
    "a longdouble of 1e4000": lambda a: _with(np.asarray(a, float), np.longdouble("1e4000")),
}
BAD_ROWS = {name: kind(X) for name, kind in KINDS.items()} | {
    "one axis": X[:, 0],
    "three axes": X[:, :, None],
    "no columns": X[:, :0],
    "np.matrix": X.view(np.matrix),
    "10**400": _objects(X, 10**400),
    "text": _objects(X, "red"),
    "text of numbers": X.astype(str),  # read in tables, where columns have names
}
GOOD_ROWS = {
    "column order": np.asfortranarray(X),
    "every other row of more": np.repeat(X, 2, axis=0)[::2],
    "big-endian": X.astype(">f8"),
    "float16": X.astype(np.float16),
    "longdouble": X.astype(np.longdouble),
    "whole numbers": (10 * X).astype(np.int8),
    "booleans": X > 0,
    "subnormal numbers": _with(X, 5e-324),
}
ROWS_OF_ESTIMATORS = {  # `train` takes arrays of numbers alone
    "lists": X.tolist(),
    "objects": X.astype(object),
    **{f"sparse {name}": getattr(sparse, f"{name}_array")(X) for name in ("csr", "csc", "coo")},
}
BAD_TARGETS = {name: kind(Y) for name, kind in KINDS.items()} | {
    "nothing at all": None,
    "three axes": np.zeros((N, 1, 1)),
    "a text among numbers": _objects(Y, "red"),
    "10**400": _objects(Y, 10**400),
}
GOOD_TARGETS = {
    "booleans": LABELS > 0,
    "a column": LABELS[:, None],
    "objects": LABELS.astype(object),
    "a list": LABELS[:, None].tolist(),
    "one value": np.zeros(N),
    "float16": LABELS.astype(np.float16),
}
WEIGHTS = np.ones(N)
BAD_WEIGHTS = {name: kind(WEIGHTS) for name, kind in KINDS.items()} | {
    "below 0": _with(WEIGHTS, -1.0),
    "all 0": 0.0 * WEIGHTS,
    "all subnormal": np.full(N, 5e-324),
    "a sum past floats": np.full(N, 1.7e308),
    "text": WEIGHTS.astype(str).tolist(),
}
GOOD_WEIGHTS = {
    "whole numbers": np.arange(N),
    "booleans": LABELS > 0,
    "one subnormal": _with(WEIGHTS, 5e-324),
    "objects": WEIGHTS.astype(object),
    "all but one 0": np.eye(N)[0],
}
BAD_OPTIONS = [
    {"alpha": -1.0}, {"alpha": np.nan}, {"alpha": 10**400}, {"alpha": "1"}, {"tol": np.inf},
    {"learning_rate_init": 0.0 - 1.0}, {"learning_rate_init": np.longdouble("1e4000")},
    {"weight_decay": 1j}, {"batch_size": 0}, {"solver": "sdg"}, {"loss": "none"},
    {"learning_rate_init": 1e10, "solver": "sgd"}, {"learning_rate_init": 1e200},
]  # fmt: skip
GOOD_OPTIONS = [
    {"alpha": np.float16(0.5)}, {"alpha": 1}, {"tol": 0}, {"tol": np.longdouble("1e-4000")},
    {"learning_rate_init": np.float32(1e-3)}, {"batch_size": N}, {"solver": "lbfgs"},
]  # fmt: skip
BAD_OPTIONS, GOOD_OPTIONS = (
    {str(row): row for row in rows} for rows in (BAD_OPTIONS, GOOD_OPTIONS)
)


TABLES = {  # what is refused, what is accepted
    "X": (BAD_ROWS, GOOD_ROWS),
    "y": (BAD_TARGETS, GOOD_TARGETS),
    "weights": (BAD_WEIGHTS, GOOD_WEIGHTS),
    "options": (BAD_OPTIONS, GOOD_OPTIONS),
}


def _estimator_places(kind, y):
    """Return the calls of an estimator, by what they are given."""
    new = lambda **options: kind(hidden_layer_sizes=(3,), **ARGS | options)
    fitted, name = new().fit(X, y), kind.__name__

    def finite(model, x=X):
        assert np.isfinite(model.predict(x)).all(), "predictions are not finite"

    return {
        "X": {
            f"X of {name}.fit": lambda v: finite(new().fit(v, y), v),
            f"X of {name}.partial_fit": lambda v: new().fit(X, y).partial_fit(v, y),
            f"X of {name}.score": lambda v: fitted.score(v, y),
            f"X_val of {name}": lambda v: new().fit(X, y, X_val=v, y_val=y),
        },
        "y": {
            f"y of {name}.fit": lambda v: finite(new().fit(X, v)),
            f"y of {name}.partial_fit": lambda v: new().fit(X, y).partial_fit(X, v),
            f"y of {name}.score": lambda v: fitted.score(X, v),
            f"y_val of {name}": lambda v: new().fit(X, y, X_val=X, y_val=v),
        },
        "weights": {
            f"sample_weight of {name}.fit": lambda v: finite(new().fit(X, y, v)),
            f"sample_weight of {name}.score": lambda v: fitted.score(X, y, v),
            f"sample_weight_val of {name}": lambda v: new().fit(
                X, y, X_val=X, y_val=y, sample_weight_val=v
            ),
        },
        "options": {f"arguments of {name}": lambda v: finite(new(**v).fit(X, y))},
    }


def _train_places():
    """Return the calls of `train`."""
    column = lambda v: v[:, None] if isinstance(v, np.ndarray) and v.ndim == 1 else v

    def of(x=X, y=Y, **options):
        options = {"max_iter": 2} | options
        outputs = train(NETWORK, x, column(y), **options).outputs(X)
        assert np.isfinite(outputs).all(), "outputs are not finite"

    return {
        "X": {"X of train": lambda v: of(x=v)},
        "y": {"y of train": lambda v: of(y=v)},
        "weights": {"sample_weight of train": lambda v: of(sample_weight=v)},
        "options": {"arguments of train": lambda v: of(**v)},
    }
