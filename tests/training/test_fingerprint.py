"""A checkpoint knows its training again: other data or options are refused by their names."""

import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from each import each

from xpmlp import Checkpoint, MLPClassifier, MLPRegressor, train
from xpmlp.errors import CheckpointError
from xpmlp.nn import Dense, Network

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 3))
Y = X @ np.asarray([1.0, -2.0, 0.5])
LABELS = np.digitize(Y, (-0.5, 0.5))
FRAME = pd.DataFrame({"a": X[:, 0], "b": np.where(X[:, 1] > 0, "x", "y"), "c": X[:, 2]})
ARGS = {"hidden_layer_sizes": (4,), "max_iter": 2, "random_state": 3}
FACTOR = 0.9
STARTS = [
    ([np.full((3, 4), w), np.full((4, 1), w)], [np.zeros(4), np.zeros(1)]) for w in (0.1, 0.2)
]
OPTIONS = {  # name: (another value, what it is told as)
    "hidden_layer_sizes": ((5,), "layer 1"),
    "activation": ("tanh", "layer 1"),
    "solver": ("sgd", "solver"),
    "beta_1": (0.5, "solver"),
    "alpha": (0.1, "alpha"),
    "batch_size": (7, "batch_size"),
    "learning_rate": ("cosine", "learning_rate"),
    "learning_rate_init": (0.1, "learning_rate_init"),
    "shuffle": (False, "shuffle"),
    "random_state": (4, "random_state"),
    "tol": (0.1, "tol"),
    "n_iter_no_change": (3, "n_iter_no_change"),
    "early_stopping": (True, "early_stopping"),
    "init": ("he_uniform", "layer 1"),
    "weight_decay": (0.1, "weight_decay"),
    "dropout": (0.1, "layer 2"),
    "normalization": ("layer", "layer 1"),
    "max_norm": (1.0, "max_norm"),
    "max_grad_norm": (1.0, "max_grad_norm"),
    "ema_decay": (0.9, "ema_decay"),
    "scoring": ("accuracy", "scoring"),
    "dtype": ("float32", "dtype"),
    "matmul_precision": ("high", "matmul_precision"),
    "feature_scale": ("standard", "feature_scale"),
    "categorical_features": ([0], "encoding of X"),
    "n_bins": (3, "encoding of X"),
    "class_weight": ("balanced", "class_weight"),
    "label_smoothing": (0.1, "label_smoothing"),
    "loss": ("focal", "loss"),
}
FREE = {
    "verbose": 0,
    "max_fun": 9,
    "warm_start": True,
    "callbacks": [lambda epoch: None],
    "device": "cpu",
}


def fit(folder, X=X, y=LABELS, *, kind=MLPClassifier, weights=None, resume=False, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = kind(**ARGS | options, checkpoint=Checkpoint(folder, every=9))
        return model.fit(X, y, sample_weight=weights, resume=resume)


@each("name", OPTIONS)
def test_another_value_of_an_option_is_refused_by_its_name(name, tmp_path):
    other, told = OPTIONS[name]
    fit(tmp_path)
    with pytest.raises(CheckpointError, match=rf"[:;] {told} (is another|was .*, got )"):
        fit(tmp_path, resume=True, **{name: other})


@each("name", FREE)
def test_an_option_that_changes_no_number_may_be_another(name, tmp_path):
    first = fit(tmp_path)
    again = fit(tmp_path, resume=True, **{name: FREE[name]})
    np.testing.assert_array_equal(again.coefs_[0], first.coefs_[0])


def test_each_option_is_tried():
    rest = "power_t momentum nesterovs_momentum beta_2 epsilon validation_fraction out_activation"
    rest += " residual accelerate deterministic checkpoint max_iter"  # of other solvers, elsewhere
    assert {*OPTIONS, *FREE, *rest.split()} == {*MLPClassifier().get_params()}


def changed(a, at, by):
    a = np.array(a)
    a[at] += by
    return a


class Falling:
    """A schedule of a user's own, without a text that tells its number."""

    def __init__(self, factor):
        self.factor = factor

    def __call__(self, epoch):
        return self.factor**epoch


DATA = {  # what is told: (before, after)
    "X": ({}, {"X": changed(X, (7, 1), 1e-12)}),
    "X was 60 x 3, got 59 x 3": ({}, {"X": X[1:], "y": LABELS[1:]}),
    "X ": ({}, {"X": X[::-1], "y": LABELS[::-1]}),
    "y": ({}, {"y": np.roll(LABELS, 1)}),
    "classes": ({}, {"y": LABELS + 1}),
    "sample_weight was not given, got 60": ({}, {"weights": np.ones(60)}),
    "sample_weight holds": (
        {"weights": np.ones(60)},
        {"weights": changed(np.ones(60), 3, 1e-9)},
    ),
    "columns": ({"X": FRAME}, {"X": FRAME.rename(columns={"a": "A"})}),
    "encoding of X": ({"X": FRAME}, {"X": FRAME.assign(b=FRAME["b"].str.replace("y", "z"))}),
    "target_scale": (
        {"kind": MLPRegressor, "target_scale": "auto", "y": Y},
        {"kind": MLPRegressor, "target_scale": "auto", "y": 2 * Y},
    ),
    "feature_scale": (
        {"feature_scale": "standard"},
        {"feature_scale": "standard", "X": 2 * X},
    ),
    "init": (
        {"kind": MLPRegressor, "y": Y, "init": STARTS[0]},
        {"kind": MLPRegressor, "y": Y, "init": STARTS[1]},
    ),
    "X holds other values": (
        {"X": scipy.sparse.csr_matrix(X)},
        {"X": scipy.sparse.csr_matrix(changed(X, (0, 0), 1.0))},
    ),
    "learning_rate was": (
        {"learning_rate": lambda epoch: 0.9**epoch},
        {"learning_rate": lambda epoch: 0.8**epoch},
    ),
    "learning_rate (was|is) ": (
        {"learning_rate": Falling(0.9)},
        {"learning_rate": Falling(0.8)},
    ),
    "learning_rate (was|is)": (
        {"learning_rate": Falling(0.9).__call__},
        {"learning_rate": Falling(0.8).__call__},
    ),
    "scoring was": (
        {"early_stopping": True, "scoring": lambda model, X, y: float(len(y))},
        {"early_stopping": True, "scoring": lambda model, X, y: -float(len(y))},
    ),
}


@each("told", DATA)
def test_other_data_are_refused_by_their_name(told, tmp_path):
    before, after = DATA[told]
    fit(tmp_path, **before)
    with pytest.raises(CheckpointError, match=rf"[:;] {told}"):
        fit(tmp_path, resume=True, **after)
    fit(tmp_path, resume=True, **before)


def test_another_model_to_go_on_with_is_refused(tmp_path):
    model = MLPClassifier(**ARGS, warm_start=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, LABELS)
        model.set_params(checkpoint=tmp_path).fit(X, LABELS)
        with pytest.raises(CheckpointError, match="the model that warm_start goes on with, holds"):
            model.fit(X, LABELS, resume=True)


def test_train_refuses_other_parameters_to_start_from(tmp_path):
    network, options = Network([Dense(1)]), {"max_iter": 2, "checkpoint": tmp_path}
    first = {0: {"W": np.ones((3, 1)), "b": np.zeros((1, 1))}}
    train(network, X, Y[:, None], params=first, **options)
    first[0]["W"][0] = 2.0
    with pytest.raises(CheckpointError, match="init"):
        train(network, X, Y[:, None], params=first, resume=True, **options)


def test_long_options_are_told_in_short(tmp_path):
    fit(tmp_path, learning_rate="cosine")
    with pytest.raises(CheckpointError) as error:
        fit(tmp_path, resume=True, loss="focal", n_bins=5, hidden_layer_sizes=(9, 9, 9))
    assert len(f"{error.value}") < 1500


SCRIPT = """
import sys
import numpy as np
from xpmlp import MLPClassifier
rng = np.random.default_rng(0)
args = {"hidden_layer_sizes": (3,), "max_iter": 3, "random_state": 0, "checkpoint": sys.argv[1]}
args["learning_rate"] = lambda epoch: 0.9 if epoch in {"a", "b", "c"} else 0.8
model = MLPClassifier(**args, scoring=lambda model, X, y: 1.0, dropout=0.1)
model.fit(rng.normal(size=(40, 2)), np.arange(40) % 2, resume=True)
"""


def test_another_process_finds_the_same_in_functions_of_the_users(tmp_path):
    for hashes in "12":
        ran = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", SCRIPT, tmp_path],
            env={"PYTHONHASHSEED": hashes, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
        )
        assert (ran.returncode, ran.stderr) == (0, "")


def test_where_an_option_is_another_what_follows_from_it_is_not_told(tmp_path):
    fit(tmp_path, early_stopping=True)
    with pytest.raises(CheckpointError) as told:
        fit(tmp_path, early_stopping=True, random_state=4, resume=True)
    assert ": random_state was 3, got 4. Fit as it was, " in str(told.value)


def test_a_number_of_the_module_that_a_function_uses_is_compared(tmp_path, monkeypatch):
    schedule = lambda epoch: FACTOR**epoch  # noqa: E731
    fit(tmp_path, learning_rate=schedule)
    monkeypatch.setattr(sys.modules[__name__], "FACTOR", 0.8)
    with pytest.raises(CheckpointError, match="learning_rate (was|is)"):
        fit(tmp_path, learning_rate=schedule, resume=True)


def test_a_function_that_holds_itself_is_refused_as_it_cannot_be_compared(tmp_path):
    def schedule(epoch):
        return 1.0 if epoch < 1 else 0.9 * schedule(epoch - 1)

    with pytest.raises(CheckpointError, match="^learning_rate cannot be compared with that of a"):
        fit(tmp_path, learning_rate=schedule)
