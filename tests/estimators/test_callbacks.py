"""Callbacks: functions after each epoch, scikit-learn's protocol, logs."""

import csv
import json
import pickle
import struct
import subprocess
import sys
import warnings
from copy import copy

import numpy as np
import pytest
from each import each
from needs import needs
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from xpmlp import MLPClassifier, MLPRegressor, callbacks, load_model

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*Maximum iterations", "ignore:lbfgs failed to converge"
)

PROTOCOL = needs("sklearn", "1.9", "its protocol of callbacks")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
LABELS = (X[:, 0] + X[:, 1] > 0).astype(int)
VALUES = X @ [1.0, -2.0, 0.5, 0.0] + 0.3
COLUMNS = "epoch,n_iter_total,loss,validation_loss,validation_score,learning_rate,seconds"


def fast(kind=MLPClassifier, **kw):
    kw = {"hidden_layer_sizes": (8,), "max_iter": 5, "random_state": 0, "batch_size": 16} | kw
    return kind(**kw)


def rows_of(path):
    return list(csv.DictReader(path.read_text().splitlines()))


# Functions --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kw", [{}, {"early_stopping": True}, {"solver": "lbfgs"}], ids=str)
def test_a_callback_is_told_of_each_epoch_what_the_history_says(kw):
    seen = []
    est = fast(callbacks=seen.append, **kw).fit(X, LABELS)
    assert [e.epoch for e in seen] == [e.n_iter_total for e in seen] == [1, 2, 3, 4, 5]
    assert {e.max_iter for e in seen} == {5}
    for name, values in est.history_.items():
        assert [getattr(e, name) for e in seen] == (values or [None] * 5), name


def test_epochs_count_on_over_warm_starts_and_partial_fit():
    seen = []
    est = fast(callbacks=[seen.append], max_iter=2, warm_start=True).fit(X, LABELS)
    est.fit(X, LABELS).partial_fit(X, LABELS)
    assert [(e.epoch, e.n_iter_total) for e in seen] == [(1, 1), (2, 2), (1, 3), (2, 4), (1, 5)]
    assert [e.loss for e in seen] == est.loss_curve_
    assert seen[-1].max_iter == 1


def test_a_callback_is_not_told_the_validation_of_a_call_before():
    seen = []
    est = fast(callbacks=seen.append, max_iter=1, warm_start=True)
    est.fit(X, LABELS, X_val=X, y_val=LABELS).fit(X, LABELS).set_params(solver="lbfgs")
    est.fit(X, LABELS)
    assert [e.validation_loss is None for e in seen] == [False, True, True]
    assert [e.learning_rate for e in seen] == [0.001, 0.001, None]


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_the_estimator_of_an_epoch_is_a_fit_that_ended_there(xp, solver):
    x, seen = xp.asarray(X.astype(np.float32)), []
    look = lambda epoch: seen.append(epoch.estimator)
    last = fast(solver=solver, max_iter=3, callbacks=look).fit(x, LABELS)
    assert len(seen) == 3
    for n, view in enumerate(seen, 1):
        plain = fast(solver=solver, max_iter=n).fit(x, LABELS)
        assert view.history_["loss"] == plain.history_["loss"]
        assert (view.n_iter_, view.loss_) == (plain.n_iter_, plain.loss_)
        assert type(view.coefs_[0]) is type(plain.coefs_[0])
        for mine, theirs in zip(view.coefs_ + view.intercepts_, plain.coefs_ + plain.intercepts_):
            assert np.array_equal(xp.host(mine), xp.host(theirs))
        assert np.array_equal(xp.host(view.predict_proba(x)), xp.host(plain.predict_proba(x)))
    assert copy(last).coefs_ is last.coefs_  # not by way of the host


FALLING = {"tol": 0.05, "n_iter_no_change": 1, "learning_rate_init": 0.02}


@each(
    "options",
    [
        {},
        {"solver": "sgd", "learning_rate": "adaptive"} | FALLING,
        {"learning_rate": "plateau", "ema_decay": 0.9} | FALLING,
        {"learning_rate": "cosine", "dropout": 0.2, "solver": "lion"},
        {"solver": "sgd", "learning_rate": "invscaling", "normalization": "batch"},
        {"random_state": np.random.RandomState(5)},
    ],
)
def test_the_estimator_of_an_epoch_trains_on_as_its_fit_does(xp, options):
    x, seen, options = xp.asarray(X.astype(np.float32)), [], {"max_iter": 8} | options
    look = lambda epoch: seen.append(pickle.dumps(epoch.estimator.set_params(callbacks=None)))
    est = fast(callbacks=look, **options).fit(x, LABELS)
    for n in (4, 5):
        view = pickle.loads(seen[n - 1])
        for _ in range(n, est.n_iter_):
            view.partial_fit(x, LABELS)
        for mine, theirs in zip(view.coefs_ + view.intercepts_, est.coefs_ + est.intercepts_):
            assert np.array_equal(xp.host(mine), xp.host(theirs))
        assert view.history_["learning_rate"] == est.history_["learning_rate"]


def test_what_a_callback_does_to_its_estimator_does_not_reach_the_fit():
    def scribble(epoch):
        epoch.estimator.coefs_[0][:] = np.nan
        epoch.estimator.history_["loss"].clear()

    plain, est = fast().fit(X, LABELS), fast(callbacks=scribble).fit(X, LABELS)
    assert est.loss_curve_ == plain.loss_curve_
    assert all(map(np.array_equal, est.coefs_, plain.coefs_))


@PROTOCOL
def test_the_estimator_of_an_epoch_can_be_saved_and_trained_further(tmp_path):
    def further(epoch):
        if epoch.epoch == 2:
            epoch.estimator.partial_fit(X, LABELS).save(tmp_path / "two")

    recorder = Recorder()
    est = fast(callbacks=further).set_callbacks(recorder).fit(X, LABELS)
    assert load_model(tmp_path / "two").loss_curve_[:2] == est.loss_curve_[:2]
    assert [call[0] for call in recorder.calls].count("teardown") == 1  # by the fit alone


def test_no_estimator_is_made_that_nobody_asks_for(monkeypatch):
    monkeypatch.setattr("xpmlp.estimators.callbacks._view", None)
    losses = []
    est = fast(callbacks=lambda epoch: losses.append(epoch.loss)).fit(X, LABELS)
    assert losses == est.loss_curve_


def test_an_epoch_that_is_over_gives_no_estimator():
    seen = []
    fast(callbacks=seen.append).fit(X, LABELS)
    with pytest.raises(RuntimeError, match="this epoch is over"):
        seen[-1].estimator  # noqa: B018


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_true_result_stops_and_every_callback_is_still_called(solver):
    seen = []
    both = [lambda epoch: epoch.epoch == 3, seen.append]
    with warnings.catch_warnings(action="error"):  # a stop that was asked for is none to warn of
        est = fast(MLPRegressor, solver=solver, max_iter=50, callbacks=both).fit(X, VALUES)
    assert est.n_iter_ == len(seen) == len(est.loss_curve_) == 3


def test_a_stop_brings_the_best_weights_of_early_stopping_back():
    seen = []
    look = lambda epoch: seen.append(epoch.estimator) or epoch.epoch == 8
    est = fast(
        learning_rate_init=0.3, early_stopping=True, max_iter=50, callbacks=look, random_state=3
    ).fit(X, LABELS)
    best = int(np.argmax(est.validation_scores_))
    assert best < 7 and np.array_equal(est.coefs_[0], seen[best].coefs_[0])
    assert not np.array_equal(est.coefs_[0], seen[-1].coefs_[0])


class Recorder:
    """A callback of scikit-learn's protocol that notes what it is told."""

    def __init__(self, stop_at=None, fail_at=None):
        self.calls, self.stop_at, self.fail_at = [], stop_at, fail_at

    def setup(self, estimator, context):
        self.calls.append(("setup", context.task_name))

    def teardown(self, estimator, context):
        self.calls.append(("teardown", context.task_name))

    def on_fit_task_begin(self, estimator, context, *, X, y, metadata, fitted_estimator):
        self.calls.append(("begin", context.task_name, context.task_id, context.max_subtasks))
        if context.task_name == "epoch":
            fitted_estimator.predict(X)

    def on_fit_task_end(self, estimator, context, *, X, y, metadata, fitted_estimator):
        self.calls.append(("end", context.task_name, context.task_id, X is not None))
        if (context.task_name, context.task_id) == ("epoch", self.fail_at):
            raise ZeroDivisionError("planted")
        self.last = X, y, metadata, fitted_estimator
        return (context.task_name, context.task_id) == ("epoch", self.stop_at)


class Saver(Recorder):
    """A callback that writes the estimator of the third epoch to a file."""

    def __init__(self, path):
        super().__init__()
        self.path = path

    def on_fit_task_end(self, estimator, context, *, fitted_estimator, **data):
        if (context.task_name, context.task_id) == ("epoch", 2):
            fitted_estimator.save(self.path, training=True)


@pytest.mark.parametrize("kind", ["function", pytest.param("protocol", marks=PROTOCOL)])
def test_the_estimator_of_an_epoch_trains_on_out_of_a_file_too(kind, tmp_path):
    est = fast(ema_decay=0.9)
    if kind == "protocol":
        est.set_callbacks(Saver(tmp_path / "m"))
    else:
        save = lambda epoch: (
            epoch.epoch == 3 and epoch.estimator.save(tmp_path / "m", training=True)
        )
        est.set_params(callbacks=save)
    est.fit(X, LABELS)
    third = load_model(tmp_path / "m").partial_fit(X, LABELS).partial_fit(X, LABELS)
    assert all(map(np.array_equal, third.coefs_, est.coefs_))


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("kind", ["function", pytest.param("protocol", marks=PROTOCOL)])
def test_an_error_in_a_callback_leaves_the_estimator_as_it_was(kind, solver):
    est = fast(solver=solver).fit(X, LABELS)
    recorder = Recorder(fail_at=1)
    if kind == "protocol":
        est.set_callbacks(recorder)
    else:
        est.set_params(callbacks=lambda epoch: 1 / (2 - epoch.epoch) < 0)
    before = dict(vars(est))
    coefs = [c.copy() for c in est.coefs_]
    with pytest.raises(ZeroDivisionError):
        est.fit(X, LABELS)
    assert {k: id(v) for k, v in vars(est).items()} == {k: id(v) for k, v in before.items()}
    assert all(map(np.array_equal, est.coefs_, coefs))
    assert kind == "function" or recorder.calls[-1] == ("teardown", "fit")


@pytest.mark.parametrize("wrong", [[3], callbacks.CSVLogger, [None], [Recorder]], ids=str)
def test_what_cannot_be_called_is_refused_in_a_sentence(wrong):
    with pytest.raises(
        TypeError, match="functions of one argument, the epoch, got .*set_callbacks"
    ):
        fast(callbacks=wrong).fit(X, LABELS)


def test_clones_searches_pickles_and_model_files_take_callbacks_along_or_leave_them(tmp_path):
    log = callbacks.CSVLogger(tmp_path / "log.csv")
    est = fast(callbacks=[log, print])
    copied = clone(est).callbacks
    assert copied[1] is print and copied[0] is not log and copied[0].path == log.path
    est.set_params(callbacks=log, max_iter=2)
    GridSearchCV(est, {"alpha": [0.1, 1.0]}, cv=2).fit(X, LABELS)
    rows = rows_of(log.path)
    assert [r["epoch"] for r in rows] == ["1", "2"] * 5
    est.fit(X, LABELS).save(tmp_path / "model")
    assert load_model(tmp_path / "model").callbacks is None and est.callbacks is log
    assert pickle.loads(pickle.dumps(est)).callbacks.path == log.path


# scikit-learn's protocol ------------------------------------------------------------------------


@PROTOCOL
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_fit_is_a_task_with_a_subtask_for_each_epoch(solver):
    recorder, weights = Recorder(), np.ones(60)
    est = fast(solver=solver, max_iter=3).set_callbacks(recorder).fit(X, LABELS, weights)
    epochs = [[("begin", "epoch", k, 0), ("end", "epoch", k, True)] for k in range(3)]
    assert recorder.calls == [
        ("setup", "fit"),
        ("begin", "fit", 0, 3),
        *sum(epochs, []),
        ("end", "fit", 0, True),
        ("teardown", "fit"),
    ]
    x, y, metadata, fitted = recorder.last
    assert x is X and y is LABELS and metadata == {"sample_weight": weights}
    assert np.array_equal(fitted.predict(X), est.predict(X))
    assert not [name for name in vars(est) if "ctx" in name or "teardown" in name]


@PROTOCOL
def test_an_epoch_that_was_begun_and_did_not_come_is_ended_empty():
    recorder = Recorder()
    est = fast(max_iter=100, tol=10.0, n_iter_no_change=2).set_callbacks(recorder).fit(X, LABELS)
    assert recorder.calls[-3:-1] == [("end", "epoch", est.n_iter_, False), ("end", "fit", 0, True)]


@PROTOCOL
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_callback_of_the_protocol_stops_the_training(solver):
    recorder = Recorder(stop_at=1)
    est = fast(solver=solver, max_iter=50).set_callbacks(recorder).fit(X, LABELS)
    assert est.n_iter_ == 2 and ("begin", "epoch", 2, 0) not in recorder.calls


@PROTOCOL
def test_partial_fit_is_no_fit_of_the_protocol():
    recorder = Recorder()
    fast().set_callbacks(recorder).partial_fit(X, LABELS, classes=[0, 1])
    assert recorder.calls == []


@PROTOCOL
def test_the_scores_of_a_monitor_are_those_of_the_epochs():
    from sklearn.callback import ScoringMonitor

    monitor, seen = ScoringMonitor(scoring="r2"), []
    look = lambda epoch: seen.append(epoch.estimator.score(X, VALUES))
    est = fast(MLPRegressor, callbacks=look).set_callbacks(monitor).fit(X, VALUES)
    rows = monitor.get_logs().data
    assert [r["r2"] for r in rows] == [est.score(X, VALUES), *seen]


def keys_of(row):
    return sorted(row), len(row["task_id_path"]), row["estimator_name"]


@PROTOCOL
def test_a_search_over_a_pipeline_logs_as_one_of_logistic_regression_does():
    from sklearn.callback import ScoringMonitor

    logs = []
    for model in (fast(max_iter=3), LogisticRegression(max_iter=2)):
        pipe = make_pipeline(
            StandardScaler(), model.set_callbacks(m := ScoringMonitor(scoring="r2"))
        )
        name = type(model).__name__.lower()
        kw = {f"{name}__random_state": [0, 1]}
        GridSearchCV(pipe, kw, cv=2).set_callbacks(Recorder()).fit(X, LABELS)
        logs.append(m.get_logs().data_as_pandas)
    ours, theirs = logs
    assert list(ours.columns) == list(theirs.columns)
    whole = [log[log.task_name == "fit"].task_id_path.tolist() for log in logs]
    assert whole[0] == whole[1] and len(whole[0]) == 5  # 2 x 2 fits and the last
    assert (ours.task_name == "epoch").sum() == 5 * 3


@PROTOCOL
def test_scikit_learns_progress_bar_shows_a_search(capsys):
    from sklearn.callback import ProgressBar

    pytest.importorskip("rich", reason="scikit-learn's ProgressBar needs rich")
    search = GridSearchCV(fast(max_iter=3), {"alpha": [0.1, 1.0]}, cv=2)
    search.set_callbacks(ProgressBar()).fit(X, LABELS)
    assert "MLPClassifier - fit" in capsys.readouterr().out


@PROTOCOL
def test_without_scikit_learns_callbacks_the_estimators_work():
    code = """if True:
        import sklearn.callback, sklearn.pipeline, sklearn.model_selection
        del sklearn.callback.CallbackSupportMixin
        from xpmlp import MLPClassifier
        clf = MLPClassifier(max_iter=500, callbacks=lambda epoch: epoch.epoch == 3)
        assert clf.fit([[0.0], [1.0]], [0, 1]).n_iter_ == 3 and not hasattr(clf, "set_callbacks")
    """
    subprocess.run([sys.executable, "-c", code], check=True)


# Logs -------------------------------------------------------------------------------------------


def test_a_csv_log_has_its_header_once_and_a_row_an_epoch(tmp_path):
    path = tmp_path / "log.csv"
    est = fast(callbacks=callbacks.CSVLogger(path), max_iter=2, warm_start=True)
    est.fit(X, LABELS, X_val=X, y_val=LABELS)
    est.set_params(callbacks=callbacks.CSVLogger(path)).fit(X, LABELS).partial_fit(X, LABELS)
    assert path.read_text().splitlines()[0] == COLUMNS
    rows = rows_of(path)
    assert [r["epoch"] for r in rows] == ["1", "2", "1", "2", "1"]
    assert [r["n_iter_total"] for r in rows] == ["1", "2", "3", "4", "5"]
    assert [float(r["loss"]) for r in rows] == est.loss_curve_
    assert [float(r["validation_loss"]) for r in rows[:2]] == est.history_["validation_loss"][:2]
    assert [r["validation_loss"] for r in rows[2:]] == ["", "", ""]


def test_a_jsonl_log_has_an_object_an_epoch_and_null_for_what_is_no_number(tmp_path):
    path = tmp_path / "log.jsonl"
    log = callbacks.JSONLLogger(str(path))
    est = fast(callbacks=log, solver="lbfgs", max_iter=3).fit(X, LABELS)
    log(callbacks.Epoch(1, 2, 3, float("nan"), float("inf")))
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert {tuple(row) for row in rows} == {tuple(COLUMNS.split(","))}
    assert [row["loss"] for row in rows] == [*est.loss_curve_, None]
    assert (
        {row["learning_rate"] for row in rows} == {row["validation_loss"] for row in rows} == {None}
    )


def test_nan_is_an_empty_cell_of_a_csv_log(tmp_path):
    callbacks.CSVLogger(tmp_path / "a.csv")(callbacks.Epoch(1, 2, 3, float("nan"), 0.5))
    assert (tmp_path / "a.csv").read_text() == f"{COLUMNS}\n1,3,,0.5,,,\n"


@pytest.mark.parametrize("name", ["CSVLogger", "JSONLLogger"])
def test_a_log_that_cannot_be_written_is_refused_when_it_is_made(tmp_path, name):
    with pytest.raises(OSError, match=f"{name} cannot write .*no.log.* folder that exists"):
        getattr(callbacks, name)(tmp_path / "missing" / "no.log")


def test_a_csv_log_does_not_write_into_another_file(tmp_path):
    (tmp_path / "data.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"data\.csv is no log of CSVLogger"):
        callbacks.CSVLogger(tmp_path / "data.csv")
    assert (tmp_path / "data.csv").read_text() == "a,b\n1,2\n"


def scalars(folder):
    """What stands in the event files of a folder: (tag, step, value)."""
    from tensorboardX.proto.event_pb2 import Event

    for path in sorted(folder.glob("*tfevents*")):
        data, at = path.read_bytes(), 0
        while at < len(data):
            (size,) = struct.unpack_from("<Q", data, at)
            event = Event.FromString(data[at + 12 : at + 12 + size])
            at += 16 + size
            yield from ((v.tag, event.step, v.simple_value) for v in event.summary.value)


def test_tensorboard_gets_a_run_for_each_fit(tmp_path):
    pytest.importorskip("tensorboardX", reason="TensorBoard's files need tensorboardX")
    board = callbacks.TensorBoard(tmp_path / "runs")
    est = fast(callbacks=board, max_iter=2).fit(X, LABELS, X_val=X, y_val=LABELS)
    first = dict(est.history_)
    est.partial_fit(X, LABELS)
    clone(est).fit(X, LABELS)
    est.fit(X, LABELS)
    assert sorted(p.name for p in board.folder.iterdir()) == ["run1", "run2", "run3"]
    found = list(scalars(board.folder / "run1"))
    assert sorted({tag for tag, _, _ in found}) == sorted(COLUMNS.split(",")[2:])
    losses = [(step, value) for tag, step, value in found if tag == "loss"]
    assert [step for step, _ in losses] == [1, 2, 3]
    np.testing.assert_allclose([v for _, v in losses[:2]], first["loss"][:2], rtol=1e-6)
    assert len(list(scalars(board.folder / "run3"))) == 2 * 3  # no validation


def test_a_record_of_an_event_file_is_tensorboardxs_own(tmp_path):
    writer = pytest.importorskip("tensorboardX", reason="it needs tensorboardX").RecordWriter(
        str(tmp_path / "theirs")
    )
    writer.write(b"some bytes")
    writer.close()
    assert callbacks._record(b"some bytes") == (tmp_path / "theirs").read_bytes()


def test_tensorboard_says_which_extra_it_needs(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r"pip install xpmlp\[tensorboard\]"):
        callbacks.TensorBoard(tmp_path)


def test_tensorboard_refuses_a_folder_that_cannot_be_made(tmp_path):
    pytest.importorskip("tensorboardX", reason="TensorBoard's files need tensorboardX")
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="TensorBoard cannot make the folder"):
        callbacks.TensorBoard(tmp_path / "file" / "runs")
