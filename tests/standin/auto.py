"""Host arrays that device="auto" brings to a stand-in for a card, because they pay there.

test_cupy_standin.py runs this file in its own process. The stand-in is no faster than the
host, so the paces are made up.
"""

import json
import pickle
import warnings
from contextlib import contextmanager
from math import inf

import numpy as np
import pytest
from cupy_standin import install, recording

cupy = install()

from scipy.sparse import csr_array  # noqa: E402
from sklearn.base import clone  # noqa: E402

from xpmlp import (  # noqa: E402
    MLPClassifier,
    MLPRegressor,
    engines,
    forbid_transfers,
    load_model,
    nn,
    placing,
    thresholds,
    train,
)
from xpmlp.arrays import location_of  # noqa: E402
from xpmlp.cli import main  # noqa: E402
from xpmlp.errors import DeviceError, DeviceMemoryError, TransferError  # noqa: E402
from xpmlp.thresholds import Pace, Thresholds  # noqa: E402

# The stand-in's arrays run the plain text, so what they are compared with bit by bit does too.
engines.numpy_engine = engines.generic_engine

X = np.random.default_rng(0).normal(size=(320, 20)).astype(np.float32)
Y = np.argmax(X[:, :4], axis=1)
# By plain operations, as those of the host: a step of two layers is 48 launches.
ARGS = {
    "hidden_layer_sizes": (16,),
    "batch_size": 64,
    "max_iter": 3,
    "random_state": 0,
    "accelerate": "generic",
}
# 404 parameters; five steps an epoch.
STEP = 6.0 * 64 * (20 * 16 + 16 + 16 * 4 + 4)
FIT = STEP * 5 * 3


def pace_with(step, fit):
    """Return the pace of a card that pays from these on for a step of 48 launches."""
    return Pace(host=1.0, card=inf, launch=0.5 * step / 48, start=0.5 * fit)


@pytest.fixture(autouse=True)
def card(monkeypatch):
    """Let the stand-in be found, and pay for everything; return what sets its pace."""

    def pays(step, fit):
        monkeypatch.setattr(placing, "pace_of", lambda card, dtype: pace_with(step, fit))

    monkeypatch.setattr(placing, "no_card", lambda: None)
    monkeypatch.setattr(placing, "LEAST", Thresholds(0, 0))
    pays(0, 0)
    return pays


@pytest.fixture(autouse=True)
def quiet():
    """Three epochs do not converge."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def both(make, x, y, x_val=None, **changes):
    """Fit by "auto" and by "cuda", which have to be the same; return the two."""
    more = {} if x_val is None else {"X_val": x_val, "y_val": y[:50]}
    pair = [make(**ARGS | changes, device=device).fit(x, y, **more) for device in ("auto", "cuda")]
    assert [model.device_ for model in pair] == ["cuda:0", "cuda:0"]
    for a, b in zip(*(model.coefs_ + model.intercepts_ for model in pair)):
        assert location_of(a) == ("cupy", "cuda:0")
        np.testing.assert_array_equal(a.get(), b.get())
    for name in ("loss", "validation_loss", "validation_score"):
        np.testing.assert_array_equal(*(model.history_[name] for model in pair))
    return pair


# ---- A model that "auto" brought to the card is one that "cuda" did


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"solver": "lbfgs"},
        {"early_stopping": True},
        {"dropout": 0.2, "ema_decay": 0.9},
        {"normalization": "batch"},
        {"dtype": "float64"},
        {"class_weight": "balanced"},
        {"early_stopping": True, "scoring": "loss"},
        {"early_stopping": True, "scoring": "f1_macro"},
    ],
)
def test_a_classifier_is_the_one_that_cuda_gives_and_answers_in_numpy(changes):
    ours, theirs = both(MLPClassifier, X, Y, **changes)
    for method in ("predict", "predict_proba", "decision_function", "transform"):
        got, wanted = (getattr(model, method)(X) for model in (ours, theirs))
        assert type(got) is np.ndarray
        np.testing.assert_array_equal(got, wanted, err_msg=method)
    assert ours.score(X, Y) == theirs.score(X, Y)
    got = ours.predict_proba(cupy.asarray(X))
    assert isinstance(got, cupy.ndarray)
    np.testing.assert_array_equal(got.get(), theirs.predict_proba(X))


@pytest.mark.parametrize(
    "changes", [{}, {"target_scale": "auto"}, {"loss": "quantile", "quantiles": [0.1, 0.9]}]
)
def test_a_regressor_is_the_one_that_cuda_gives(changes):
    for y in (X[:, 0] * 9, X[:, :3] ** 2):
        ours, theirs = both(MLPRegressor, X, y, **changes)
        np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))


@pytest.mark.parametrize(
    "make", [np.asarray, np.asfortranarray, np.ndarray.tolist, np.float64, csr_array]
)
def test_all_kinds_of_rows_on_the_host_are_brought_to_it_and_x_val_follows(make):
    both(MLPClassifier, make(X), Y, x_val=make(X[:50]))


def test_a_table_is_encoded_on_the_host_and_trained_on_the_card():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"a": X[:, 0], "b": [*"xyzw"] * 80})
    ours, theirs = both(MLPClassifier, table, Y)
    np.testing.assert_array_equal(ours.predict(table), theirs.predict(table))


def test_rows_travel_once_in_the_dtype_of_computing_and_are_counted():
    with recording() as record:
        model = MLPClassifier(**ARGS, dtype="float32").fit(X.astype(float), Y)
    assert record.to_device.count(X.nbytes) == 1
    assert 2 * X.nbytes not in record.to_device
    assert model.fit_report_["bytes_to_device"] == sum(record.to_device)


def test_training_goes_on_where_it_began_whatever_the_work_of_later_calls(card):
    model = MLPClassifier(**ARGS, warm_start=True).partial_fit(X, Y, classes=np.arange(4))
    why = model.fit_report_["why"]
    assert "and were moved to the GPU" in why
    card(1e18, 1e18)
    assert model.partial_fit(X, Y).fit_report_["why"] == why
    assert model.partial_fit(cupy.asarray(X), Y).device_ == "cuda:0"
    assert model.fit(X, Y).device_ == "cuda:0"
    assert clone(model).fit(X, Y).device_ == "cpu"
    assert model.set_params(warm_start=False).fit(X, Y).device_ == "cpu"


def test_a_pickle_comes_home_a_file_to_the_host_and_a_move_says_that_it_was_asked_for(tmp_path):
    model = MLPClassifier(**ARGS).fit(X, Y)
    wanted = model.predict_proba(X)
    back = pickle.loads(pickle.dumps(model))
    assert back.device_ == "cuda:0"
    model.save(tmp_path / "model.safetensors", training=True)
    for twin in (back, load_model(tmp_path / "model.safetensors")):
        np.testing.assert_array_equal(twin.predict_proba(X), wanted)
    assert twin.partial_fit(X, Y).device_ == "cpu"
    assert twin.fit_report_["why"] == "The data are in main memory, as those of the model are."
    back.to("cpu").partial_fit(X, Y)
    assert back.fit_report_["why"] == "device='cpu' was asked for."


def test_an_array_decides_for_itself_and_cpu_keeps_the_card_off():
    assert MLPClassifier(**ARGS, device="cpu").fit(X, Y).device_ == "cpu"
    model = MLPClassifier(**ARGS).fit(cupy.asarray(X), Y)
    assert model.fit_report_["why"] == "X is an array of cupy on cuda:0."
    with pytest.raises(ValueError, match="same namespace"):
        model.predict(X)


# ---- What decides


@pytest.mark.parametrize(
    ("step", "fit", "device"),
    [(STEP, FIT, "cuda:0"), (STEP * 1.01, 0, "cpu"), (0, FIT * 1.01, "cpu")],
)
def test_the_work_of_a_step_and_of_the_fit_decide(card, step, fit, device):
    card(step, fit)
    model = MLPClassifier(**ARGS).fit(X, Y)
    assert model.device_ == model.fit_report_["device"] == device
    where = "and were moved to the GPU" if device == "cuda:0" else "and stay there"
    assert (
        f"The data are in main memory, {where}: the fit takes 155 kFLOP" in model.fit_report_["why"]
    )


def test_a_step_of_lbfgs_takes_all_rows_and_a_partial_fit_is_one_epoch(card):
    card(STEP * 320 / 64, 0)
    assert MLPClassifier(**ARGS).fit(X, Y).device_ == "cpu"
    assert MLPClassifier(**ARGS, solver="lbfgs").fit(X, Y).device_ == "cuda:0"
    card(0, FIT)
    assert MLPClassifier(**ARGS).fit(X, Y).device_ == "cuda:0"
    assert MLPClassifier(**ARGS).partial_fit(X, Y, classes=np.arange(4)).device_ == "cpu"


@pytest.mark.parametrize(
    ("kilobytes", "more", "device"),
    [
        (100, {}, "cpu"),
        (120, {}, "cuda:0"),  # X: 77; y: 4; 404 parameters: 16; a batch: 10
        (120, {"solver": "lbfgs"}, "cpu"),
        (200, {"solver": "lbfgs"}, "cuda:0"),  # all rows: 51
        (120, {"hidden_layer_sizes": (160,)}, "cpu"),
        (105, {}, "cpu"),
    ],
)
def test_where_memory_is_short_a_fit_stays_on_the_cpu(kilobytes, more, device, monkeypatch):
    monkeypatch.setattr(placing, "free_memory", lambda like: kilobytes * 1000)
    report = MLPClassifier(**ARGS | more).fit(X, Y).fit_report_
    assert report["device"] == device
    if device == "cpu":
        assert f"kB, of cuda:0 {kilobytes} kB are free." in report["why"]


@contextmanager
def little_memory(bytes_left):
    """Leave so little memory to the stand-in, while it says to have more."""
    pool = cupy.get_default_memory_pool()
    pool.free_all_blocks()
    pool.set_limit(size=pool.total_bytes() + bytes_left)
    try:
        yield
    finally:
        pool.set_limit(size=0)


@pytest.mark.parametrize("bytes_left", [1024, 28_000, 50_000])
@pytest.mark.parametrize("more", [{}, {"early_stopping": True}, {"solver": "lbfgs"}])
def test_memory_that_ends_before_the_first_step_leaves_a_fit_to_the_cpu(
    bytes_left, more, monkeypatch
):
    monkeypatch.setattr(placing, "free_memory", lambda like: 1e9)
    y = np.stack([X[:, 0]] * 30, axis=1)
    network = nn.Network([nn.Dense(30)])
    make = lambda device: train(network, X, y, device=device, max_iter=2, accelerate="generic")
    host = MLPRegressor(**ARGS | more, device="cpu").fit(X, y)
    with little_memory(bytes_left):
        model = MLPRegressor(**ARGS | more).fit(X, y)
        trained = make("auto")
        for fit in (MLPRegressor(**ARGS | more, device="cuda").fit, lambda x, y: make("cuda")):
            with pytest.raises(DeviceMemoryError, match="too small|does not fit|lacks"):
                fit(X, y)
    for report in (model.fit_report_, trained.report):
        assert report["device"] == "cpu"
        assert report["why"] == (
            "The data are in main memory, and stay there: the GPU's memory is too small for this "
            "training."
        )
    np.testing.assert_array_equal(model.coefs_[1], host.coefs_[1])
    np.testing.assert_array_equal(trained.params[0]["W"], make("cpu").params[0]["W"])


def test_memory_that_ends_in_a_later_epoch_is_an_error():
    real = cupy.cuda.memory.OutOfMemoryError

    seen = []

    def full(epoch):
        seen.append(epoch.epoch)
        if epoch.epoch == 2:
            raise real(512, 0, 256)

    with pytest.raises(DeviceMemoryError, match="too small for this training"):
        MLPClassifier(**ARGS, callbacks=full).fit(X, Y)
    assert seen == [1, 2]  # and not again, on the host


def test_the_card_that_the_program_made_current_is_the_one(monkeypatch):
    asked = []
    needs = placing.Needs(work=thresholds.Work(1e9, 1e15), launches=4, n_bytes=100)
    monkeypatch.setattr(cupy.cuda.Device, "current", 1)
    monkeypatch.setattr(
        placing, "pace_of", lambda card, dtype: asked.append(card) or pace_with(0, 0)
    )
    monkeypatch.setattr(placing, "array_at", asked.append)
    monkeypatch.setattr(placing, "free_memory", lambda like: 1e9)
    card, why = placing.chosen(lambda: needs, "float32")
    assert {card, *asked} == {("cupy", "cuda:1")}
    assert "cuda:1 pays from" in why


def test_a_card_that_breaks_leaves_the_fit_on_the_cpu_but_cuda_raises(monkeypatch):
    def broken(shape, **options):
        raise RuntimeError("cudaErrorECCUncorrectable: uncorrectable ECC error\nmore")

    monkeypatch.setattr(cupy, "empty", broken)
    model = MLPClassifier(**ARGS).fit(X, Y)
    assert model.device_ == "cpu"
    assert "uncorrectable ECC error), see `xpmlp doctor`." in model.fit_report_["why"]
    with pytest.raises(DeviceError, match="uncorrectable ECC error"):
        MLPClassifier(**ARGS, device="cuda").fit(X, Y)


def test_forbidden_transfers_keep_a_new_model_on_the_host_and_hold_for_one_on_the_card():
    with forbid_transfers():
        assert MLPClassifier(**ARGS).fit(X, Y).device_ == "cpu"
    model = MLPClassifier(**ARGS).fit(X, Y)
    with forbid_transfers(), pytest.raises(TransferError, match="copy of X"):
        model.predict(X)


def test_the_stand_in_is_timed_for_real_and_none_of_it_is_counted_as_the_fits(monkeypatch):
    monkeypatch.setattr(placing, "pace_of", thresholds.pace_of)
    reports = [MLPClassifier(**ARGS).fit(X, Y).fit_report_ for _ in range(2)]
    assert {report["device"] for report in reports} <= {"cpu", "cuda:0"}
    if reports[0]["device"] == "cpu":  # as NumPy's products are, timed twice
        assert [report["bytes_to_device"] for report in reports] == [0, 0]
    pace = thresholds.pace_of(placing.CARD, "float32")
    assert all(0 < number < inf for number in pace)


# ---- The other doors


def test_train_computes_on_the_card_and_what_it_trained_returns_to_x(card):
    network = nn.Network([nn.Dense(16, "relu"), nn.Dense(4)])
    options = {"loss": "log_loss", "max_iter": 2, "accelerate": "generic"}
    make = lambda **more: train(network, X, Y, **options, **more)
    auto, cuda, host = make(), make(device="cuda"), make(device="cpu")
    for trained, device in ((auto, "cuda:0"), (cuda, "cuda:0"), (host, "cpu")):
        assert trained.report["device"] == device
        assert type(trained.params[0]["W"]) is np.ndarray
        np.testing.assert_array_equal(trained.outputs(X), host.outputs(X))
    assert "and were moved to the GPU" in auto.report["why"]
    card(1e18, 0)
    assert make().report["device"] == "cpu"
    there = train(network, cupy.asarray(X), Y, **options, device="cpu")
    assert location_of(there.params[0]["W"]).library == "cupy"
    np.testing.assert_array_equal(there.params[0]["W"].get(), host.params[0]["W"])


def test_the_command_line_trains_by_the_same_rule(tmp_path, card, capsys):
    def trained(*more):
        out = ["--out", str(tmp_path / "m.safetensors"), "--json", "--epochs", "2", "--quiet"]
        out += ["--accelerate", "generic"]
        with pytest.raises(SystemExit) as end:
            main(["train", "iris", *out, *more])
        said = capsys.readouterr()
        assert end.value.code == 0, said.err
        return json.loads(said.out.splitlines()[-1])

    found = trained()
    assert (found["device"], "and were moved to the GPU" in found["why"]) == ("cuda:0", True)
    assert trained("--device", "cpu")["device"] == "cpu"
    card(1e18, 0)
    assert trained()["device"] == "cpu"


def test_a_look_into_a_step_stays_on_the_host():
    model = MLPClassifier(**ARGS)
    assert "on numpy cpu" in model.explain(X, Y).title
    with recording() as record:
        model.find_learning_rate(X, Y)
    assert record.launches == []


def test_kernels_are_compiled_in_a_thread_ahead_of_the_copy_of_the_rows(monkeypatch):
    kernels = engines.cupy.kernels
    threads, compile_ahead = [], kernels.compile_ahead.__wrapped__

    def begun(*kinds):
        threads.append((kinds, compile_ahead(*kinds)))

    def on_card(a, like, plain=placing._on_card):
        threads.append("copied")
        return plain(a, like)

    monkeypatch.setattr(engines.cupy, "compile_ahead", begun)
    monkeypatch.setattr(placing, "_on_card", on_card)
    kernels._launcher.cache_clear()
    model = MLPClassifier(**ARGS | {"accelerate": "auto"}, device="cuda", dtype="float64")
    with warnings.catch_warnings(action="ignore"):
        model.fit(X, Y)
    (kinds, thread), copied = threads
    assert (kinds, copied) == (("float64", "float64", 0), "copied")
    thread.join()
    assert kernels._launcher.cache_info().misses == 1  # the fit waited for the thread's
    with warnings.catch_warnings(action="ignore"):
        MLPClassifier(**ARGS, device="cuda").fit(X, Y)  # plain operations launch none of them
    assert len(threads) == 3 and threads[2] == "copied"
