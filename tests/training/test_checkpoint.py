"""Checkpoints: a training that was killed goes on to the very end that it would have had."""

import warnings
from contextlib import contextmanager

import numpy as np
import pytest
from each import each

from xpmlp import Checkpoint, MLPClassifier, MLPRegressor
from xpmlp.arrays import to_host
from xpmlp.training import chunk
from xpmlp.training.checkpoint import Keeper

rng = np.random.default_rng(0)
X = rng.normal(size=(210, 4))
Y = np.sin(X @ np.asarray([1.0, -2.0, 0.5, 3.0]))
LABELS = np.digitize(Y, (-0.5, 0.5))
WEIGHTS = np.linspace(0.5, 1.5, 210)
ARGS = {"hidden_layer_sizes": (9, 7), "batch_size": 32, "max_iter": 25, "random_state": 3}
SGD = {"solver": "sgd", "learning_rate_init": 0.05}
FALLING = {**SGD, "n_iter_no_change": 2, "tol": 1e-2}
TRAININGS = {
    "adam": {},
    "sgd with momentum": {**SGD, "momentum": 0.8},
    "a rate that falls on plateaus": {**FALLING, "learning_rate": "adaptive"},
    "plateau": {**FALLING, "solver": "adamw", "learning_rate": "plateau"},
    "cosine": {"learning_rate": "cosine"},
    "invscaling": {**SGD, "learning_rate": "invscaling"},
    "dropout": {"dropout": 0.3},
    "batch normalization": {"normalization": "batch"},
    "a moving average": {"ema_decay": 0.9, "weight_decay": 0.1},
    "early stopping": {"early_stopping": True, "n_iter_no_change": 4, "tol": 1e-3},
    "converging": {"tol": 1e-2, "n_iter_no_change": 3},
    "rows in order": {"shuffle": False},
    "a seed that is drawn": {"random_state": None},
    "in plain text": {"accelerate": "generic"},
}  # fmt: skip


class Killed(BaseException):
    """What ends a training as a kill would: nothing of it is heeded."""


@contextmanager
def killed(at):
    """Let the training in this block end once it has written so many checkpoints."""
    write, written = Keeper.write, []

    def then_die(self, *args):
        write(self, *args)
        written.append(self.number)
        if len(written) == at:
            raise Killed

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Keeper, "write", then_die)
        yield


def fit(folder, options, *, resume=False, every=1):
    kind, y = MLPRegressor, Y
    if options.get("early_stopping"):
        kind, y = MLPClassifier, LABELS
    model = kind(**ARGS | options, checkpoint=folder and Checkpoint(folder, every=every))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(X, y, sample_weight=WEIGHTS, resume=resume)


def assert_same(a, b):
    for p, q in zip((*a.coefs_, *a.intercepts_), (*b.coefs_, *b.intercepts_), strict=True):
        np.testing.assert_array_equal(to_host(p), to_host(q))
    for name in ("loss", "validation_score", "learning_rate"):
        np.testing.assert_array_equal(a.history_[name], b.history_[name])
    assert (a.n_iter_, a.best_epoch_, a.t_) == (b.n_iter_, b.best_epoch_, b.t_)


@each("name", TRAININGS)
def test_a_killed_training_goes_on_to_the_same_end(name, tmp_path, monkeypatch):
    options = dict(TRAININGS[name])
    for at in (1, 2, 5):  # the last one may be that of the end
        folder = tmp_path / f"{at}"
        with killed(at):
            fit(folder, options)
        resumed = fit(folder, options, resume=True)
        if options.get("random_state", 0) is None:
            options = options | {"random_state": resumed.seed_}
        whole = fit(None, options)
        assert_same(resumed, whole)
        options = dict(TRAININGS[name])


@each("name", TRAININGS)
def test_so_does_one_that_was_killed_within_an_epoch(name, tmp_path, monkeypatch):
    monkeypatch.setattr(chunk, "PART", 2 * (chunk.STEP + 6 * 200 * 32))  # some two steps
    monkeypatch.setattr(chunk, "PART_SECONDS", 0.0)  # then one by one
    monkeypatch.setattr(chunk, "CHUNK", 0.0)  # not several epochs at once
    options = TRAININGS[name] | {"random_state": 3}
    whole = fit(None, options)
    for at in (1, 4, 7, 23):
        folder = tmp_path / f"{at}"
        with killed(at):
            fit(folder, options, every="0.0001s")
        assert_same(fit(folder, options, resume=True, every="0.0001s"), whole)
