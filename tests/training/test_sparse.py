"""Sparse X: the same results as dense X, and never dense as a whole."""

import itertools
import tracemalloc
import warnings
from dataclasses import dataclass

import numpy as np
import pytest
import scipy.sparse as sp
from conftest import relative_error
from each import each
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from xpmlp import MLPClassifier, MLPRegressor, engines
from xpmlp.arrays import location_of, namespace, to_host
from xpmlp.errors import DeviceError
from xpmlp.nn.layers import BUFFERS, Layer
from xpmlp.testing.backends import find
from xpmlp.training import rows

RNG = np.random.default_rng(0)
CSR = sp.csr_array(sp.random(103, 20, 0.2, "csr", None, RNG))
X = CSR.toarray()
Z = X @ RNG.normal(size=(20, 3))
TARGETS = {
    "binary": (MLPClassifier, (Z[:, 0] > 0) * 1),
    "multiclass": (MLPClassifier, np.argmax(Z, axis=1)),
    "multilabel": (MLPClassifier, (Z > 0) * 1),
    "regression": (MLPRegressor, Z[:, 0]),
}
WEIGHTS = RNG.integers(0, 3, size=103).astype(float)
ARGS = {"hidden_layer_sizes": (9, 5), "max_iter": 4, "random_state": 3, "batch_size": 10}


@pytest.fixture(autouse=True)
def short_chunks(monkeypatch):
    """Cut 103 rows of 20 features into chunks of three batches of 10 rows, and a shorter one."""
    monkeypatch.setattr(rows, "CHUNK", 3 * 10 * 20)


def fitted(make, X, y, sample_weight=None, *, validation=None, **changes):
    """Fit quietly: few epochs do not converge."""
    x_val, y_val = validation or (None, None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = make(**ARGS | changes)
        return model.fit(X, y, sample_weight, X_val=x_val, y_val=y_val)


@pytest.fixture(params=["compiled", "blocks", "generic"])
def numpy_engine(request, monkeypatch):
    """Let NumPy arrays be computed on by one engine after the other."""
    made = engines.generic_engine
    if request.param != "generic":
        made = engines.numpy_engine.__wrapped__
        if request.param == "blocks":
            module = "xpmlp.engines.numpy"
            monkeypatch.setattr(f"{module}.native_run", lambda step, otherwise: None)
            monkeypatch.setattr(f"{module}.native_outputs", lambda network, layout, dtype: None)
    kept = made(namespace(X))
    monkeypatch.setattr(engines, "numpy_engine", lambda xp: kept)


def assert_same(sparse, dense, tolerance=0.0):
    """The two models have the same weights and history."""
    for a, b in zip((*sparse.coefs_, *sparse.intercepts_), (*dense.coefs_, *dense.intercepts_)):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
    for name in ("loss", "validation_loss", "validation_score"):
        got, wanted = sparse.history_[name], dense.history_[name]
        np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance, err_msg=name)


@each(
    "solver, shuffle, batch_size, task",
    list(itertools.product(["adam", "sgd"], [True, False], [10, 7, 103], TARGETS)),
)
@pytest.mark.usefixtures("numpy_engine")
def test_a_sparse_fit_is_the_dense_fit_to_the_last_bit(solver, shuffle, batch_size, task):
    make, y = TARGETS[task]
    changes = {"solver": solver, "shuffle": shuffle, "batch_size": batch_size}
    models = [fitted(make, x, y, WEIGHTS, **changes) for x in (CSR, X)]
    assert_same(*models)
    got, wanted = (m.predict(x) for m, x in zip(models, (CSR, X)))
    np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-15)
    scores = [m.score(x, y, WEIGHTS) for m, x in zip(models, (CSR, X))]
    assert scores[0] == pytest.approx(scores[1], rel=1e-12)


@each("task", TARGETS)
def test_lbfgs_sums_its_objective_over_chunks(task):
    make, y = TARGETS[task]
    changes = {"solver": "lbfgs", "alpha": 0.1, "max_iter": 8}
    assert_same(*(fitted(make, x, y, WEIGHTS, **changes) for x in (CSR, X)), tolerance=1e-6)


def test_lbfgs_takes_few_rows_as_one_batch_to_the_last_bit(monkeypatch):
    monkeypatch.setattr(rows, "CHUNK", X.size)
    make, y = TARGETS["regression"]
    assert_same(*(fitted(make, x, y, solver="lbfgs") for x in (CSR, X)))


@pytest.mark.parametrize(
    "changes",
    [
        {"early_stopping": True, "validation_fraction": 0.3},
        {"validation": (CSR[:40], TARGETS["multiclass"][1][:40])},
        {"dropout": 0.3},
        {"dtype": "float32"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_validation_dropout_and_float32_are_those_of_a_dense_fit(changes):
    make, y = TARGETS["multiclass"]
    dense = dict(changes)
    if "validation" in dense:
        dense["validation"] = (X[:40], y[:40])
    models = fitted(make, CSR, y, **changes), fitted(make, X, y, **dense)
    assert_same(*models, tolerance=1e-12 if "dtype" not in changes else 0.0)


def test_partial_fit_and_warm_start_take_sparse_and_dense_rows_in_turn():
    make, y = TARGETS["multiclass"]
    models = [make(**ARGS, warm_start=True) for _ in range(2)]
    for sparse, dense in ((CSR, X), (X, X), (CSR[:50], X[:50])):
        for model, x in zip(models, (sparse, dense)):
            model.partial_fit(x, y[: x.shape[0]], classes=np.unique(y))
    assert_same(*models)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        assert_same(models[0].fit(CSR, y), models[1].fit(X, y))


@each("container", [sp.csr_matrix, sp.csc_array, sp.coo_array, sp.lil_array])
@each("dtype", [np.float64, np.float32, np.int32, bool])
def test_every_sparse_format_and_dtype_is_taken(container, dtype):
    make, y = TARGETS["multiclass"]
    x = np.ceil(X * 3).astype(dtype)
    sparse, dense = fitted(make, container(x), y), fitted(make, x, y)
    assert_same(sparse, dense)
    assert sparse.coefs_[0].dtype == (np.float32 if dtype == np.float32 else np.float64)
    for method in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        got, wanted = getattr(sparse, method)(container(x)), getattr(dense, method)(x)
        assert type(got) is np.ndarray
        np.testing.assert_allclose(got, wanted, rtol=1e-5, err_msg=method)


@pytest.mark.parametrize("library", ["array_api_strict:device1", "torch:cpu", "jax:cpu"])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_sparse_rows_are_made_dense_where_the_model_lives(library, solver):
    try:
        backend = find(library)
    except DeviceError as error:
        pytest.skip(str(error))
    make, y = TARGETS["regression"]
    y, one = Z[:, 0].astype(np.float32), CSR.astype(np.float32)
    models = []
    for x in (one, backend.asarray(one.toarray())):
        model = make(**ARGS | {"max_iter": 1}, solver=solver, warm_start=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(backend.asarray(one.toarray()), y).fit(x, y, X_val=one[:50], y_val=y[:50])
        models.append(model)
    sparse, dense = models
    assert location_of(sparse.coefs_[0]) == location_of(dense.coefs_[0])
    for a, b in zip(sparse.coefs_, dense.coefs_):
        assert relative_error(to_host(a), to_host(b)) < 1e-5
    np.testing.assert_allclose(sparse.loss_curve_, dense.loss_curve_, rtol=1e-5)
    got = sparse.predict(one)
    assert type(got) is np.ndarray
    assert relative_error(got, to_host(dense.predict(backend.asarray(one.toarray())))) < 1e-5


@pytest.mark.parametrize(("solver", "chunks"), [("adam", 1.6), ("lbfgs", 2.3)])
def test_a_wide_x_is_never_dense_as_a_whole(monkeypatch, solver, chunks):
    monkeypatch.undo()
    wide = sp.coo_array(sp.random(4000, 20000, 0.001, "coo", None, np.random.default_rng(1)))
    y = np.arange(4000) % 2
    changes = {"hidden_layer_sizes": (4,), "batch_size": 50, "max_iter": 1, "solver": solver}
    fitted(MLPClassifier, wide[:10], y[:10], **changes | {"batch_size": 5})  # imports, compiles
    tracemalloc.start()
    try:
        fitted(MLPClassifier, wide, y, validation=(wide, y), **changes).score(wide, y)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < chunks * 8 * rows.CHUNK < 0.15 * 8 * 4000 * 20000


def test_bad_sparse_x_is_refused_in_a_sentence_and_changes_nothing():
    make, y = TARGETS["multiclass"]
    model = fitted(make, CSR, y)
    before = [w.copy() for w in model.coefs_]
    bad = CSR.copy()
    bad.data[5] = np.nan
    huge = CSR.astype(np.float64) * 1e300
    for x in (bad, CSR[:, :7], CSR * 1j):
        with pytest.raises(ValueError, match=r"NaN|features|[Cc]omplex"):
            model.fit(x, y) if x.shape == CSR.shape else model.partial_fit(x, y)
        with pytest.raises(ValueError, match=r"NaN|features|[Cc]omplex"):
            model.predict(x)
    with pytest.raises(ValueError, match="too large for dtype"):
        make(**ARGS, dtype="float32").fit(huge, y)
    for a, b in zip(model.coefs_, before):
        np.testing.assert_array_equal(a, b)


def test_another_librarys_sparse_matrix_is_refused_with_what_to_pass():
    class Foreign:
        shape, ndim, dtype = (103, 20), 2, np.dtype(float)

        def tocsr(self):
            return self

    with pytest.raises(TypeError, match=r"Foreign .* pass X.get\(\)"):
        MLPRegressor().fit(Foreign(), Z[:, 0])


def test_explain_takes_a_small_sparse_x_and_refuses_a_large_one_in_a_sentence(monkeypatch):
    make, y = TARGETS["regression"]
    model = fitted(make, CSR, y)
    with pytest.raises(ValueError, match="rows of it, 30 at most"):
        model.explain(CSR, y)
    got, wanted = model.explain(CSR[:30], y[:30]), model.explain(X[:30], y[:30])
    assert str(got) == str(wanted)


def test_scikit_learns_digits_in_csr_and_csc_are_the_dense_digits():
    x, y = (a[:50] for a in load_digits(n_class=2, return_X_y=True))
    for container in (sp.csr_array, sp.csr_matrix, sp.csc_array):
        model = MLPClassifier(solver="lbfgs", hidden_layer_sizes=15, random_state=1)
        dense = model.fit(x, y).predict(x)
        np.testing.assert_array_equal(model.fit(container(x), y).predict(container(x)), dense)
        np.testing.assert_array_equal(model.predict(x), dense)


def test_a_model_that_standardises_refuses_sparse_x_in_a_sentence():
    model = fitted(MLPRegressor, X, Z[:, 0], feature_scale="standard")
    for call in (lambda: model.predict(CSR), lambda: model.fit(CSR, Z[:, 0])):
        with pytest.raises(ValueError, match="centring would make a sparse X dense"):
            call()


def test_a_plan_counts_the_rows_that_are_dense_at_a_time_and_the_dtype_of_x():
    make, y = TARGETS["regression"]
    model = make(**ARGS)
    assert model.plan(CSR.astype(np.float32), y).memory["data"] == 4 * (103 + 20 * 30) + 12 * 103
    assert model.plan(CSR, y).layers == model.plan(X, y).layers
    lbfgs = make(**ARGS | {"solver": "lbfgs"}).plan(CSR, y)
    assert lbfgs.layers[0].output == (30, 9)


@dataclass(frozen=True)
class Centred(Layer):
    """A layer that looks at all rows of a batch."""

    groups = {"mean": BUFFERS}

    def init(self, n_in, stream, x=None):
        return {"mean": np.zeros((1, n_in))}, n_in

    def forward(self, params, x, ctx):
        mean = ctx.xp.mean(x, axis=-2, keepdims=True) if ctx.training else params["mean"]
        return x - mean, (mean,)

    def backward(self, params, dy, cache, ctx):
        return dy - ctx.xp.mean(dy, axis=-2, keepdims=True), {"mean": cache[0]}


def test_a_layer_that_looks_at_all_rows_sees_them_or_is_refused_under_lbfgs():
    changes = {"hidden_layer_sizes": (6, Centred()), "batch_size": 10}
    assert_same(*(fitted(MLPRegressor, x, Z[:, 0], **changes) for x in (CSR, X)))
    with pytest.raises(ValueError, match="needs all rows at once"):
        fitted(MLPRegressor, CSR, Z[:, 0], solver="lbfgs", **changes)
    few = (fitted(MLPRegressor, x[:30], Z[:30, 0], solver="lbfgs", **changes) for x in (CSR, X))
    assert_same(*few)
