"""What train and evaluate say of a model: metrics, baseline, a table by class."""

import json
import re

import numpy as np
import pytest
from cli_data import write_csv
from each import each
from sklearn import metrics as sk
from sklearn.dummy import DummyClassifier, DummyRegressor

from xpmlp import MLPClassifier, MLPRegressor, load_model
from xpmlp.cli.metrics import known_names, wrong_metric
from xpmlp.cli.scores import class_table, metrics, rows_by_class, scored

pytestmark = pytest.mark.filterwarnings("ignore:.*Maximum iterations")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 2))
LABELS = np.where(X[:, 0] + RNG.normal(size=200) > 1.0, "yes", "no")
QUICK = ["--epochs", "3", "--hidden", "5", "--quiet"]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def classifier(y, **kw):
    return MLPClassifier((5,), **{"max_iter": 10, "random_state": 0} | kw).fit(X, y)


def csv(name, X, y):
    return write_csv(name, [(*row, label) for row, label in zip(X.tolist(), y.tolist())])


@pytest.fixture(name="found")
def found_fixture(xpmlp):
    """Run a command with --json. Returns what it says."""

    def run(*arguments):
        code, out, err = xpmlp(*arguments, "--json")
        assert code == 0, err
        return json.loads(out, parse_constant=pytest.fail)

    return run


@each("labels", [("no", "yes"), (0, 1), (1, 2), (False, True), (-1.0, 1.0), ("", "b")])
def test_scores_of_one_class_are_of_the_second_whatever_the_labels(labels):
    y = np.array(labels)[(LABELS == "yes") * 1]
    model, second = classifier(y), labels[1]
    names = ["f1", "precision", "recall", "jaccard", "average_precision", "roc_auc", "brier_score"]
    got = metrics(model, X, y, more=names)
    said, p = model.predict(X), model.predict_proba(X)[:, 1]
    for name in ("f1", "precision", "recall", "jaccard"):
        assert got[name] == getattr(sk, f"{name}_score")(y, said, pos_label=second)
    assert got["average_precision"] == sk.average_precision_score(y, p, pos_label=second)
    assert got["roc_auc"] == sk.roc_auc_score(y, model.decision_function(X))
    assert got["brier_score"] == pytest.approx(np.mean((p - (y == second)) ** 2))
    assert got["accuracy"] == sk.accuracy_score(y, said) and got["accuracy"] == model.score(X, y)
    assert got["balanced_accuracy"] == sk.balanced_accuracy_score(y, said)
    assert got["log_loss"] == pytest.approx(sk.log_loss(y, model.predict_proba(X)))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
def test_every_scorer_of_scikit_learn_gives_its_own_number_or_a_reason():
    y = np.array([3, 5, 9])[np.digitize(X[:, 0], [-0.5, 0.5])]
    models = {"classification": (classifier(y), y)}
    values = np.exp(X[:, 0])
    regressor = MLPRegressor("poisson", (5,), max_iter=20, random_state=0).fit(X, values)
    models["regression"] = regressor, values
    for task, (model, targets) in models.items():
        names = [name for name in known_names() if wrong_metric(name, task) is None]
        got = scored(model, X, targets, more=names)
        for name in set(names) & {*sk.get_scorer_names()}:
            try:
                expected = float(sk.get_scorer(name)(model, X, targets))
            except ValueError:
                assert got.metrics[name] is None and got.notes[name]
                continue
            assert got.metrics[name] == pytest.approx(expected, rel=1e-5), name
            assert abs(got.metrics[name.removeprefix("neg_")]) == abs(got.metrics[name])


def test_regressions_are_told_by_rmse_mae_and_r2():
    model = MLPRegressor(hidden_layer_sizes=(5,), max_iter=20, random_state=0).fit(X, X[:, 0])
    found = model.predict(X)
    assert metrics(model, X, X[:, 0]) == pytest.approx(
        {
            "rmse": sk.root_mean_squared_error(X[:, 0], found),
            "mae": sk.mean_absolute_error(X[:, 0], found),
            "r2": sk.r2_score(X[:, 0], found),
        }
    )


def test_a_weight_of_two_is_two_rows():
    weights = RNG.integers(1, 4, size=200)
    twice = np.repeat(np.arange(200), weights)
    model = classifier(LABELS)
    one, two = scored(model, X, LABELS, weights), scored(model, X[twice], LABELS[twice])
    for a, b in ((one.metrics, two.metrics), (one.baseline["metrics"], two.baseline["metrics"])):
        assert a == pytest.approx(b)
    assert [row["f1"] for row in one.classes] == pytest.approx([r["f1"] for r in two.classes])
    assert [row["rows"] for row in one.classes] == [*np.unique(LABELS, return_counts=True)[1]]
    model = MLPRegressor(hidden_layer_sizes=(5,), max_iter=5, random_state=0).fit(X, X[:, 0])
    one, two = scored(model, X, X[:, 0], weights), scored(model, X[twice], X[twice, 0])
    assert one.baseline["metrics"]["r2"] == pytest.approx(two.baseline["metrics"]["r2"])
    assert scored(model, X, X[:, 0], weights, ("max_error",)).metrics["max_error"] is None


def test_the_baseline_is_a_dummy_of_the_training_rows():
    tried = slice(150, 200)
    model = classifier(LABELS)
    model.baseline_ = {"shares": [0.2, 0.8]}
    got = scored(model, X[tried], LABELS[tried], more=("f1",)).baseline
    dummy = DummyClassifier().fit([[0]] * 5, ["no", *["yes"] * 4])
    y, rows = LABELS[tried], np.zeros((50, 1))
    assert got["always"] == "yes" and got["of"] == "the training rows"
    assert got["metrics"] == {
        "accuracy": sk.accuracy_score(y, dummy.predict(rows)),
        "balanced_accuracy": 0.5,
        "log_loss": pytest.approx(sk.log_loss(y, dummy.predict_proba(rows))),
        "roc_auc": 0.5,
        "f1": sk.f1_score(y, dummy.predict(rows), pos_label="yes"),
    }


def test_a_training_keeps_its_baseline_in_the_model_file(found):
    few = LABELS == "yes"
    data, other = csv("d.csv", X, LABELS), csv("other.csv", X[few], LABELS[few])
    made = found("train", data, *QUICK, "--test", other)
    assert made["baseline"]["always"] == "no" and made["baseline"]["metrics"]["accuracy"] == 0
    again = found("evaluate", "d.safetensors", other)
    assert again["baseline"] == made["baseline"] and again["classes"] == made["classes"]
    made = found("train", csv("n.csv", X, X[:, 0] ** 3), *QUICK)
    again = found("evaluate", "n.safetensors", csv("m.csv", X, 5 + X[:, 0]))["baseline"]
    kept = load_model("n.safetensors").baseline_
    assert again["always"] == made["baseline"]["always"] == kept["mean"]
    y = 5 + X[:, 0]
    assert again["metrics"]["rmse"] == pytest.approx(np.sqrt(np.mean((y - kept["mean"]) ** 2)))
    assert again["metrics"]["mae"] == pytest.approx(np.mean(np.abs(y - kept["median"])))


def test_the_median_is_the_baseline_of_absolute_errors():
    y = np.exp(3 * X[:, 0])
    model = MLPRegressor(hidden_layer_sizes=(5,), max_iter=5, random_state=0).fit(X, y)
    got = scored(model, X, y, more=("neg_median_absolute_error",)).baseline["metrics"]
    for strategy, name in (("mean", "rmse"), ("median", "mae")):
        said = DummyRegressor(strategy=strategy).fit(X, y).predict(X)
        score = {"rmse": sk.root_mean_squared_error, "mae": sk.mean_absolute_error}[name]
        assert got[name] == pytest.approx(score(y, said))
    assert got["neg_median_absolute_error"] < 0


def test_a_model_that_keeps_no_baseline_is_told_that_of_the_rows(xpmlp):
    classifier(LABELS).save("m")
    out = xpmlp("evaluate", "m", csv("d.csv", X, LABELS), "--target", "y")[1]
    assert "Baseline: always 'no', the most frequent class of these rows." in out


def test_the_score_that_chose_the_epoch_is_reported_too(found):
    data = csv("d.csv", X, LABELS)
    for scoring in ("roc_auc", "f1", "neg_log_loss"):
        made = found("train", data, *QUICK, "--scoring", scoring)
        assert next(iter(made["metrics"])) == scoring
        assert found("evaluate", "d.safetensors", data)["metrics"].keys() == made["metrics"].keys()
    assert "loss" not in found("train", data, *QUICK, "--scoring", "loss")["metrics"]


def test_metrics_stand_beside_the_baseline_in_columns(xpmlp):
    data = csv("d.csv", X, LABELS)
    out = xpmlp("train", data, *QUICK, "--metrics", "f1,average_precision")[1]
    lines = out.partition("\nTest: ")[2].splitlines()
    assert re.fullmatch(r"40 rows, (at epoch \d of 3|after 3 epochs), [\d.]+ s on cpu\.", lines[0])
    assert lines[2].split() == ["model", "baseline"]
    names = [line.split()[0] for line in lines[3:9]]
    usual = ["accuracy", "balanced_accuracy", "log_loss", "roc_auc"]
    assert names == [*usual, "f1", "average_precision"]
    assert len({line.rstrip().rindex(line.split()[-1][-1]) for line in lines[3:9]}) == 1
    assert "Positive class: 'yes', predicted where its probability is above 0.5." in lines
    assert lines[-5].split() == ["class", "precision", "recall", "F1", "rows"]
    assert [line.split()[0] for line in lines[-4:-2]] == ["no", "yes"]


@each(
    "arguments, words",
    [
        (["train", "iris", "--metrics", "acuracy"], "did you mean 'accuracy'?"),
        (["train", "iris", "--metrics", "f1,nosuch"], "'nosuch' is no metric of scikit-learn"),
        (["train", "iris", "--metrics", "r2"], "r2 is for a regression, and this is a classi"),
        (["train", "sine", "--metrics", "rmse,f1"], "f1 is for a classification, and this is a re"),
        (["train", "iris", "--scoring", "acuracy"], "--scoring: 'acuracy' is no metric of"),
        (["train", "iris", "--scoring", "r2"], "--scoring: r2 is for a regression, and this"),
        (["train", "sine", "--scoring", "rmse"], "say neg_root_mean_squared_error."),
        (["evaluate", "m", "iris", "--metrics", "mae"], "mae is for a regression"),
    ],
)
def test_a_metric_that_is_none_is_told_before_the_work(xpmlp, arguments, words):
    classifier(LABELS).save("m")
    code, out, err = xpmlp(*arguments)
    assert code == 2 and words in " ".join(err.split())
    assert "epoch" not in out


def test_what_cannot_be_computed_says_why_and_the_rest_is_there(found):
    one = LABELS == "no"
    found("train", csv("d.csv", X, LABELS), *QUICK)
    told = found("evaluate", "d.safetensors", csv("one.csv", X[one], LABELS[one]))
    assert told["metrics"]["roc_auc"] is None and told["metrics"]["accuracy"] > 0
    assert told["notes"] == {"roc_auc": "the rows hold 1 of 2 classes"}
    assert told["metrics"]["log_loss"] > 0  # by the classes of the model, not of the rows
    told = found("train", "iris", *QUICK, "--metrics", "f1,roc_auc,top_k_accuracy,f1_samples")
    assert told["notes"]["f1"] == "it is for two classes, and there are 3: take f1_macro"
    assert told["notes"]["roc_auc"] == "it is for two classes, and there are 3: take roc_auc_ovr"
    assert "multilabel" in told["notes"]["f1_samples"]
    assert told["metrics"]["top_k_accuracy"] > 0


@each("n", [2, 3, 7])
def test_the_table_by_class_is_scikit_learns_report(n):
    classes = np.array([f"class {i}" for i in range(n)])
    y, codes = RNG.integers(n, size=50), RNG.integers(n, size=50)
    report = sk.classification_report(classes[y], classes[codes], output_dict=True)
    for row in rows_by_class(classes, codes, y):
        own = report[row["label"]]
        assert row["rows"] == own["support"]
        for name in ("precision", "recall", "f1"):
            assert row[name] == pytest.approx(own[name.replace("f1", "f1-score")])


def test_a_class_that_is_never_right_or_never_there_is_seen():
    classes, y = np.array(["a", "b", "c"]), np.repeat([0, 1], [997, 3])
    rows = rows_by_class(classes, np.zeros(1000, int), y)
    assert rows[1] == {"label": "b", "precision": None, "recall": 0.0, "f1": 0.0, "rows": 3}
    assert rows[2] == {"label": "c", "precision": None, "recall": None, "f1": None, "rows": 0}
    assert [*class_table(rows)][2:] == [
        "b              -  0.0000  0.0000     3",
        "c              -       -       -     0",
    ]


def test_of_many_classes_the_worst_are_shown_in_eighty_columns():
    n = 97
    classes = np.array([f"{i} is a class with a long name\nof its own {i}" for i in range(n)])
    y = np.repeat(np.arange(n), 5)
    codes = np.where((y % 9 == 0) & (np.arange(len(y)) % 5 < 3), 1, y)
    lines = [*class_table(rows_by_class(classes, codes, y))]
    assert len(lines) == 22 and max(map(len, lines)) <= 80
    worst = {line.split()[0] for line in lines[1:13]}
    assert worst == {str(i) for i in range(0, n, 9)} | {"1"}
    ends = [line[: line.index("  ")].split(" ") for line in lines[1:-1]]
    assert all(words[0] == words[-1] for words in ends)  # long names are cut in their middle
    assert lines[-1] == "... and 77 more with a larger F1, or without rows."


def test_models_of_several_columns_are_not_compared_with_one(xpmlp):
    MLPRegressor(hidden_layer_sizes=(5,), max_iter=3).fit(X, X).save("two")
    MLPClassifier((5,), max_iter=3).fit(X, (X > 0) * 1).save("labels")
    np.savez("d.npz", X=X, y=X[:, 0] > 0)
    for name in ("two", "labels"):
        code, _, err = xpmlp("evaluate", name, "d.npz")
        assert code == 3 and f"{name} predicts 2 columns, expected one" in err


def test_a_file_of_options_lists_metrics_and_a_search_skips_them(xpmlp):
    with open("run.toml", "w") as file:
        file.write('data = "iris"\nmetrics = ["f1_macro", "matthews_corrcoef"]\n')
    out = xpmlp("train", "--config", "run.toml", *QUICK)[1]
    assert "\nf1_macro " in out and "\nmatthews_corrcoef " in out
    search = ["--try", "lr=0.01,0.02", "--epochs", "1", "--folds", "2"]
    assert xpmlp("tune", "--config", "run.toml", *search)[0] == 0
