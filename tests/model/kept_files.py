"""Model files that stay: `python tests/model/kept_files.py` writes those of this version.

For each kind a file, and beside it as JSON its rows and predictions. Those of a released version
are never written again: every later version has to read them.
"""

import json
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd

import xpmlp
from xpmlp import MLPClassifier, MLPRegressor, nn

FILES = Path(__file__).parent / "files"
RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3)).round(3)
SHORT = {"random_state": 0, "max_iter": 20, "learning_rate_init": 0.01}


def frame(columns):
    """A table from columns of JSON, whose dates are text."""
    made = pd.DataFrame(columns)
    return made.assign(joined=pd.to_datetime(made["joined"]))


def people():
    """Columns of each kind, with missing values, as JSON has them."""
    return {
        "age": [None, *X[1:, 0]],
        "city": [None, "Genoa", "Oslo", "Kyōto"] * 10,
        "remote": [True, False] * 20,
        "joined": [None, *(f"20{day % 7 + 10}-0{day % 9 + 1}-15" for day in range(39))],
    }


def table():
    """A classifier of rows of a table, whose labels are text."""
    y = np.where(X[:, 0] + (np.arange(40) % 4 == 1) > 0, "over 50k", "up to 50k")
    how = {"hidden_layer_sizes": (8, 4), "early_stopping": True, "dropout": 0.1, "n_bins": 3}
    return MLPClassifier(**SHORT | how, normalization="batch").fit(frame(people()), y), people()


def multilabel():
    how = {"solver": "sgd", "learning_rate": "adaptive", "residual": True}
    return MLPClassifier((4, 4), "tanh", **SHORT | how).fit(X, (X > 0).astype(int)), X


def whole_numbers():
    """A classifier of float32 rows, standardised, whose labels are whole numbers."""
    y = np.digitize(X[:, 0], [-0.5, 0.5]) + 3
    how = {"feature_scale": "standard", "class_weight": "balanced", "ema_decay": 0.9}
    return MLPClassifier((5,), **SHORT | how).fit(X.astype("float32"), y), X.astype("float32")


def outputs():
    """A regressor of two numbers, whose targets are standardised."""
    y = 100 + 10 * X[:, :2]
    how = {"hidden_layer_sizes": (6,), "target_scale": "auto", "solver": "lbfgs"}
    return MLPRegressor(**SHORT | how).fit(X, y), X


def quantiles():
    how = {"loss": "quantile", "quantiles": (0.1, 0.5, 0.9), "hidden_layer_sizes": (6,)}
    return MLPRegressor(**SHORT | how).fit(X, X[:, 0] ** 2), X


def layers():
    """A regressor of counts, of layers in layers."""
    block = nn.Network([nn.Dense(4, "gelu"), nn.Dropout(0.25), nn.Dense(4, use_bias=False)])
    sizes = [nn.Residual([block]), nn.LayerNorm(), nn.Activation("elu"), 3]
    how = {"loss": "poisson", "hidden_layer_sizes": [nn.Dense(4), *sizes]}
    return MLPRegressor(**SHORT | how).fit(X, np.exp(X[:, 0])), X


def model():
    """A fitted model without its estimator."""
    estimator, rows = whole_numbers()
    return estimator.model_, rows


KINDS = table, multilabel, whole_numbers, outputs, quantiles, layers, model


def rows_of(kept):
    """The rows of a kept file, from its JSON."""
    if isinstance(kept["rows"], dict):
        return frame(kept["rows"])
    return np.asarray(kept["rows"], kept["dtype"])


def predictions(fitted, rows):
    """Name -> what a model or an estimator predicts for rows, as JSON has it."""
    found = {"predict": fitted.predict(rows).tolist()}
    with suppress(AttributeError):  # of a regression
        found["predict_proba"] = np.asarray(fitted.predict_proba(rows)).tolist()
    if getattr(fitted, "quantiles", None):
        found["quantiles"] = fitted.predict(rows, quantiles=fitted.quantiles).tolist()
    return found


def write(folder):
    """Write a file of each kind, and its rows and predictions."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind in KINDS:
        fitted, rows = kind()
        fitted.save(folder / f"{kind.__name__}.safetensors")
        kept = {"rows": rows, "dtype": None}
        if isinstance(rows, np.ndarray):
            kept = {"rows": rows.tolist(), "dtype": str(rows.dtype)}
        kept["predictions"] = predictions(fitted, rows_of(kept))
        text = json.dumps(kept, allow_nan=False, ensure_ascii=False)
        (folder / f"{kind.__name__}.json").write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    write(FILES / xpmlp.__version__)
    print(f"Written: {FILES / xpmlp.__version__}; never again once that version is released.")
