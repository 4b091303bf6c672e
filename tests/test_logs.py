"""The logger "xpmlp": what is logged at which level, and nothing of it printed unless asked for."""

import logging
import subprocess
import sys

import numpy as np
import pytest

import xpmlp
from xpmlp import nn
from xpmlp.tables.files.open_raw_table import open_raw_table
from xpmlp.tables.open_table import open_table

X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
LABELS = (X[:, 0] > 0).astype(int)
pytestmark = pytest.mark.filterwarnings("ignore:.*Maximum iterations")


def fast(**kw):
    return xpmlp.MLPClassifier((8,), random_state=0, **{"max_iter": 3} | kw)


@pytest.fixture
def logged(caplog):
    """What has been logged so far: (level, text), each of the logger "xpmlp"."""
    caplog.set_level(logging.DEBUG, "xpmlp")

    def lines():
        assert {record.name for record in caplog.records} <= {"xpmlp"}
        return [(record.levelname, record.getMessage()) for record in caplog.records]

    return lines


def test_a_fit_logs_where_it_runs_and_how_it_ends_and_each_epoch_as_a_detail(logged, capsys):
    est = fast().fit(X, LABELS)
    where, begin, *epochs, end = logged()
    assert where == ("INFO", f"Training on cpu: {est.fit_report_['why']}")
    assert begin == (
        "INFO",
        "Training begins: X (60, 4), float32, batches of 60 rows, 49 parameters.",
    )
    losses = [f"{loss:.6g}" for loss in est.history_["loss"]]
    assert [text.split(",")[0] for _, text in epochs] == [
        f"Epoch {k}: loss {loss}" for k, loss in enumerate(losses, 1)
    ]
    assert {level for level, _ in epochs} == {"DEBUG"}
    engine = est.fit_report_["engine"]
    ended = "Training ended after 3 epochs (max_iter), with the weights of epoch 3"
    assert end == ("INFO", f"{ended}; engine {engine}.")
    assert capsys.readouterr() == ("", "")


def bare(**how):
    return xpmlp.train(nn.Network([nn.Dense(1)]), X, X[:, :1], max_iter=2, **how).report


@pytest.mark.parametrize(
    "report_of",
    [
        lambda: fast().fit(X, LABELS).fit_report_,
        lambda: fast(solver="lbfgs").fit(X, LABELS).fit_report_,
        bare,
        lambda: bare(accelerate="generic"),
    ],
)
def test_the_engine_has_one_name_in_the_log_and_in_the_report(logged, report_of):
    engine = report_of()["engine"]
    assert logged()[-1][1].endswith(f"; engine {engine}.")


def test_why_a_training_stops_and_which_weights_it_keeps_are_logged(logged):
    how = {"early_stopping": True, "n_iter_no_change": 2, "tol": 1.0, "max_iter": 50}
    est = fast(**how).fit(X, LABELS)
    *_, why, end = logged()
    assert why == (
        "INFO",
        "Validation score did not improve more than tol=1.000000 for 2 consecutive epochs. "
        "Stopping.",
    )
    n, kept = est.n_iter_, est.best_epoch_
    ended = f"Training ended after {n} epochs (converged), with the weights of epoch {kept};"
    assert end[1].startswith(ended)


def test_what_was_asked_for_and_is_not_done_is_logged_once_as_it_stands_in_the_report(logged):
    (note,) = fast(accelerate="graph").fit(X, LABELS).fit_report_["notes"]
    assert logged().count(("INFO", note)) == 1


def test_an_epoch_of_partial_fit_is_a_detail(logged):
    est = fast().partial_fit(X, LABELS, classes=[0, 1])
    before = len(logged())
    est.partial_fit(X, LABELS)
    assert [level for level, _ in logged()[before:]] == ["DEBUG"] * 3


def test_a_training_that_diverges_is_logged_to_its_end(logged):
    with pytest.raises(xpmlp.errors.DivergenceError):
        fast(solver="sgd", learning_rate_init=1e30).fit(X, LABELS)
    assert "(diverged)" in logged()[-1][1]


def test_train_logs_as_a_fit_does(logged):
    xpmlp.train(nn.Network([nn.Dense(1)]), X, X[:, :1], max_iter=2)
    assert [level for level, _ in logged()] == ["INFO", "INFO", "DEBUG", "DEBUG", "INFO"]


def test_files_that_are_written_and_read_are_logged(logged, tmp_path):
    model, table = tmp_path / "model.safetensors", tmp_path / "table.csv"
    est = fast().fit(X, LABELS)
    before = len(logged())
    est.save(model)
    xpmlp.load_model(model)
    table.write_text("a,b\n1,yes\n2,no\n3,\n")
    with open_table(table, on_bad_row="skip"):
        pass
    assert logged()[before:] == [
        ("INFO", f"Model file written: {model}"),
        ("INFO", f"Model file read: {model}"),
        ("INFO", f"Table read: {table}, 2 rows of 2 columns, 1 bad rows."),
    ]


def test_without_a_listener_nothing_is_printed_and_no_text_is_made(capsys, monkeypatch):
    def fail(*_):
        raise AssertionError("a record was made that nobody reads")

    monkeypatch.setattr(logging.Logger, "makeRecord", fail)
    fast().fit(X, LABELS).predict(X)
    assert capsys.readouterr() == ("", "")


def test_reading_a_table_shows_no_progress_bar_in_a_notebook(tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("a,b\n1,yes\n2,no\n")
    with open_raw_table(table) as raw:
        shown = raw.connection.execute("SELECT current_setting('enable_progress_bar')").fetchone()
    assert shown == (False,)


def test_the_command_line_logs_to_standard_error_as_it_is_asked_to(tmp_path):
    train = ["train", "iris", "--epochs", "2", "--quiet", "--out", str(tmp_path / "m.safetensors")]
    command = [sys.executable, "-m", "xpmlp", "--log-level", "debug", *train]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stderr.splitlines()
    said = [" ".join(line.split()[2:4]) for line in lines]  # after day and time
    # The model is saved before its scores are computed, and again with them.
    saved = ["INFO Model"] * 2
    assert said[1:] == ["INFO Training", *["DEBUG Epoch"] * 2, "INFO Training", *saved]
