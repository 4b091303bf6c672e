"""What is kept in checkpoints goes on to the same end: kinds of data, libraries, ends."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from each import each
from test_checkpoint import Killed, assert_same, killed

from xpmlp import Checkpoint, MLPClassifier, MLPRegressor, train
from xpmlp.arrays import to_host
from xpmlp.nn import Dense, Network
from xpmlp.training import chunk

rng = np.random.default_rng(0)
X = rng.normal(size=(120, 4))
Y = np.sin(X @ np.asarray([1.0, -2.0, 0.5, 3.0]))
LABELS = np.digitize(Y, (-0.5, 0.5))
FRAME = pd.DataFrame({"a": X[:, 0], "b": pd.Categorical(LABELS.astype(str)), "c": X[:, 2]})
FRAME.loc[::7, "a"] = np.nan
ARGS = {"hidden_layer_sizes": (7,), "batch_size": 32, "max_iter": 10, "random_state": 3}
OPEN = {"early_stopping": True, "n_iter_no_change": 99}
HELD = {"X_val": X[:30], "y_val": LABELS[:30]}


def fitted(kind, X, y, given=None, **options):
    """Return a function that fits, kept in a folder or not."""

    def fit(kept=None, resume=False, **more):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = kind(**ARGS | options | more, checkpoint=kept)
            return model.fit(X, y, resume=resume, **given or {})

    return fit


KINDS = {
    "several labels": fitted(MLPClassifier, X, np.c_[Y > 0, X[:, 0] > 0].astype(int)),
    "weights": fitted(
        MLPClassifier, X, LABELS, {"sample_weight": np.linspace(1, 2, 120)}, class_weight="balanced"
    ),
    "two numbers": fitted(MLPRegressor, X.astype("f4"), np.c_[Y, -Y], target_scale="auto"),
    "quantiles": fitted(MLPRegressor, X, Y, loss="quantile", quantiles=[0.1, 0.5, 0.9]),
    "a table": fitted(MLPClassifier, FRAME, LABELS, **OPEN),
    "bins": fitted(MLPClassifier, X, LABELS, n_bins=5),
    "sparse rows": fitted(MLPClassifier, scipy.sparse.csr_matrix(X * (X > 0.5)), LABELS),
    "given rows for validation": fitted(MLPClassifier, X, LABELS, HELD, **OPEN),
    "a callback that stops": fitted(
        MLPClassifier, X, LABELS, callbacks=lambda epoch: epoch.epoch >= 8
    ),
    "clipping, residual, lion": fitted(
        MLPClassifier,
        X,
        LABELS,
        solver="lion",
        max_norm=1.0,
        max_grad_norm=0.1,
        residual=True,
        hidden_layer_sizes=(6, 6),
    ),
}


@pytest.fixture(params=[1, "0.0001s"], ids=["after epochs", "within epochs"])
def every(request, monkeypatch):
    """When a checkpoint is written; in the second case after each two steps."""
    if request.param == "0.0001s":
        monkeypatch.setattr(chunk, "PART", 2 * (chunk.STEP + 6 * 100 * 32))
        monkeypatch.setattr(chunk, "PART_SECONDS", 0.0)
        monkeypatch.setattr(chunk, "CHUNK", 0.0)
    return request.param


@each("name", KINDS)
def test_every_kind_of_training_goes_on_to_the_same_end(name, every, tmp_path):
    fit, whole = KINDS[name], KINDS[name]()
    for at in (1, 5):
        kept = Checkpoint(tmp_path / f"{at}", every=every)
        with killed(at):
            fit(kept)
        assert_same(fit(kept, resume=True), whole)
        assert_same(fit(kept, resume=True), whole)  # after its end it comes back


@pytest.mark.parametrize("xp", ["numpy", "strict", "torch", "jax"], indirect=True)
def test_every_library_goes_on_to_the_same_end(xp, every, tmp_path):
    data = xp.asarray(X.astype("f4")), xp.asarray(LABELS.astype("i4"))
    fit = fitted(MLPClassifier, *data, dropout=0.2, normalization="batch", ema_decay=0.9)
    kept = Checkpoint(tmp_path, every=every)
    with killed(4):
        fit(kept)
    assert_same(fit(kept, resume=True), fit())


def test_a_model_that_warm_start_goes_on_with_and_a_random_state_do(every, tmp_path):
    first = pickle.dumps(fitted(MLPClassifier, X, LABELS, ema_decay=0.9)())

    def fit(kept=None, resume=False):
        model = pickle.loads(first)
        model.set_params(warm_start=True, checkpoint=kept, random_state=np.random.RandomState(5))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return model.fit(X, LABELS, resume=resume)

    kept, whole = Checkpoint(tmp_path, every=every), fit()
    with killed(3):
        fit(kept)
    resumed = fit(kept, resume=True)
    assert_same(resumed, whole)
    assert (
        resumed.random_state.get_state()[1].tolist() == whole.random_state.get_state()[1].tolist()
    )


def test_a_bare_network_does(every, tmp_path):
    network, kept = Network([Dense(8, "tanh"), Dense(1)]), Checkpoint(tmp_path, every=every)
    options = {"batch_size": 32, "max_iter": 10}
    whole = train(network, X, Y[:, None], **options)
    with killed(4):
        train(network, X, Y[:, None], **options, checkpoint=kept)
    resumed = train(network, X, Y[:, None], **options, checkpoint=kept, resume=True)
    for i, layer in whole.params.items():
        for name, a in layer.items():
            np.testing.assert_array_equal(to_host(resumed.params[i][name]), to_host(a))


def test_one_killed_before_its_first_checkpoint_begins_at_the_start(tmp_path):
    fit, kept = KINDS["weights"], Checkpoint(tmp_path, every=1)

    def dies(epoch):
        raise Killed

    with pytest.raises(Killed):
        fit(kept, callbacks=dies)
    assert kept.files() == []
    assert_same(fit(kept, resume=True), fit())


def test_one_killed_between_an_epoch_and_its_validation_does(tmp_path):
    class Scoring:
        calls, dies_at = 0, 6

        def __call__(self, model, X, y):
            self.calls += 1
            if self.calls == self.dies_at:
                raise Killed
            return float((model.predict(X) == y).mean())

        def __repr__(self):
            return "Scoring()"

    fit, kept = fitted(MLPClassifier, X, LABELS, HELD, **OPEN), Checkpoint(tmp_path, every=1)
    scoring = Scoring()
    with pytest.raises(Killed):
        fit(kept, scoring=scoring)
    assert_same(fit(kept, resume=True, scoring=scoring), fit(scoring=scoring))


def test_with_a_larger_max_iter_a_training_goes_on_that_was_killed_or_had_ended(tmp_path):
    fit, whole = KINDS["two numbers"], KINDS["two numbers"]()
    fit(Checkpoint(tmp_path / "ended"), max_iter=6)
    with killed(3):
        fit(Checkpoint(tmp_path / "killed", every=1), max_iter=6)
    for name in ("ended", "killed"):
        assert_same(fit(Checkpoint(tmp_path / name), resume=True), whole)


def test_one_killed_while_early_stopping_fires_does(tmp_path):
    stops = {"early_stopping": True, "n_iter_no_change": 2, "tol": 0.5, "max_iter": 50}
    fit = fitted(MLPClassifier, X, LABELS, **stops)
    whole, kept = fit(), Checkpoint(tmp_path, every=1)
    with killed(whole.n_iter_):  # the last, as it ends
        fit(kept)
    assert len(kept.files()) == 2
    kept.files()[0].unlink()
    assert_same(fit(kept, resume=True), whole)
