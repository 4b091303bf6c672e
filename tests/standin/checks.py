"""xpmlp on stand-in CuPy arrays. test_cupy_standin.py runs this file in its own process.

20-32-16-4 relu with softmax, batches of 16, float32.
"""

import gc
import pickle
import subprocess
import sys
import warnings
from functools import cache

import numpy as np
import pytest
from cupy_standin import install, recording

cupy = install()

from sklearn.exceptions import ConvergenceWarning  # noqa: E402

import xpmlp  # noqa: E402
from xpmlp import Checkpoint, MLPClassifier, MLPRegressor, engines, load_model, nn  # noqa: E402
from xpmlp.arrays import free_memory, location_of, namespace  # noqa: E402
from xpmlp.errors import DeviceMemoryError  # noqa: E402
from xpmlp.placing import to_device  # noqa: E402
from xpmlp.randomness import step_keys  # noqa: E402
from xpmlp.training import chunk  # noqa: E402
from xpmlp.training.checkpoint import Keeper  # noqa: E402
from xpmlp.training.chunk import _summary  # noqa: E402
from xpmlp.transfers import counting  # noqa: E402

# The stand-in's arrays run the plain text, so what they are compared with bit by bit does too.
engines.numpy_engine = engines.generic_engine

RNG = np.random.default_rng(0)
X = RNG.normal(size=(320, 20)).astype(np.float32)
Y = np.argmax(X @ RNG.normal(size=(20, 4)), axis=1)
ARGS = {
    "hidden_layer_sizes": (32, 16),
    "batch_size": 16,
    "max_iter": 2,
    "random_state": 0,
    "accelerate": "generic",
}


def fitted(make, X, y, **changes):
    """Fit quietly: two epochs do not converge."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return make(**ARGS | changes).fit(X, y)


def on_card(*arrays):
    """Copy to the card, outside of any recording."""
    return [cupy.asarray(a) for a in arrays]


def assert_same_fit(a, b):
    """Weights and curve of a (on the card) are those of b (NumPy), to the last bit."""
    assert location_of(a.coefs_[0]).library == "cupy"
    for p, q in zip((*a.coefs_, *a.intercepts_), (*b.coefs_, *b.intercepts_)):
        assert isinstance(p, cupy.ndarray)
        assert p.dtype == q.dtype
        np.testing.assert_array_equal(p.get(), q)
    assert a.loss_curve_ == b.loss_curve_


# ---- It is CuPy to array_api_compat, and equals NumPy


def test_array_api_compat_takes_the_standin_for_cupy():
    assert namespace(cupy.ones(2)).__name__ == "array_api_compat.cupy"
    assert location_of(cupy.ones(2)) == ("cupy", "cuda:0")


@pytest.mark.parametrize("solver", ["adam", "adamw", "sgd", "rmsprop", "adagrad", "lbfgs"])
def test_classifier_on_the_card_equals_numpy_to_the_last_bit_and_answers_there(solver):
    changes = {"solver": solver, "learning_rate_init": 0.01}
    card, host = (fitted(MLPClassifier, x, Y, **changes) for x in (*on_card(X), X))
    assert_same_fit(card, host)
    for method in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        got, wanted = getattr(card, method)(on_card(X)[0]), getattr(host, method)(X)
        assert isinstance(got, cupy.ndarray), method
        assert got.dtype == wanted.dtype
        np.testing.assert_array_equal(got.get(), wanted, err_msg=method)
    assert card.score(*on_card(X, Y)) == host.score(X, Y)


@pytest.mark.parametrize("targets", [X[:, 0] * 2, X[:, :3] ** 2])
def test_regressor_on_the_card_equals_numpy_to_the_last_bit_and_answers_there(targets):
    card, host = (fitted(MLPRegressor, *xy) for xy in (on_card(X, targets), (X, targets)))
    assert_same_fit(card, host)
    got = card.predict(on_card(X)[0])
    assert isinstance(got, cupy.ndarray)
    np.testing.assert_array_equal(got.get(), host.predict(X))


@pytest.mark.parametrize("activation", sorted(nn.activations.ACTIVATIONS))
def test_every_activation_runs_on_the_card_and_equals_numpy(activation):
    card, host = (
        fitted(MLPClassifier, x, Y, activation=activation, max_iter=1) for x in (*on_card(X), X)
    )
    assert_same_fit(card, host)


def test_partial_fit_on_the_card_goes_on_as_numpy_does():
    x, classes = on_card(X)[0], np.arange(4)
    card, host = MLPClassifier(**ARGS), MLPClassifier(**ARGS)
    for _ in range(3):
        card.partial_fit(x, Y, classes=classes)
        host.partial_fit(X, Y, classes=classes)
    assert_same_fit(card, host)


def test_dropout_drops_the_same_elements_as_numpy():
    layer = nn.Dropout(0.3)
    key = step_keys(7, np.arange(1))[0]
    contexts = (nn.Ctx(namespace(k), True, key=k, place=(1,)) for k in (*on_card(key), key))
    ones = np.ones((64, 50), np.float32)
    (card, _), (host, _) = (
        layer.forward({}, x, ctx) for x, ctx in zip((*on_card(ones), ones), contexts)
    )
    assert 0.25 < np.mean(host == 0) < 0.35
    np.testing.assert_array_equal(card.get(), host)
    assert_same_fit(*(fitted(MLPClassifier, x, Y, dropout=0.3) for x in (*on_card(X), X)))


def test_text_labels_give_numpy_results_from_the_card():
    names = np.asarray(["ant", "bee", "cat", "dog"])[Y]
    x = on_card(X)[0]
    card, host = fitted(MLPClassifier, x, names), fitted(MLPClassifier, X, names)
    got = card.predict(x)
    assert isinstance(got, np.ndarray)
    np.testing.assert_array_equal(got, host.predict(X))
    assert isinstance(card.predict_proba(x), cupy.ndarray)


# ---- What a fit launches, copies and waits for


@cache
def record_fit(n_batches, n_epochs, **changes):
    """Return what a fit of so many batches of 16 and epochs does on the card."""
    x, y = on_card(np.tile(X, (2, 1))[: 16 * n_batches], np.tile(Y, 2)[: 16 * n_batches])
    with recording() as record:
        fitted(MLPClassifier, x, y, **changes | {"max_iter": n_epochs})
    return record


def per_epoch(kind, n_batches, **changes):
    """Return what the third epoch adds."""
    three, two = (getattr(record_fit(n_batches, e, **changes), kind) for e in (3, 2))
    return len(three) - len(two)


# Kernels of one step of 20-32-16-4, relu and softmax, measured with the generic engine on
# 2026-11-30. Unfused text written one operation at a time takes 119 for Adam (array_api.md, 1).
BUDGETS = {
    "adam": ({"solver": "adam"}, 74),
    "adam without alpha": ({"solver": "adam", "alpha": 0.0}, 70),
    "momentum": ({"solver": "sgd"}, 62),
    "plain sgd": ({"solver": "sgd", "momentum": 0.0}, 54),
    "plain sgd without alpha": ({"solver": "sgd", "momentum": 0.0, "alpha": 0.0}, 50),
}


@pytest.mark.parametrize(("changes", "budget"), BUDGETS.values(), ids=BUDGETS)
def test_a_step_stays_in_its_budget_of_kernels_and_neither_copies_nor_waits(changes, budget):
    added = {
        kind: per_epoch(kind, 30, **changes) - per_epoch(kind, 10, **changes)
        for kind in ("launches", "to_device", "to_host", "syncs")
    }
    assert 0 < added["launches"] / 20 <= budget
    assert (added["to_device"], added["to_host"], added["syncs"]) == (0, 0, 0)


@pytest.mark.parametrize("n_batches", [1, 10, 30])
def test_an_epoch_reads_the_card_once_however_many_batches(n_batches):
    assert per_epoch("to_host", n_batches) == 1
    assert per_epoch("syncs", n_batches) == 1
    assert per_epoch("to_device", n_batches) <= 9  # the plan's 7 arrays, 2 joins of the losses


def test_whether_leaves_are_finite_takes_a_sum_each_which_cupy_need_not_compile():
    losses, *leaves = on_card(np.ones((2, 5)), np.ones((1, 100)), np.ones((1, 7)))
    with recording() as record:
        _summary(losses, leaves)
    assert record.launches.count("sum") == len(leaves)
    assert {*record.launches} <= {"sum", "stack", "concatenate"}


def test_early_stopping_adds_one_read_of_the_outputs_an_epoch():
    more = {"early_stopping": True, "validation_fraction": 0.25}
    assert [per_epoch(kind, 20, **more) for kind in ("to_host", "syncs")] == [2, 2]
    assert record_fit(20, 3, **more).to_host[-1] == 80 * 4 * 4  # rows, classes, bytes


@pytest.mark.parametrize("more", [{}, {"early_stopping": True}, {"dropout": 0.2}])
def test_x_on_the_card_is_never_copied_to_the_host(more):
    x, y = on_card(X, Y)
    with recording() as record:
        model = fitted(MLPClassifier, x, y, **more)
        model.predict(x)
        model.predict_proba(x)
    assert max(record.to_host) < X.nbytes / 2
    assert max(record.to_device) < X.nbytes / 2


def test_prediction_on_the_card_reads_one_byte_the_check_for_finite_x():
    x, y = on_card(X, Y)
    model = fitted(MLPClassifier, x, y)
    with recording() as record:
        model.predict_proba(x)
    assert record.to_host == [1]
    assert record.to_device == []


def test_device_cuda_moves_host_x_once_and_returns_numpy():
    with recording() as record:
        model = fitted(MLPClassifier, X, Y, device="cuda")
    assert record.to_device.count(X.nbytes) == 1
    assert model.device_ == "cuda:0"
    with recording() as record:
        got = model.predict(X)
    assert record.to_device.count(X.nbytes) == 1
    assert isinstance(got, np.ndarray)
    assert_same_fit(model, host := fitted(MLPClassifier, X, Y))
    np.testing.assert_array_equal(got, host.predict(X))


def test_host_x_at_predict_is_refused_by_a_model_on_the_card():
    model = fitted(MLPClassifier, *on_card(X, Y))
    with pytest.raises(ValueError, match=r"MLPClassifier\.predict\(\) must use the same namespace"):
        model.predict(X)


def test_a_hidden_step_on_the_host_would_be_refused():
    x = cupy.ones(3)
    for action in (lambda: np.asarray(x), lambda: x + np.ones(3), lambda: np.ones(3) * x):
        with pytest.raises(TypeError):
            action()


# ---- Files and pickles

WITHOUT_CUPY = """
import pickle, sys, warnings
from pathlib import Path
class NoCuPy:
    def find_spec(self, name, path=None, target=None):
        if name.startswith("cupy"):
            raise ModuleNotFoundError("No module named 'cupy'")
sys.meta_path.insert(0, NoCuPy())
import numpy as np
from xpmlp import load_model
folder = sys.argv[1]
X = np.load(folder + "/x.npy")
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    unpickled = pickle.loads(Path(folder, "model.pickle").read_bytes())
assert ["stays in NumPy" in str(w.message) for w in caught] == [True], caught
assert (unpickled.device, unpickled.device_) == ("auto", "cpu")
for model in (unpickled, load_model(folder + "/model.safetensors")):
    assert type(model.coefs_[0]) is np.ndarray
    for i, W in enumerate(model.coefs_):
        np.testing.assert_array_equal(W, np.load(f"{folder}/W{i}.npy"))
    # Another engine computes here, in another order of sums.
    np.testing.assert_allclose(model.predict_proba(X), np.load(folder + "/proba.npy"), atol=1e-5)
unpickled.partial_fit(X, unpickled.predict(X))
"""


def test_a_file_and_a_pickle_from_the_card_load_where_there_is_no_cupy(tmp_path):
    model = fitted(MLPClassifier, *on_card(X, Y), device="cuda")
    model.save(tmp_path / "model.safetensors")
    (tmp_path / "model.pickle").write_bytes(pickle.dumps(model))
    np.save(tmp_path / "x.npy", X)
    host = fitted(MLPClassifier, X, Y)
    np.save(tmp_path / "proba.npy", host.predict_proba(X))
    for i, W in enumerate(host.coefs_):
        np.save(tmp_path / f"W{i}.npy", W)
    command = [sys.executable, "-W", "ignore", "-c", WITHOUT_CUPY, str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert isinstance(load_model(tmp_path / "model.safetensors").coefs_[0], np.ndarray)


def test_a_pickle_holds_host_arrays_and_comes_home():
    x, y = on_card(X, Y)
    model = fitted(MLPClassifier, x, y)
    blob = pickle.dumps(model)
    assert b"cupy_standin" not in blob
    back = pickle.loads(blob)
    assert_same_fit(back, fitted(MLPClassifier, X, Y))
    np.testing.assert_array_equal(back.predict_proba(x).get(), model.predict_proba(x).get())
    model.partial_fit(x, y)
    back.partial_fit(x, y)  # Adam's state came along
    np.testing.assert_array_equal(back.coefs_[0].get(), model.coefs_[0].get())


def test_a_step_is_explained_on_the_card_as_on_the_host():
    ours, theirs = (MLPClassifier(**ARGS).explain(x, y) for x, y in (on_card(X, Y), (X, Y)))
    assert "on cupy cuda:0" in ours.title
    for a, b in zip(ours.parameters, theirs.parameters):
        np.testing.assert_array_equal(a.gradient, b.gradient)
        assert a.ratio == b.ratio


def test_a_plan_asks_the_card_what_is_free_and_runs_nothing():
    x, y = on_card(X, Y)
    free = cupy.cuda.Device().mem_info[0]
    with recording() as record:
        plan = xpmlp.plan(nn.Network([nn.Dense(4)]), x)
    assert 0 < free < 4 << 30
    assert (plan.free, plan.fits, record.launches, record.to_host) == (free, True, [], [])
    assert MLPClassifier(**ARGS, device="cuda").plan(X, Y).free == free


# ---- What a fit reports, and rows that do not fit the card


@pytest.mark.parametrize("changes", [{}, {"early_stopping": True}, {"solver": "lbfgs"}])
@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_the_report_of_a_fit_counts_what_the_card_saw(device, changes):
    x, y = on_card(X, Y) if device == "auto" else (X, Y)
    with recording() as record:  # 5 steps: to join more than 8 losses CuPy sends their addresses
        report = fitted(MLPClassifier, x, y, device=device, batch_size=64, **changes).fit_report_
    assert (report["device"], report["launches"]) == ("cuda:0", None)
    told = ["L-BFGS keeps its vectors on the host"] if "solver" in changes else []
    assert [text[:36] for text in report["notes"]] == told
    why = {"auto": "X is an array of cupy on cuda:0.", "cuda": "device='cuda' was asked for."}
    assert report["why"] == why[device]
    assert report["host_reads"] == len(record.to_host) == len(record.syncs)
    assert report["bytes_to_host"] == sum(record.to_host)
    assert report["bytes_to_device"] == sum(record.to_device)


def test_a_second_partial_fit_moves_neither_weights_nor_the_rules_state():
    x, y = on_card(X, Y)
    model = MLPClassifier(**ARGS).partial_fit(x, y, classes=np.arange(4))
    with recording() as record:
        model.partial_fit(x, y)
    assert max(record.to_host) <= Y.nbytes  # y, which is checked on the host
    assert max(record.to_device) <= X.shape[0] * 8


def test_float64_rows_for_a_float32_model_are_shortened_before_they_travel():
    for order in "CF":
        with recording() as record:
            model = fitted(
                MLPClassifier, X.astype(float, order=order), Y, device="cuda", dtype="float32"
            )
        assert record.to_device.count(X.nbytes) == 1
        assert 2 * X.nbytes not in record.to_device
        assert_same_fit(model, fitted(MLPClassifier, X, Y))


MANY, LABELS = np.tile(X, (6, 20)), np.tile(Y, 6)


@pytest.fixture
def little_memory():
    """Lower the card's memory, when called, to a little less than MANY takes."""
    pool = cupy.get_default_memory_pool()
    gc.collect()
    pool.free_all_blocks()
    limit = pool.total_bytes() + MANY.nbytes - 512
    yield lambda: pool.set_limit(size=limit)
    pool.set_limit(size=0)


def test_rows_that_do_not_fit_the_card_stay_in_pinned_memory_and_train_alike(little_memory):
    host = fitted(MLPClassifier, MANY, LABELS, batch_size=320)
    want = host.predict_proba(MANY)
    little_memory()
    with recording() as record:
        card = fitted(MLPClassifier, MANY, LABELS, batch_size=320, device="cuda")
    assert max(record.to_device) < MANY.nbytes
    (told,) = card.fit_report_["notes"]
    assert "X (0.0 GB) does not fit the GPU" in told
    assert "pinned host memory, which the GPU reads batch by batch" in told
    assert_same_fit(card, host)
    np.testing.assert_array_equal(card.predict_proba(MANY), want)


def test_where_the_host_cannot_pin_either_the_error_names_need_and_advice(
    little_memory, monkeypatch
):
    def refuse(size):
        raise RuntimeError("cudaErrorMemoryAllocation: out of memory")

    little_memory()
    monkeypatch.setattr(cupy.cuda, "PinnedMemory", refuse)
    words = r"does not fit the GPU .*cannot pin as much \(cudaErrorMem.*partial_fit.*device='cpu'"
    with pytest.raises(DeviceMemoryError, match=words):
        fitted(MLPClassifier, MANY, LABELS, batch_size=320, device="cuda")


def test_early_stopping_on_pinned_rows_asks_for_validation_data(little_memory):
    little_memory()
    with pytest.raises(DeviceMemoryError, match="pass X_val and y_val"):
        fitted(MLPClassifier, MANY, LABELS, batch_size=320, device="cuda", early_stopping=True)


def test_what_is_free_heeds_the_limit_of_the_pool():
    like, pool = cupy.empty(0), cupy.get_default_memory_pool()
    unlimited = free_memory(like)
    try:
        pool.set_limit(size=pool.total_bytes() + 4096)
        assert free_memory(like) == 4096 < unlimited
    finally:
        pool.set_limit(size=0)


def test_rows_fit_once_what_the_pool_keeps_is_given_back(little_memory):
    pool = cupy.get_default_memory_pool()
    del_me = cupy.empty(MANY.nbytes // 8 + 1000)
    pool.set_limit(size=pool.total_bytes() + 1000)
    del del_me
    with counting() as counts:
        assert location_of(to_device(MANY, "cuda")).library == "cupy"
    assert (counts.notes, counts.bytes_to_device) == ([], MANY.nbytes)


@pytest.mark.parametrize("every", [1, "0.0001s"])
def test_a_killed_training_goes_on_though_its_next_epoch_was_planned_ahead(
    every, tmp_path, monkeypatch
):
    monkeypatch.setattr(chunk, "PART", 2 * chunk.STEP)
    options = ARGS | {"max_iter": 5, "early_stopping": True, "dropout": 0.2}
    data, kept, write = (cupy.asarray(X), Y), Checkpoint(tmp_path, every=every), Keeper.write

    def then_die(self, *args):
        write(self, *args)
        if self.number == 3:
            raise KeyboardInterrupt

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        whole = MLPClassifier(**options).fit(*data)
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(Keeper, "write", then_die)
            MLPClassifier(**options, checkpoint=kept).fit(*data)
        resumed = MLPClassifier(**options, checkpoint=kept).fit(*data, resume=True)
    assert resumed.history_["validation_score"] == whole.history_["validation_score"]
    for a, b in zip(resumed.coefs_, whole.coefs_):
        np.testing.assert_array_equal(cupy.asnumpy(a), cupy.asnumpy(b))
