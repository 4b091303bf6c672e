"""What a training takes (`plan`)."""

import tracemalloc
import warnings
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from small_networks import EVERYTHING, LARGE, NETWORK, data

import xpmlp
from xpmlp import MLPClassifier, MLPRegressor, engines, nn
from xpmlp.arrays import free_memory, location_of
from xpmlp.engines import numpy as numpy_engine

# The plan.


def test_a_plan_counts_what_the_network_has():
    plan = xpmlp.plan(EVERYTHING, data(100, 3), batch_size=10)
    params, _ = EVERYTHING.init(3, np.random.default_rng(0))
    sizes = [a.size for _, _, a in nn.layout.walk(EVERYTHING, params)]
    assert sum(layer.parameters for layer in plan.layers) == sum(sizes)
    assert plan.memory["parameters"] == 8 * sum(sizes)
    assert [layer.output for layer in plan.layers][-1] == (10, 2)
    first, second = xpmlp.plan(NETWORK, data(100), batch_size=10).layers
    assert (first.forward, first.total) == (2 * 10 * 2 * 4, 2 * 2 * 10 * 2 * 4)  # dW, no dX
    assert (second.forward, second.total) == (2 * 10 * 4 * 3, 3 * 2 * 10 * 4 * 3)


def test_a_plan_writes_shapes_as_samples_stand():
    x, y = data(100), data(100, 1)[:, 0]
    regressor = MLPRegressor(hidden_layer_sizes=(4,))
    plans = [xpmlp.plan(NETWORK, x, orientation="columns")]
    plans += [regressor.plan(x, y, orientation="columns")]
    assert [plan.layers[0].output for plan in plans] == [(4, 100), (4, 100)]
    assert "(4,100)" in str(plans[0])
    with pytest.raises(ValueError, match="orientation must be one of rows, columns"):
        xpmlp.plan(NETWORK, x, orientation="up")


@pytest.mark.parametrize(
    ("sizes", "batch_size", "solver"),
    [((300, 300), 50, "adam"), ((64, 64), 1000, "sgd"), ((800,), 100, "rmsprop")],
)
def test_a_plan_foretells_the_memory_that_a_fit_takes(sizes, batch_size, solver, monkeypatch):
    # What compiled code allocates, tracemalloc does not see.
    plainly = numpy_engine.numpy_engine.__wrapped__
    monkeypatch.setattr(numpy_engine, "native_run", lambda step, otherwise: None)
    monkeypatch.setattr(engines, "numpy_engine", cache(plainly))
    x, y = data(1000, 30), data(1000, 1)[:, 0]
    reg = MLPRegressor(
        hidden_layer_sizes=sizes, solver=solver, batch_size=batch_size, max_iter=1, random_state=0
    )
    planned = reg.plan(x, y).total
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reg.fit(x, y)  # what is imported on the way does not count
        tracemalloc.start()
        reg.fit(x, y)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    # A plan counts the plain step's gradients, three copies; the NumPy engine has one, or a tile.
    assert 0.6 * peak < planned < 2.0 * peak, (planned, peak)


def test_a_plan_of_terabytes_takes_no_memory_and_says_by_how_much_it_does_not_fit():
    x = np.broadcast_to(np.float32(0), (10**9, 784))
    network = nn.Network([nn.Dense(10**6, "relu"), nn.Dense(10**6), nn.Dense(10)])
    tracemalloc.start()
    plan = xpmlp.plan(network, x)
    assert tracemalloc.get_traced_memory()[1] < 1e6
    tracemalloc.stop()
    assert plan.memory["parameters"] > 4e12 and plan.fits is False
    assert "does not fit by" in str(plan)
    assert xpmlp.plan(NETWORK, data()).fits and "free: fits." in str(xpmlp.plan(NETWORK, data()))


def test_data_that_are_on_the_device_already_are_not_counted_again():
    x = data(1000, 50)
    own = xpmlp.plan(NETWORK, x).memory["data"]
    moved = xpmlp.plan(NETWORK, x, dtype="float32").memory["data"]
    assert moved - own > 1000 * 50 * 4 - 1000 * 3 * 4 - 1


def test_of_a_sparse_x_the_rows_that_are_dense_at_once_are_counted():
    sparse, there = csr_matrix((100_000, 1000)), np.broadcast_to(0.0, (100_000, 1000))
    found, without = (xpmlp.plan(LARGE, x).memory["data"] for x in (sparse, there))
    assert found - without == pytest.approx(32 * 2**20, rel=0.01)


def test_every_device_says_what_is_free_or_that_it_does_not_know(xp):
    free = free_memory(xp.asarray(np.ones(3, "float32")))
    assert free is None or 0 < free < 2**50
    x = xp.asarray(np.ones((6, 2), "float32"))
    plan = xpmlp.plan(NETWORK, x)
    assert location_of(x).library in plan.title and (plan.free is None or plan.free > 0)
    silent = replace(plan, free=None)
    assert silent.fits is None and "does not say what is free" in str(silent)


@pytest.mark.parametrize("labels", [2, 3, "multilabel", "text"])
def test_an_estimators_plan_is_of_the_network_that_fit_makes(labels):
    x = data()
    y = {"multilabel": np.eye(3, dtype=int)[np.arange(40) % 3], "text": list("abcd") * 10}
    y = y.get(labels, np.arange(40) % labels if isinstance(labels, int) else None)
    clf = MLPClassifier((4,), max_iter=1, random_state=0)
    before = set(vars(clf))
    plan = clf.plan(x, y)
    assert set(vars(clf)) == before
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        clf.fit(x, y)
    assert plan.layers == clf.plan(x).layers
    assert plan.layers[-1].output == (40, clf.n_outputs_)
    assert sum(c.parameters for c in plan.layers) == sum(
        a.size for a in (*clf.coefs_, *clf.intercepts_)
    )
