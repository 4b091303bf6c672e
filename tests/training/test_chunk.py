"""Epochs that run at once end as epochs that run one by one, to the last bit."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from each import each
from scipy import sparse

from xpmlp import MLPRegressor, engines
from xpmlp.arrays import namespace
from xpmlp.errors import DivergenceError
from xpmlp.optim import Plateau
from xpmlp.training.chunk import Chunks

rng = np.random.default_rng(0)
X = rng.normal(size=(50, 3))
Y = np.sin(X @ np.asarray([1.0, -2.0, 3.0]))
WEIGHTS = np.linspace(0.5, 1.0, 50)
ARGS = {"hidden_layer_sizes": (6, 5), "batch_size": 12, "max_iter": 120, "random_state": 0}
SGD = {"solver": "sgd", "learning_rate_init": 0.1}
FALLING = {**SGD, "n_iter_no_change": 2, "tol": 1e-2}
explode = lambda epoch: 1.0 if epoch < 37 else 1e160
ENDS = {
    "all epochs": {"tol": 0.0},
    "converged": {"tol": 1e-3},
    "converged as soon as it may": {"tol": 10.0, "n_iter_no_change": 1},
    "a rate that falls on plateaus": {**FALLING, "learning_rate": "adaptive"},
    "a rate that falls a little": {**FALLING, "learning_rate": Plateau(0.9)},
    "diverged": {**SGD, "learning_rate": explode},
    "diverged at once": {**SGD, "learning_rate_init": 1e160},
    "diverged, again at lower rates": {
        **SGD, "learning_rate": "plateau", "learning_rate_init": 1e4, "tol": 0.0,
    },
    "a rate that falls with the samples": {**SGD, "learning_rate": "invscaling"},
    "the schedule's end": {**SGD, "learning_rate": "cosine"},
    "dropout": {"dropout": 0.3},
    "batch normalization": {"normalization": "batch"},
    "a moving average": {"ema_decay": 0.9, "weight_decay": 0.1},
    "rows in order": {"shuffle": False},
}  # fmt: skip


def outcome(monkeypatch, options, longest=None, x=X):
    """Return what a fit and a partial_fit leave and say, as text, and the epochs of each chunk."""
    sizes, run, said = [], Chunks.run, []

    def noted(self, state, n_epochs):
        sizes.append(n_epochs)
        return run(self, state, n_epochs)

    model = MLPRegressor(**ARGS | options)
    with monkeypatch.context() as patch, warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        patch.setattr(Chunks, "run", noted)
        if longest is not None:
            patch.setattr(Chunks, "longest", lambda self: longest)
        for fit in (model.fit, model.partial_fit):
            try:
                with np.errstate(all="ignore"):
                    fit(x, Y, WEIGHTS)
            except DivergenceError as error:
                said.append(error)
            if hasattr(model, "coefs_"):
                state = model.result_.state
                arrays = [*model.coefs_, *model.intercepts_]
                arrays += [a for slot in state.carry.state.values() for a in slot.values()]
                said.append([a.tobytes() for a in arrays])
                said.append({k: a for k, a in state.history.items() if k != "seconds"})
                said.append(replace(state, carry=None, history={}))
            model.set_params(learning_rate="constant", learning_rate_init=1e-3)
    said += [one.message for one in told if "overflow" not in str(one.message)]
    return "\n".join(map(repr, said)), sizes


@each("name", ENDS)
def test_every_end_is_that_of_epochs_one_by_one(name, monkeypatch):
    one_by_one, sizes = outcome(monkeypatch, ENDS[name], longest=1)
    assert {*sizes} == {1}
    for longest in (None, 7):
        at_once, sizes = outcome(monkeypatch, ENDS[name], longest)
        assert at_once == one_by_one, longest
        assert sizes[0] == longest or 30 < sizes[0] < 120


@pytest.mark.parametrize("x", [X, sparse.csr_array(X)], ids=["dense", "sparse"])
@pytest.mark.parametrize("name", ["converged", "diverged"])
def test_so_it_is_in_the_plain_text(name, x, monkeypatch):
    monkeypatch.setattr(engines, "numpy_engine", lambda xp: engines.generic_engine(namespace(X)))
    made = [outcome(monkeypatch, ENDS[name], longest, x)[0] for longest in (1, 16)]
    assert made[0] == made[1]


def test_epochs_that_take_longer_than_they_should_run_one_by_one(monkeypatch):
    run = Chunks.run
    slow = lambda *args: replace(run(*args), seconds=0.06)
    monkeypatch.setattr(Chunks, "run", slow)
    assert outcome(monkeypatch, {"max_iter": 42})[1] == [39, 1, 1, 1, 1]  # and one of partial_fit


def test_who_looks_after_each_epoch_gets_them_one_by_one(monkeypatch):
    assert {*outcome(monkeypatch, {"callbacks": lambda epoch: False})[1]} == {1}
