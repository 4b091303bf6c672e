"""What is printed while training: lines without a terminal, a bar on one and in a notebook."""

import re
import sys
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier as ScikitLearns

from xpmlp import MLPClassifier
from xpmlp.training import progress

pytestmark = pytest.mark.filterwarnings("ignore:.*Maximum iterations")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4)).astype(np.float32)
LABELS = (X[:, 0] + X[:, 1] > 0).astype(int)
NUMBER = r"[\d.e-]+"


def fast(kind=MLPClassifier, **kw):
    return kind((8,), random_state=0, **({"max_iter": 3} | kw))


def printed(capsys, est, **more):
    """The lines that a fit prints but the first, which says where it trains."""
    est.fit(X, LABELS, **more)
    out, err = capsys.readouterr()
    assert err == ""
    return out.splitlines()[1:]


def test_nothing_is_printed_unless_asked_for(capsys):
    assert printed(capsys, fast()) == []


@pytest.mark.parametrize("verbose", [True, 1])
@pytest.mark.parametrize("early", [False, True])
def test_verbose_1_prints_scikit_learns_lines(capsys, verbose, early):
    ours = printed(capsys, fast(verbose=verbose, early_stopping=early))
    fast(ScikitLearns, verbose=True, early_stopping=early).fit(X, LABELS)
    theirs = capsys.readouterr().out.splitlines()
    assert [re.sub(NUMBER, "#", line) for line in ours] == [
        re.sub(NUMBER, "#", line) for line in theirs
    ]


def test_verbose_2_prints_losses_score_and_learning_rate_of_each_epoch(capsys):
    est = fast(verbose=2, solver="sgd", learning_rate="invscaling")
    lines = printed(capsys, est, X_val=X, y_val=LABELS)
    h = est.history_
    assert lines == [
        f"epoch {k + 1:4d}  loss {h['loss'][k]:.5f}  "
        f"validation loss {h['validation_loss'][k]:.5f}  score {h['validation_score'][k]:.4f}  "
        f"rate {h['learning_rate'][k]:.3g}"
        for k in range(3)
    ]


def test_verbose_2_shows_only_what_this_call_has(capsys):
    est = fast(verbose=2, solver="lbfgs", max_iter=1, warm_start=True)
    first = printed(capsys, est, X_val=X, y_val=LABELS)
    assert re.fullmatch(rf"iteration +1  loss {NUMBER}  validation loss .* score {NUMBER}", *first)
    second = printed(capsys, est)
    assert re.fullmatch(rf"iteration +1  loss {NUMBER}", *second)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("verbose", [1, 2])
def test_on_a_terminal_there_is_a_bar_with_losses_and_the_time_left(
    capsys, monkeypatch, solver, verbose
):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    fast(verbose=verbose, solver=solver).fit(X, LABELS, X_val=X, y_val=LABELS)
    out, err = capsys.readouterr()
    last = err.split("\r")[-1]
    assert re.search(r"3/3 \[\d\d:\d\d<\d\d:\d\d", last), last
    assert re.search(rf"loss={NUMBER}, validation_loss={NUMBER}", last), last
    assert out.count("  loss ") == (3 if verbose == 2 else 0) and "Iteration" not in out


@pytest.mark.parametrize("verbose", [1, 2])
def test_in_a_notebook_without_ipywidgets_the_bar_is_text_and_nothing_warns(
    capsys, monkeypatch, verbose
):
    shell = SimpleNamespace(kernel=None, config={"IPKernelApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "ipykernel.zmqshell", SimpleNamespace())  # tqdm looks for it
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    for name in ("auto", "autonotebook", "notebook"):
        monkeypatch.delitem(sys.modules, f"tqdm.{name}", raising=False)
    with warnings.catch_warnings(record=True) as found:  # tqdm catches a warning that is an error
        warnings.simplefilter("always")
        fast(verbose=verbose).fit(X, LABELS)
    assert {warning.category for warning in found} == {ConvergenceWarning}
    out, err = capsys.readouterr()
    assert err == ""  # a notebook shows it in red
    found = re.search(rf"3/3 \[.*loss={NUMBER}", out.split("\r")[-1])
    assert bool(found) == (verbose == 1)  # lines push a bar of text down again and again
    assert out.count("  loss ") == (3 if verbose == 2 else 0) and "Iteration" not in out


def test_in_a_terminals_ipython_lines_are_those_of_python(capsys, monkeypatch):
    shell = SimpleNamespace(config={})
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert len(printed(capsys, fast(verbose=1))) == 3


def test_a_notebooks_bar_is_whole_where_training_ends_early(monkeypatch):
    drawn, closed = SimpleNamespace(max=200), []
    bar = SimpleNamespace(n=12, total=200, container=SimpleNamespace(children=[None, drawn, None]))
    bar.close = lambda: closed.append((bar.n, bar.total, drawn.max))
    monkeypatch.setattr(progress, "progress_bar", lambda *_: bar)
    progress.Progress(1, 200, {}).close()
    assert closed == [(12, 12, 12)]  # tqdm draws one that is not in red


def test_the_latest_entries_are_those_of_this_call():
    history = {"loss": [3.0, 2.0], "validation_loss": [9.0]}
    before = progress.lengths(history)
    history["loss"].append(1.0)
    assert progress.latest(history, before) == {"loss": 1.0}
