"""The same training on every library."""

import numpy as np
import pytest
from each import each
from parity_suites import STRICT, plant_kernel, rolled, then

from xpmlp import MLPClassifier, MLPRegressor
from xpmlp.engines import numpy as numpy_module
from xpmlp.engines.native import program
from xpmlp.engines.native.library import library
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.testing import assert_same_trajectory
from xpmlp.testing.backends import choose, find
from xpmlp.testing.parity import run_parity
from xpmlp.testing.parity.operations import activation
from xpmlp.testing.parity.trainings import trainings

pytest_plugins = ["pytester"]
with_native = pytest.mark.skipif(
    isinstance(library(), str), reason="needs the compiled engine, which a C++ compiler makes"
)


# ---- The same training everywhere


@pytest.fixture(scope="module")
def task():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 10))
    return X, np.argmax(X @ rng.normal(size=(10, 4)), axis=1)


def estimator(kind=MLPClassifier, **changes):
    options = {
        "hidden_layer_sizes": (16,),
        "dropout": 0.2,
        "batch_size": 20,
        "max_iter": 20,
        "n_iter_no_change": np.inf,
        "random_state": 0,
    }
    return kind(**options | changes)


# JAX, which compiles for seconds, in one dtype.
@pytest.mark.parametrize(
    ("xp", "dtype"), [("numpy", "float32"), ("torch", None), ("jax", "float32")], indirect=["xp"]
)
def test_200_steps_with_dropout_take_one_course_on_every_library(xp, dtype, task):
    made = assert_same_trajectory(estimator(dtype=dtype), *task, xp.name)
    names = ("initial weights", "rows of the batches", "dropout masks", "loss curve", "weights")
    assert [row.operation for row in made.rows[:5]] == [
        f"MLPClassifier, 200 steps: {name}" for name in names
    ]
    assert [row.dtype for row in made.rows[::5]] == ([dtype] if dtype else [*xp.floats])
    assert all(row.bound < 200 for row in made.rows)  # eps


@pytest.mark.parametrize(
    "est",
    [
        estimator(max_iter=2, batch_size=33),
        estimator(max_iter=2, early_stopping=True),
        estimator(MLPRegressor, max_iter=2, solver="sgd"),
    ],
    ids=["uneven batches", "early stopping", "regressor"],
)
def test_other_trainings_take_one_course_too(est, task):
    assert assert_same_trajectory(est, *task, ["numpy", STRICT]).ok


def test_text_for_labels_takes_the_same_course(task):
    X, y = task
    labels = np.asarray(["iris", "lily", "rose", "tulip"])[y]
    assert assert_same_trajectory(estimator(max_iter=2), X, labels, STRICT).ok


def test_another_course_other_masks_or_a_library_that_does_not_work_are_found(task, monkeypatch):
    import array_api_strict as xs

    est = estimator(max_iter=1, dtype="float32")
    with monkeypatch.context() as patch, pytest.raises(AssertionError, match="loss curve: .*bound"):
        patch.setattr(xs, "maximum", then(lambda x: x * 1.0001)(xs.maximum))
        assert_same_trajectory(est, *task, STRICT)
    with monkeypatch.context() as patch, pytest.raises(AssertionError, match="masks: .* differ"):
        plant_kernel(patch, "random_bits", rolled)
        assert_same_trajectory(est, *task, STRICT)
    with pytest.raises(AssertionError, match="has no float64: use float32"):
        assert_same_trajectory(estimator(dtype="float64"), *task, "array_api_strict:no_float64")
    with pytest.raises(AssertionError, match="no_such_library does not work"):
        assert_same_trajectory(est, *task, "no_such_library")


@pytest.mark.parametrize(
    ("est", "said"),
    [
        (estimator(random_state=None), "random_state=None: pass an integer"),
        (estimator(solver="lbfgs"), "solver='lbfgs' draws neither batches nor masks"),
        ("relu", "takes an estimator of xpmlp, got 'relu'"),
    ],
)
def test_what_has_no_course_to_compare_is_refused(est, said, task):
    with pytest.raises((TypeError, ValueError), match=said):
        assert_same_trajectory(est, *task)


@pytest.mark.parametrize("xp", ["jax"], indirect=True)
def test_float32_on_jax_leaves_float64_as_the_user_has_set_it(xp):
    with xp.computing_in("float64"), xp.computing_in("float32"):
        assert str(xp.xp.ones(1).dtype) == "float64"
    with xp.computing_in("float32"):
        assert str(xp.xp.ones(1).dtype) == "float32"


# ---- The plain text and the compiled engine on NumPy


def engines_of(names, monkeypatch):
    """The report on libraries, and which engine ran the fits of each."""
    ran, fit = {}, MLPClassifier.fit

    def noting(self, X, y):
        made = fit(self, X, y)
        ran.setdefault(self.accelerate, set()).add(made.fit_report_["engine"])
        return made

    monkeypatch.setattr(MLPClassifier, "fit", noting)
    operations = [*trainings(), activation(ACTIVATIONS["tanh"])]
    return run_parity(names, operations), ran


@with_native
def test_the_compiled_engine_is_a_library_beside_the_plain_text(monkeypatch):
    made, ran = engines_of(["numpy", "numpy:compiled"], monkeypatch)
    assert made.ok, str(made)
    assert ran == {"generic": {"numpy"}, "auto": {"numpy compiled"}}
    plain, compiled = (
        {row.operation for row in made.rows if row.library == name}
        for name in ("numpy", "numpy:compiled")
    )
    assert plain - compiled == {"activation tanh: forward", "activation tanh: backward"}


FAULTS = {  # by what shows them
    "loss curve": (program, "rule_fields", lambda fields: fields | {"c1": 0.11}),
    "predict_proba": (
        numpy_module,
        "native_outputs",
        lambda prepare: prepare and then(then(lambda outputs: 1.5 * outputs))(prepare),
    ),
}


@with_native
@each("result", FAULTS)
def test_a_fault_of_the_compiled_engine_alone_is_found_there(result, monkeypatch):
    module, name, change = FAULTS[result]
    monkeypatch.setattr(module, name, then(change)(getattr(module, name)))
    numpy_module.numpy_engine.cache_clear()  # of compiled runs
    try:
        made, _ = engines_of(["numpy", "numpy:compiled"], monkeypatch)
    finally:
        numpy_module.numpy_engine.cache_clear()
    assert {row.library for row in made.failures} == {"numpy:compiled"}
    assert made.failures[0].operation == f"MLPClassifier, 8 steps: {result}"


def test_without_the_compiled_engine_the_report_says_why(monkeypatch):
    monkeypatch.setattr("xpmlp.testing.backends.native_library", lambda: "no compiler was there")
    find.cache_clear()
    try:
        monkeypatch.setattr("xpmlp.testing.backends.LIBRARIES", ("numpy", "numpy:compiled"))
        assert choose()[2] == {"numpy:compiled": "no compiler was there"}
        asked = run_parity("numpy:compiled", [activation(ACTIVATIONS["tanh"])])
        assert asked.failures[0].problem == "no compiler was there"
    finally:
        find.cache_clear()
