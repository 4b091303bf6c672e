"""The decision threshold on the command line: said, tuned, kept, tried."""

import csv
import io
import json

import numpy as np
import pytest
from cli_data import write_csv
from each import each
from sklearn import metrics as sk

from xpmlp import MLPClassifier, load_model
from xpmlp.cli.threshold import best_threshold

pytestmark = pytest.mark.filterwarnings("ignore:.*Maximum iterations")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 2))
LABELS = np.where(X[:, 0] + RNG.normal(size=120) > 1.3, "yes", "no")
QUICK = ["--epochs", "8", "--hidden", "5", "--quiet"]


def fitted(y=LABELS):
    return MLPClassifier((5,), max_iter=30, learning_rate_init=0.02, random_state=0).fit(X, y)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(name="data")
def data_fixture():
    return write_csv("d.csv", [(*row, label) for row, label in zip(X.tolist(), LABELS)])


def predicted(xpmlp, *arguments):
    """Return labels and probabilities of the second class, as the command prints them."""
    code, out, _ = xpmlp("predict", *arguments, "--proba")
    assert code == 0
    rows = [*csv.DictReader(io.StringIO(out))]
    return [row["prediction"] for row in rows], np.array([float(row["yes"]) for row in rows])


def test_a_threshold_that_is_said_is_kept_and_heeded_by_every_command(xpmlp, data):
    code, out, _ = xpmlp("train", data, *QUICK, "--threshold", "0.2", "--out", "m")
    assert code == 0 and load_model("m").threshold_ == 0.2
    assert "Positive class: 'yes', predicted where its probability is above 0.2." in out
    labels, p = predicted(xpmlp, "m", data)
    assert labels == np.where(p > 0.2, "yes", "no").tolist()
    told = json.loads(xpmlp("evaluate", "m", data, "--json")[1])
    assert told["threshold"] == 0.2
    assert told["metrics"]["accuracy"] == pytest.approx(np.mean(labels == LABELS))
    assert told["metrics"]["roc_auc"] == pytest.approx(sk.roc_auc_score(LABELS, p), abs=1e-3)


def test_evaluate_tries_another_and_does_not_keep_it(xpmlp, data):
    xpmlp("train", data, *QUICK, "--out", "m")
    _, p = predicted(xpmlp, "m", data)
    for threshold in (0.1, 0.6):
        told = json.loads(xpmlp("evaluate", "m", data, "--json", "--threshold", threshold)[1])
        want = sk.f1_score(LABELS, np.where(p > threshold, "yes", "no"), pos_label="yes")
        assert told["threshold"] == threshold and told["classes"][1]["f1"] == pytest.approx(want)
    assert load_model("m").threshold_ == 0.5


@each("metric", ["f1", "balanced_accuracy", "negative_likelihood_ratio"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
def test_the_best_threshold_is_as_good_as_any(metric):
    model, y = fitted(), LABELS == "yes"
    threshold, best, before = best_threshold(model, X, LABELS, metric)
    p = model.predict_proba(X)[:, 1]
    names = {"negative_likelihood_ratio": lambda y, said: -sk.class_likelihood_ratios(y, said)[1]}
    score = names.get(metric) or getattr(sk, f"{metric}_score")
    every = [score(y, p > t) for t in [*np.unique(p)[:-1], 0.5]]
    sign = -1 if metric in names else 1
    assert sign * best == pytest.approx(score(y, p > threshold))
    assert sign * before == pytest.approx(score(y, p > 0.5))
    assert sign * best >= np.nanquantile(every, 0.98)  # a hundred thresholds are tried of 120


def test_of_equally_good_thresholds_the_nearest_to_a_half_is_taken():
    model = fitted(np.where(X[:, 0] > 0, "yes", "no"))
    right = model.predict(X)
    assert best_threshold(model, X, right, "f1") == (0.5, 1.0, 1.0)
    p, few = np.sort(model.predict_proba(X[:60])[:, 1]), X[:60]
    says = np.where(model.predict_proba(few)[:, 1] > p[9], "yes", "no")
    assert p[8] < p[9] < best_threshold(model, few, says, "recall")[0] < p[10] < 0.5


def test_a_tuned_threshold_has_few_decimals_and_weights_count_as_rows():
    model, weights = fitted(), RNG.integers(1, 4, size=120)
    twice = np.repeat(np.arange(120), weights)
    threshold, best, _ = best_threshold(model, X, LABELS, "f1")
    assert len(str(threshold)) <= 6 and best > 0
    one = best_threshold(model, X, LABELS, "f1", weights)
    assert one == pytest.approx(best_threshold(model, X[twice], LABELS[twice], "f1"))


def test_a_training_tunes_its_threshold_on_the_validation_rows(xpmlp, data):
    held = write_csv("v.csv", [(*row, label) for row, label in zip(X[:90].tolist(), LABELS[:90])])
    said = ["--validation", held, "--tune-threshold", "f1"]
    code, out, _ = xpmlp("train", data, *QUICK, *said, "--out", "m")
    model = load_model("m")
    _, p = predicted(xpmlp, "m", held)
    f1 = [sk.f1_score(LABELS[:90] == "yes", p > t) for t in (model.threshold_, 0.5)]
    out = " ".join(out.split())
    rows = f"90 validation rows, {sum(LABELS[:90] == 'yes')} of them 'yes',"
    words = f"Threshold {model.threshold_:g}: the best f1 of {rows} is {f1[0]:.4f}"
    assert code == 0 and words in out
    assert f"(at 0.5: {f1[1]:.4f})." in out and f1[0] >= f1[1]


@each(
    "data, arguments, words",
    [
        ("iris", ["--threshold", "0.3"], "--threshold is for two classes, and the target has 3."),
        ("sine", ["--threshold", "0.3"], "--threshold is for two classes, and this is a regr"),
        ("iris", ["--tune-threshold", "f1"], "--tune-threshold is for two classes, and the targ"),
        ("moons", ["--threshold", "0"], "'0' is not a number above 0 and below 1."),
        ("moons", ["--threshold", "nan"], "'nan' is not a number above 0 and below 1."),
        ("moons", ["--threshold", "1.5"], "'1.5' is not a number above 0 and below 1."),
        ("moons", ["--threshold", "0.3", "--tune-threshold", "f1"], "exclude each other: say one"),
        ("moons", ["--tune-threshold", "f2"], "'f2' is no metric of scikit-learn"),
        ("moons", ["--tune-threshold", "mae"], "mae is for a regression"),
        ("moons", ["--tune-threshold", "f1_samples"], "f1_samples is none of two classes"),
        ("moons", ["--tune-threshold", "roc_auc"], "roc_auc does not depend on the threshold"),
        ("moons", ["--tune-threshold", "log_loss"], "log_loss does not depend on the threshold"),
        ("moons", ["--tune-threshold", "f1", "--validation", "0"], "--validation 0 holds none out"),
        ("moons", ["--tune-threshold", "f1", "--validation", "test"], "say --validation 0.1."),
    ],
)
def test_a_threshold_that_cannot_be_is_told_before_the_training(xpmlp, data, arguments, words):
    code, out, err = xpmlp("train", data, *QUICK, *arguments, "--out", "m")
    assert code == 2 and words in " ".join(err.split()) and "Test:" not in out


def test_evaluate_refuses_a_threshold_for_other_models(xpmlp):
    xpmlp("train", "iris", *QUICK)
    code, _, err = xpmlp("evaluate", "iris.safetensors", "iris", "--threshold", "0.3")
    assert code == 2 and "a threshold decides between two classes, and this model has" in err


def test_validation_rows_of_one_class_tune_nothing(xpmlp, data):
    ones = write_csv("v.csv", [(*row, "no") for row in X[:20].tolist()])
    said = ["--validation", ones, "--tune-threshold", "f1"]
    code, _, err = xpmlp("train", data, *QUICK, *said)
    assert code == 2 and "--tune-threshold needs validation rows of both classes." in err
