"""Cross-validation beside a training: so many more models, each tested on rows of its own."""

import json
import warnings

import numpy as np
import pytest
from cli_data import is_one_sentence, write_csv
from each import each
from sklearn.metrics import accuracy_score
from test_splits import HEAD, RARE, cells

from xpmlp import MLPClassifier

QUICK = ["--epochs", 2, "--hidden", 5, "--quiet"]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(name="crossed")
def crossed_fixture(xpmlp, monkeypatch):
    """Train with folds; returns the JSON, and (X, X_val, weights) of each fit."""
    fits = []
    fit = MLPClassifier.fit

    def noted(model, X, y, sample_weight=None, **held):
        fits.append((X, held.get("X_val"), sample_weight))
        return fit(model, X, y, sample_weight, **held)

    monkeypatch.setattr(MLPClassifier, "fit", noted)

    def run(*arguments, rows=None):
        write_csv("t.csv", rows or cells(100), HEAD)
        code, out, err = xpmlp("train", "t.csv", *QUICK, "--json", "--folds", 3, *arguments)
        assert code == 0, err
        return json.loads(out), err, fits

    return run


def xs(X):
    return {f"{x:.6f}" for x in X.column(0)}


def test_each_row_tests_one_of_the_models_and_the_usual_one_is_saved(crossed, xpmlp):
    found, err, fits = crossed()
    folds = found["folds"]
    assert (folds["n"], len(folds["scores"]), len(fits)) == (3, 3, 4)
    every = {row[0] for row in cells(100)}
    tested = [every - xs(X) - xs(X_val) for X, X_val, _ in fits[1:]]
    assert sorted(x for some in tested for x in some) == sorted(every)
    accuracies = [one["accuracy"] for one in folds["scores"]]
    assert folds["mean"]["accuracy"] == pytest.approx(np.mean(accuracies))
    assert folds["deviation"]["accuracy"] == pytest.approx(np.std(accuracies))
    assert f"3 folds: accuracy {np.mean(accuracies):.4f} ± {np.std(accuracies):.4f}" in err
    plain = json.loads(xpmlp("train", "t.csv", *QUICK, "--json", "--out", "m")[1])
    assert (plain["metrics"], plain["folds"]) == (found["metrics"], None)
    assert "3 folds: accuracy" in xpmlp("info", "t.safetensors")[1]
    assert json.loads(xpmlp("info", "t.safetensors", "--json")[1])


def test_folds_part_groups_and_weigh(crossed):
    found, _, fits = crossed("--split", "group:g", "--sample-weight", "w")
    groups = {row[0]: row[1] for row in cells(100)}
    weights = {row[0]: row[4] for row in cells(100)}
    for X, X_val, given in fits:
        trained_on, watched = ({groups[x] for x in xs(rows)} for rows in (X, X_val))
        assert trained_on.isdisjoint(watched)
        assert len(trained_on | watched) < 10
        assert given.tolist() == [weights[f"{x:.6f}"] for x in X.column(0)]
    assert found["folds"]["n"] == 3


def test_each_fold_in_time_has_more_past(crossed):
    _, _, fits = crossed("--split", "time:year")
    last = [X_val.column(X_val.names.index("year")).max() for _, X_val, _ in fits[1:]]
    sizes = [len(X) for X, _, _ in fits[1:]]
    assert (sorted({*last}), sorted(sizes)) == (last, sizes)


def test_a_label_in_few_rows_is_trained_on_in_each_fold(crossed):
    found, err, _ = crossed(rows=RARE)
    assert err.count("'rare' has fewer than the 2 rows that it takes to hold some out") == 1
    assert "3 folds:" in err and "be in 3 folds" not in err
    assert found["folds"]["mean"]["accuracy"] > 0


def test_what_is_validated_on_is_as_without_folds(crossed):
    _, _, fits = crossed("--validation", 0)
    assert [X_val for _, X_val, _ in fits] == [None] * 4
    fits.clear()
    _, _, fits = crossed("--validation", "test")
    assert {len(X) + len(X_val) for X, X_val, _ in fits} == {100}
    fits.clear()
    write_csv("v.csv", cells(30), HEAD)
    _, _, fits = crossed("--validation", "v.csv", "--test", "v.csv")
    assert [len(X_val) for _, X_val, _ in fits] == [30] * 4
    assert sorted(len(X) for X, _, _ in fits) == [66, 67, 67, 100]


def test_a_threshold_decides_in_the_folds_too(crossed):
    found, _, _ = crossed("--threshold", 0.999)
    assert all(one["accuracy"] < 0.7 for one in found["folds"]["scores"])


def test_a_metric_that_a_fold_does_not_have_has_no_mean(crossed):
    rows = [[*row[:5], "low" if row[1] in "abcdefg" else "high"] for row in cells(100)]
    found, err, _ = crossed("--split", "group:g", "--folds", 10, rows=rows)
    assert found["folds"]["mean"]["roc_auc"] is None
    assert "roc_auc undefined" in err


def test_an_interrupted_fold_leaves_the_model_and_says_so(xpmlp, monkeypatch):
    write_csv("t.csv", cells(100), HEAD)
    from xpmlp.cli import folds

    monkeypatch.setattr(folds, "fitted", lambda *_: ["Training interrupted by user."])
    code, out, err = xpmlp("train", "t.csv", *QUICK, "--folds", 3)
    assert (code, "scores of the folds are left out" in err) == (130, True)
    assert xpmlp("evaluate", "t.safetensors", "t.csv")[0] == 0


@each(
    "arguments, code, words",
    [
        (["--folds", 1], 2, ["--folds", "1"]),
        (["--folds", 80], 3, ["fewer than 80 rows", "fewer --folds"]),
        (["--folds", 11, "--split", "group:g"], 3, ["there are 10 groups", "fewer --folds"]),
        (["--folds", 40, "--split", "time:year"], 3, ["40 folds"]),
        (["--folds", 3, "--split", "column:part"], 2, ["--folds", "--split column"]),
    ],
    ids=str,
)
def test_folds_that_cannot_be_are_told_before_the_training(
    xpmlp, tmp_path, monkeypatch, arguments, code, words
):
    monkeypatch.chdir(tmp_path)
    write_csv("t.csv", cells(100), HEAD)
    found, _, err = xpmlp("train", "t.csv", *QUICK, *arguments)
    assert (found, is_one_sentence(err)) == (code, True)
    assert [word for word in words if word not in err.splitlines()[-1]] == []


def test_the_mean_is_what_scikit_learn_says_of_the_same_models(xpmlp):
    """An independent pass over the folds of scikit-learn, with no validation rows."""
    from sklearn.datasets import load_iris
    from sklearn.model_selection import StratifiedKFold

    options = ["--epochs", 20, "--validation", 0, "--seed", 0, "--dtype", "float64", "--json"]
    found = json.loads(xpmlp("train", "iris", *options, "--folds", 4)[1])["folds"]
    X, y = load_iris(return_X_y=True)
    scores = []
    warnings.simplefilter("ignore")  # of epochs that are few
    for rows, tested in StratifiedKFold(4, shuffle=True, random_state=0).split(X, y):
        model = MLPClassifier(
            (100,), batch_size=32, max_iter=20, n_iter_no_change=np.inf, random_state=0,
            feature_scale="standard",
        ).fit(X[rows], y[rows])  # fmt: skip
        scores.append(accuracy_score(y[tested], model.predict(X[tested])))
    assert [one["accuracy"] for one in found["scores"]] == pytest.approx(scores)
