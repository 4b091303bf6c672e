"""Where a model lives, what `to` moves, and copies that are forbidden.

array_api_strict's "device1" stands for a device: what lies there is not in the host's memory.
"""

import inspect
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from conftest import find
from needs import needs
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from xpmlp import MLPClassifier, MLPRegressor, forbid_transfers, load_model, train
from xpmlp.arrays import Location, location_of, to_host
from xpmlp.errors import DeviceError, TransferError
from xpmlp.nn import Dense, Network

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
Y = np.argmax(X[:, :3], axis=1)
ARGS = {"hidden_layer_sizes": (8,), "batch_size": 16, "max_iter": 3, "random_state": 0}
DEVICE, ON_HOST = (
    Location("array_api_strict", "device1"),
    Location("array_api_strict", "CPU_DEVICE"),
)
PLACES = ["torch", "jax:cpu", "array_api_strict", "array_api_strict:device1"]
OTHER = pytest.mark.parametrize("place", PLACES)


def there(place):
    """An empty array there, or a skip that says which library is missing."""
    library = place.partition(":")[0]
    pytest.importorskip(library, reason=f"{library} is not installed")
    return find(place)


@pytest.fixture
def device1():
    return there("array_api_strict:device1")


def fitted(make=MLPClassifier, x=X, y=Y, **changes):
    return make(**ARGS | changes).fit(x, y)


def homes(est):
    """The homes of everything that has to be where the model is."""
    kept = [a for store in est.state_.carry.state.values() for a in store.values()]
    assert kept, "a rule without state would show nothing"
    return {
        location_of(a) for a in (*est.coefs_, *est.intercepts_, *est.other_params_.values(), *kept)
    }


# ---- to


@OTHER
@pytest.mark.parametrize("make", [MLPClassifier, MLPRegressor])
def test_a_moved_model_predicts_there_what_it_predicted_here(place, make):
    backend, est = there(place), fitted(make)
    method = "predict_proba" if make is MLPClassifier else "predict"
    wanted = getattr(est, method)(X)
    assert est.to(backend.like) is est
    assert homes(est) == {est.model_.location} == {location_of(backend.like)}
    assert est.device_ == location_of(backend.like).device
    got = getattr(est, method)(backend.asarray(X))
    assert location_of(got) == location_of(backend.like)
    np.testing.assert_allclose(to_host(got), wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(getattr(est.to(np.empty(0)), method)(X), wanted)


@OTHER
@pytest.mark.parametrize("changes", [{}, {"dropout": 0.2, "solver": "sgd"}])
def test_training_goes_on_where_the_model_was_moved(place, changes):
    backend, stays, goes = there(place), *(fitted(**changes) for _ in range(2))
    goes.to(backend.like)
    for _ in range(2):
        stays.partial_fit(X, Y)
        goes.partial_fit(backend.asarray(X), Y)
    np.testing.assert_allclose(goes.loss_curve_, stays.loss_curve_, rtol=1e-5)
    for est, x in ((stays, X), (goes, backend.asarray(X))):
        est.set_params(warm_start=True).fit(x, Y)
    assert homes(goes) == {location_of(backend.like)}
    for a, b in zip(goes.coefs_, stays.coefs_):
        np.testing.assert_allclose(to_host(a), b, rtol=1e-4, atol=1e-5)


def test_rows_go_to_a_model_whose_device_was_chosen_by_a_string_and_results_come_back(device1):
    strict = find("array_api_strict")
    wanted = fitted().predict_proba(X)
    asked = fitted(x=strict.asarray(X), device="device1")
    for est in (asked, fitted(x=strict.asarray(X)).to("device1")):
        assert homes(est) == {DEVICE}
        for x in (X, strict.asarray(X), device1.asarray(X)):
            got = est.predict_proba(x)
            assert location_of(got) == location_of(x)
            np.testing.assert_allclose(to_host(got), wanted, rtol=1e-5)
        assert est.partial_fit(X, Y).fit_report_["why"] == "device='device1' was asked for."
        assert homes(est) == {DEVICE}


def test_predictions_are_made_where_the_model_is_and_a_new_fit_where_device_says(device1):
    x = find("array_api_strict").asarray(X)
    est = fitted(x=x, device="device1").to("cpu")
    assert est.device == "device1"
    assert homes(est) == {ON_HOST}
    est.partial_fit(x, Y)
    assert homes(est) == {ON_HOST}
    assert homes(est.fit(x, Y)) == {DEVICE}


@pytest.mark.parametrize("name", ["torch", "array_api_strict:device1"])
def test_rows_from_elsewhere_are_refused_with_the_words_that_move_the_model(name):
    x = there(name).asarray(X)
    for est, rows, remedy in (
        (fitted(x=x), X, r"\.to\(X\)"),
        (fitted(x=x), X.tolist(), r"\.to\(numpy\.empty\(0\)\)"),
        (fitted(), x, r"\.to\(X\)"),
        (fitted().to(x), X, r"\.to\(X\)"),
    ):
        with pytest.raises(ValueError, match=f"must use the same namespace.*{remedy}"):
            est.predict(rows)
        est.to(rows if not isinstance(rows, list) else np.empty(0)).predict(rows)


def test_a_place_that_does_not_work_is_refused_and_nothing_has_changed():
    jax = there("jax:cpu").like
    double = fitted(x=X.astype(np.float64))
    cases = [
        (double, "tpu", ValueError, "device must be 'cpu', 'cuda'"),
        (double, "auto", ValueError, "device must be 'cpu', 'cuda'"),
        (double, "cuda:x", ValueError, "device must be 'cpu', 'cuda'"),
        (double, 0, TypeError, "a device's name, .* or an array"),
        (double, jax, ValueError, "'float64' is switched off"),
        (double, "cuda:77", DeviceError, "cuda:77.*the model stays on cpu: "),
        (fitted(x=there("torch").asarray(X)), "nowhere", DeviceError, "stays on cpu.*torch"),
    ]
    for est, place, kind, words in cases:
        before = dict(vars(est))
        with pytest.raises(kind, match=words):
            est.to(place)
        assert all(vars(est)[name] is value for name, value in before.items())
        assert vars(est).keys() == before.keys()


def test_a_loaded_model_moves_and_a_moved_model_is_saved(tmp_path, device1):
    est = fitted()
    est.save(tmp_path / "a.safetensors")
    moved = load_model(tmp_path / "a.safetensors").to(device1.like)
    assert {location_of(a) for a in moved.coefs_} == {DEVICE}
    moved.save(tmp_path / "b.safetensors")
    again = load_model(tmp_path / "b.safetensors")
    np.testing.assert_array_equal(again.predict_proba(X), est.predict_proba(X))


def test_a_plan_of_a_moved_model_asks_the_device_where_it_is(device1):
    est = fitted(x=device1.asarray(X), device="device1").to(np.empty(0)).set_params(device="cuda")
    assert est.plan(X, Y).fits


MOVE = """
import sys, warnings
import numpy as np
from importlib import import_module
from sklearn import config_context
from sklearn.pipeline import make_pipeline
from sklearn.utils._array_api import get_namespace_and_device, move_estimator_to
from xpmlp import MLPClassifier

warnings.simplefilter("ignore")
X = np.random.default_rng(0).normal(size=(60, 4))
y = (X[:, 0] > 0).astype(np.int64)
xp = import_module(sys.argv[1])
x = xp.asarray(X, device=xp.Device("device1") if hasattr(xp, "Device") else "cpu")
with config_context(array_api_dispatch=True):
    # A scaler's NumPy scalars do not go to torch by scikit-learn's way.
    pipe = make_pipeline("passthrough", MLPClassifier((8,), max_iter=3, random_state=0))
    wanted = pipe.fit(X, y).predict_proba(X)
    before = [a.copy() for a in pipe[-1].coefs_]
    there = move_estimator_to(pipe, *get_namespace_and_device(x)[::2])
    got = there.predict_proba(x)
    assert got.device == x.device and type(got) is type(x)
    there[-1].partial_fit(x, y)
    rule = there[-1].state_.carry.state
    arrays = [a for store in rule.values() for a in store.values()]
    assert arrays and {type(a) for a in (*arrays, *there[-1].intercepts_)} == {type(x)}
    assert [type(a) for a in pipe[-1].coefs_] == [np.ndarray] * 2
    assert all((a == b).all() for a, b in zip(before, pipe[-1].coefs_))
    host = move_estimator_to(there, np, "cpu")
    pipe[-1].partial_fit(X, y)
    np.testing.assert_allclose(host.predict_proba(X), pipe.predict_proba(X), rtol=1e-6)
    there[-1].coefs_[0][...] = 0  # the copies are their own
    np.testing.assert_allclose(host[-1].coefs_[0], pipe[-1].coefs_[0])
    assert host[-1].device_ == "cpu"
    moved = move_estimator_to(MLPClassifier((8,)), *get_namespace_and_device(x)[::2])
    assert not hasattr(moved, "coefs_") and moved.hidden_layer_sizes == (8,)
"""


@needs("sklearn", "1.9", "move_estimator_to")
@pytest.mark.parametrize("library", ["torch", "array_api_strict"])
def test_scikit_learns_move_estimator_to_moves_all_of_a_model(library):
    pytest.importorskip(library, reason=f"{library} is not installed")
    # The switch is read when SciPy is imported: a process of its own.
    done = subprocess.run(
        [sys.executable, "-c", MOVE, library],
        capture_output=True,
        text=True,
        env=os.environ | {"SCIPY_ARRAY_API": "1"},
    )
    assert done.returncode == 0, done.stderr


# ---- forbid_transfers


def test_nothing_is_forbidden_to_rows_that_are_where_the_model_is(xp):
    x, y = xp.asarray(X), xp.asarray(Y)
    with forbid_transfers():
        est = fitted(x=x, y=y).partial_fit(x, y, sample_weight=np.ones(60))
        for method in ("predict", "predict_proba", "decision_function"):
            assert location_of(getattr(est, method)(x)) == location_of(x)
        net = Network([Dense(3)])
        train(net, x, Y, loss="log_loss", max_iter=1).outputs(x)


def test_in_the_hosts_memory_rows_may_change_their_library():
    x = there("torch").asarray(X)
    with forbid_transfers():
        est = fitted(x=x, early_stopping=True).to("cpu")
        assert est.score(x, Y) == est.score(X, Y)


SIZE = 60 * 4 * 4
HIDDEN = {
    "X that device= moves": (
        lambda x: fitted(x=find("array_api_strict").asarray(X), device="device1"),
        rf"X \({SIZE} bytes\) from array_api_strict on CPU_DEVICE to array_api_strict on device1: "
        r"pass an array of .* or leave device='device1' away",
    ),
    "X that a moved model takes": (
        lambda x: fitted(x=x).to("device1").predict(X),
        rf"X \({SIZE} bytes\) from numpy on cpu to array_api_strict on device1: .*\.to\(X\)",
    ),
    "a sparse X": (
        lambda x: fitted(x=x).to("device1").predict(csr_array(X)),
        r"rows of the sparse X \(960 bytes\) from numpy .*: pass X dense, from there",
    ),
    "X_val from the host": (
        lambda x: MLPClassifier(**ARGS).fit(x, Y, X_val=X[:10], y_val=Y[:10]),
        r"X_val \(160 bytes\) from numpy .*: pass X_val from where X is",
    ),
    "what validation reads": (
        lambda x: MLPClassifier(**ARGS).fit(x, Y, X_val=x[:10, ...], y_val=Y[:10]),
        r"validation rows \(120 bytes\) .* to numpy on cpu: leave X_val and early_stopping away",
    ),
    "early_stopping": (
        lambda x: fitted(x=x, early_stopping=True),
        r"the outputs for validation rows \(\d+ bytes\)",
    ),
    "text labels": (
        lambda x: fitted(x=x, y=np.asarray(["ant", "bee", "cat"])[Y]).predict(x),
        r"the predicted labels \(\d+ bytes\) from .*: fit small numbers as labels",
    ),
    "score": (lambda x: fitted(x=x).score(x, Y), r"the predictions \(\d+ bytes\) .*: compare"),
    "score of a regressor": (
        lambda x: fitted(MLPRegressor, x=x).score(x, Y),
        r"the predictions \(240 bytes\) .*: compare",
    ),
}


@pytest.mark.parametrize(("action", "words"), HIDDEN.values(), ids=HIDDEN)
def test_a_hidden_copy_is_refused_with_its_bytes_the_line_and_the_remedy(device1, action, words):
    x, line = device1.asarray(X), inspect.getsourcelines(action)[1]
    action(x)
    with pytest.raises(TransferError, match=words) as caught, forbid_transfers():
        action(x)
    file, _, said = str(caught.value).split()[1].rpartition(":")
    inside = inspect.getsourcelines(fitted)[1] + 1  # where this file's own helper calls fit
    assert file == __file__
    assert int(said) in (line, line + 1, inside)


def test_the_line_is_the_users_where_scikit_learn_stands_between(device1):
    x = device1.asarray(X)
    pipe, here = make_pipeline("passthrough", fitted(x=x)), inspect.currentframe()
    with forbid_transfers(), pytest.raises(TransferError) as caught:
        pipe.score(x, Y)
    assert f"{__file__}:{here.f_lineno - 1} " in str(caught.value)


def test_a_refused_fit_leaves_the_model_as_it_was(device1):
    est = fitted(x=device1.asarray(X))
    before = dict(vars(est))
    with pytest.raises(TransferError), forbid_transfers():
        est.fit(device1.asarray(X), Y, X_val=X, y_val=Y)
    assert vars(est) == before


def test_only_the_block_and_its_thread_are_bound(device1):
    est, done = fitted(x=device1.asarray(X)).to("device1"), []
    with forbid_transfers():
        thread = threading.Thread(target=lambda: done.append(est.predict(X)))
        thread.start()
        thread.join()
        with forbid_transfers():
            pass
        with pytest.raises(TransferError):
            est.predict(X)
    assert len(done) == 1
    assert isinstance(est.predict(X), np.ndarray)
    assert not hasattr(clone(est), "model_")
