"""Epochs that run at once end as epochs that run one by one, to the last bit."""

import tracemalloc
import warnings
from dataclasses import dataclass, replace

import numpy as np
import pytest
from each import each
from scipy import sparse

from xpmlp import MLPRegressor, engines, nn
from xpmlp.arrays import namespace
from xpmlp.errors import DivergenceError
from xpmlp.optim import Cosine, Plateau, Schedule
from xpmlp.training import loop
from xpmlp.training.chunk import Chunks

rng = np.random.default_rng(0)
X = rng.normal(size=(50, 3))
Y = np.sin(X @ np.asarray([1.0, -2.0, 3.0]))
WEIGHTS = np.linspace(0.5, 1.0, 50)
ARGS = {"hidden_layer_sizes": (6, 5), "batch_size": 12, "max_iter": 120, "random_state": 0}
SGD = {"solver": "sgd", "learning_rate_init": 0.1}
FALLING = {**SGD, "n_iter_no_change": 2, "tol": 1e-2}


@dataclass(frozen=True)
class Exploding(Schedule):
    """Leave the finite numbers in epoch 37."""

    asked_ahead = True

    def rates(self, lr, epoch, n_batches, n_epochs):
        """Return the rate of each step of an epoch."""
        return np.full(n_batches, lr if epoch < 37 else 1e160)


ENDS = {
    "all epochs": {"tol": 0.0},
    "converged": {"tol": 1e-3},
    "converged as soon as it may": {"tol": 10.0, "n_iter_no_change": 1},
    "a rate that falls on plateaus": {**FALLING, "learning_rate": "adaptive"},
    "a rate that falls a little": {**FALLING, "learning_rate": Plateau(0.9)},
    "diverged": {**SGD, "learning_rate": Exploding()},
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


def outcome(monkeypatch, options, longest=None, x=X, prompt=1e9):
    """Return what a fit and a partial_fit leave and say, as text, and the epochs of each chunk."""
    sizes, run, said = [], Chunks.run, []

    def noted(self, state, n_epochs, pause):
        sizes.append(n_epochs)
        return run(self, state, n_epochs, pause)

    model = MLPRegressor(**ARGS | options)
    with monkeypatch.context() as patch, warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        patch.setattr(Chunks, "run", noted)
        patch.setattr(loop, "PROMPT", prompt)
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
                words, order = state.draws.place()
                said.append([[a.tolist() for a in words[1:2]], words[2], str(order)])
                said.append(replace(state, carry=None, history={}, draws=None))
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
        assert 1 < max(sizes) <= (longest or 120) or name == "diverged at once"


@pytest.mark.parametrize("x", [X, sparse.csr_array(X)], ids=["dense", "sparse"])
@pytest.mark.parametrize("name", ["converged", "diverged"])
def test_so_it_is_in_the_plain_text(name, x, monkeypatch):
    monkeypatch.setattr(engines, "numpy_engine", lambda xp: engines.generic_engine(namespace(X)))
    made = [outcome(monkeypatch, ENDS[name], longest, x)[0] for longest in (1, 16)]
    assert made[0] == made[1]


def test_no_more_epochs_run_at_once_than_the_first_ones_show_to_be_prompt(monkeypatch):
    run = Chunks.run
    slow = lambda *args: replace(run(*args), seconds=0.03)
    monkeypatch.setattr(Chunks, "run", slow)
    own = nn.ActivationFunction("own", lambda z, xp: z + 0.0, lambda da, z, a, xp: da)
    options = {"max_iter": 9, "activation": own}
    assert outcome(monkeypatch, options, prompt=0.1)[1] == [1, 3, 3, 2, 1]  # partial_fit: 1


def test_who_looks_after_each_epoch_gets_them_one_by_one(monkeypatch):
    assert {*outcome(monkeypatch, {"callbacks": lambda epoch: False})[1]} == {1}


class Own(Cosine):
    """A schedule of the user's, with rates of the epochs that come."""

    def rates(self, lr, epoch, n_batches, n_epochs):
        """Return the rate of each step of an epoch."""
        ASKED.append(epoch)
        return super().rates(lr, epoch, n_batches, n_epochs)


ASKED: list[int] = []


@each("schedule", [lambda epoch: ASKED.append(epoch) or 1.0, Own()], ids=["function", "class"])
def test_a_schedule_of_the_users_is_asked_for_the_epochs_that_come(schedule):
    ASKED.clear()
    model = MLPRegressor(**ARGS | {"tol": 10.0, "n_iter_no_change": 2, "learning_rate": schedule})
    model.fit(X, Y)
    assert ASKED == list(range(model.n_iter_))


def test_a_fit_holds_one_copy_of_what_it_changes():
    """Parameters and two slots of Adam's, twice, and what a copy of the parameters begins with."""
    x = np.random.default_rng(0).normal(size=(40, 1000))
    options = {"n_iter_no_change": 99, "batch_size": 20, "max_iter": 4}
    fit = MLPRegressor(hidden_layer_sizes=(500,), **options).fit
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit(x, x[:, 0])  # what is made once
        tracemalloc.start()
        fit(x, x[:, 0])
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 8 * 8 * 502 * 1000
