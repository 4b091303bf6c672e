"""Moves and copies on stand-in CuPy arrays, with scikit-learn's array API switched on.

test_cupy_standin.py runs this file in its own process.
"""

import warnings

import numpy as np
import pytest
from cupy_standin import install, recording

cupy = install()

from sklearn import config_context  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from sklearn.utils._array_api import move_estimator_to  # noqa: E402

from xpmlp import MLPClassifier, engines, forbid_transfers, load_model  # noqa: E402
from xpmlp.arrays import location_of  # noqa: E402
from xpmlp.errors import TransferError  # noqa: E402

# The stand-in's arrays run the plain text, so what they are compared with bit by bit does too.
engines.numpy_engine = engines.generic_engine

X = np.random.default_rng(0).normal(size=(320, 20)).astype(np.float32) * 3 + 5
Y = np.argmax(X[:, :4], axis=1)
ARGS = {
    "hidden_layer_sizes": (16,),
    "batch_size": 64,
    "max_iter": 3,
    "random_state": 0,
    "accelerate": "generic",
}


@pytest.fixture(autouse=True)
def quiet():
    """Three epochs do not converge."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def test_a_pipeline_on_the_card_copies_no_rows_to_the_host():
    make = lambda: make_pipeline(StandardScaler(), MLPClassifier(**ARGS))
    x, y = cupy.asarray(X), cupy.asarray(Y)
    with config_context(array_api_dispatch=True), recording() as record, forbid_transfers():
        pipe = make().fit(x, y)
        got = pipe.predict(x)
        moved = sorted(record.to_host)
        pipe.predict_proba(x)
    assert isinstance(got, cupy.ndarray)
    np.testing.assert_array_equal(got.get(), make().fit(X, Y).predict(X))
    assert moved.pop() == Y.nbytes  # the labels, once
    assert max(moved) < 64  # losses of an epoch; whether X is finite
    assert max(record.to_device) < X.nbytes / 8  # the plan of an epoch, the initial weights


def test_a_model_goes_to_the_card_and_back_by_name_and_trains_there_as_on_the_host():
    stays, goes = (MLPClassifier(**ARGS).fit(X, Y) for _ in range(2))
    wanted = stays.predict_proba(X)
    assert goes.to("cuda").device_ == "cuda:0"
    assert {location_of(a) for a in goes.coefs_} == {("cupy", "cuda:0")}
    for x in (X, cupy.asarray(X)):
        got = goes.predict_proba(x)
        assert type(got) is type(x)
        np.testing.assert_array_equal(got if x is X else got.get(), wanted)
    goes.partial_fit(X, Y)
    assert goes.device_ == "cuda:0"
    goes.to("cpu").partial_fit(cupy.asarray(X), Y)  # a string says that rows follow the model
    for _ in range(2):
        stays.partial_fit(X, Y)
    for a, b in zip(goes.coefs_, stays.coefs_):
        assert type(a) is np.ndarray
        np.testing.assert_array_equal(a, b)


def test_a_file_is_loaded_to_the_card(tmp_path):
    host = MLPClassifier(**ARGS).fit(X, Y)
    host.save(tmp_path / "model.safetensors")
    card = load_model(tmp_path / "model.safetensors").to("cuda")
    np.testing.assert_array_equal(card.predict(X), host.predict(X))
    assert location_of(card.coefs_[0]).library == "cupy"


def test_scikit_learns_move_brings_a_model_from_the_card_to_the_host():
    card = MLPClassifier(**ARGS, device="cuda").fit(X, Y)
    with config_context(array_api_dispatch=True):
        host = move_estimator_to(card, np, "cpu")
    assert (host.device_, card.device_) == ("cpu", "cuda:0")
    np.testing.assert_array_equal(host.predict_proba(X), card.predict_proba(X))
    host.partial_fit(X, Y)
    assert type(host.coefs_[0]) is np.ndarray


def test_device_cuda_moves_x_in_secret_and_is_refused_before_it_moves():
    with recording() as record, pytest.raises(TransferError, match=r"leave device='cuda' away"):
        with forbid_transfers():
            MLPClassifier(**ARGS, device="cuda").fit(X, Y)
    assert X.nbytes not in record.to_device
