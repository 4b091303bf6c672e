"""`xpmlp tune`: the search is scikit-learn's; what goes in and comes out is ours."""

import json
import os
import re
import signal
import tomllib
from pathlib import Path

import pytest
from cli_data import is_one_sentence, rows, write_csv
from each import each

from xpmlp import MLPClassifier, load_model
from xpmlp.cli import metrics
from xpmlp.cli.tune import SPACE
from xpmlp.estimators import validation

SMALL = ["--candidates", 3, "--folds", 2, "--epochs", 3]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def best():
    return tomllib.loads(Path("best.toml").read_text())


def test_the_best_options_of_a_search_train_a_model(xpmlp):
    code, out, err = xpmlp("tune", "iris", *SMALL, "--seed", 3, "--class-weight", "0=1,1=2,2=1")
    assert (code, err) == (0, "")
    found = best()
    assert found.keys() == {"data", "epochs", "seed", "class-weight", *SPACE}
    first = next(line for line in out.splitlines() if line.startswith("1 "))
    assert first.split()[4:6] == ["3", f"{found['lr']:g}"]  # all epochs, and these options
    assert xpmlp("train", "--config", "best.toml", "--quiet")[0] == 0
    model = load_model("iris.safetensors")
    assert (model.learning_rate_init, list(model.hidden_layer_sizes)) == (
        found["lr"],
        found["hidden"],
    )
    assert (model.max_iter, model.random_state, model.class_weight[1]) == (3, 3, 2.0)


def test_scores_of_one_class_rank_by_the_second_whatever_its_label(xpmlp):
    data = write_csv("d.csv", rows(60, lambda a, b: "yes" if a > b else "no"))
    code, out, err = xpmlp("tune", data, *SMALL[2:], "--scoring", "f1")
    assert (code, err) == (0, "") and re.search("^rank +f1 ", out, re.M)


def test_more_epochs_go_to_fewer_combinations_of_better_score(xpmlp):
    tried = ["--try", "lr=0.00001,0.0001,0.03", "--hidden", 20]
    code, out, _ = xpmlp("tune", "iris", "--candidates", 3, "--epochs", 9, *tried)
    lines = out[out.index("rank") :].splitlines()
    table = [line.split() for line in lines[1:4]]
    assert [row[4] for row in table] == ["9", "3", "3"] and table[0][5] == "0.03"
    assert float(table[0][1]) > float(table[1][1]) >= float(table[2][1])
    assert (code, best()["lr"], best()["hidden"]) == (0, 0.03, [20])


@pytest.mark.parametrize(
    "said, name", [([], "accuracy"), (["--scoring", "loss"], "neg_log_loss")], ids=str
)
def test_the_column_is_called_what_combinations_are_ranked_by(xpmlp, said, name):
    code, out, _ = xpmlp("tune", "iris", *SMALL, *said)
    lines = out[out.index("rank") :].splitlines()
    rank, score, *_ = lines[0].split()
    best = float(next(line for line in lines if line.startswith("1 ")).split()[1])
    assert (code, score, best > 0) == (0, name, name == "accuracy")


def test_what_is_fixed_is_not_tried_and_a_file_may_say_what_is(xpmlp):
    Path("run.toml").write_text(
        "data = 'iris'\nout = 'm'\n[train]\nepochs = 2\nquiet = true\nnormalization = 'layer'\n"
        "[tune]\nfolds = 2\ncandidates = 4\nout = 'o.toml'\n"
        "[try]\nhidden = [[4], [5, 5]]\nresidual = [true, false]\nbeta-1 = '0.5..0.9'\n"
    )
    code, _, err = xpmlp("tune", "--config", "run.toml")
    assert (code, err, sorted(os.listdir())) == (0, "", ["o.toml", "run.toml"])
    found = tomllib.loads(Path("o.toml").read_text())
    assert found.keys() == {"data", "epochs", "normalization", "hidden", "residual", "beta-1"}
    assert found["hidden"] in ([4], [5, 5]) and 0.5 <= found["beta-1"] <= 0.9
    xpmlp("tune", "iris", *SMALL, "--lr", 0.01, "--dropout", 0, "--batch-size", 32)
    assert {"lr", "dropout", "batch-size"} <= best().keys()
    assert (best()["lr"], best()["dropout"], best()["batch-size"]) == (0.01, 0.0, 32)


@pytest.mark.parametrize("jobs", [1, 2])
def test_rows_are_a_resource_too_and_a_regression_is_searched_by_r2(xpmlp, jobs):
    write_csv("d.csv", rows(120))
    resource = ["--resource", "rows", "--epochs", 20, "--folds", 2, "--candidates", 3]
    tried = ["--try", "lr=0.01,1e-6,1e-7", "--hidden", 10]
    code, out, err = xpmlp(
        "tune", "d.csv", *resource, *tried, "--jobs", jobs, "--types", "a=number"
    )
    assert (code, err) == (0, "")
    amounts = [line.split()[4] for line in out[out.index("rank") :].splitlines()[1:4]]
    assert amounts == ["43", "14", "14"]  # of half of 120 rows and of 40, all but a tenth to watch
    assert (best()["lr"], best()["types"]) == (0.01, {"a": "number"})
    assert xpmlp("train", "--config", "best.toml", "--quiet")[0] == 0


@pytest.fixture
def _ctrl_c_as_on_a_terminal():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    "where, within",
    [(validation, "_accuracy"), (metrics, "value_of")],
    ids=["a fit", "a score"],
)
@pytest.mark.usefixtures("_ctrl_c_as_on_a_terminal")
def test_ctrl_c_ends_the_search_and_tells_what_was_found_so_far(xpmlp, monkeypatch, where, within):
    calls, plain = [], getattr(where, within)

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == 4:
            signal.raise_signal(signal.SIGINT)
        return plain(*arguments)

    monkeypatch.setattr(where, within, interrupted)
    code, out, err = xpmlp("tune", "iris", *SMALL, "--early-stopping", "--scoring", "none")
    assert (code, len(calls), os.listdir()) == (130, 4, [])
    assert err.startswith("Interrupted: ")
    table = out[out.index("rank") :].splitlines()
    assert sum(line[0] != " " for line in table) == 2  # of three fits, two are of one
    assert max(map(len, table)) <= 80 and table[0].endswith("weight-  batch-")


@each(
    "arguments, code, words",
    [
        (["--try", "lrr=1,2"], 2, ["lrr=1,2", "learning-rate"]),
        (["--try", "lr"], 2, ["NAME=V1,V2"]),
        (["--try", "lr=a,b"], 2, ["--try lr", "'a'"]),
        (["--try", "lr=0..1"], 2, ["'0..1'"]),
        (["--try", "lr=2..1"], 2, ["'2..1'"]),
        (["--try", "lr=0.1"], 2, ["one combination"]),
        (["--try", "epochs=1,2"], 2, ["--resource rows"]),
        (["--try", "lr=1e28,1e29", "--solver", "sgd"], 3, ["no combination", "1e+2"]),
        (["--scoring", "acuracy"], 2, ["--scoring", "did you mean 'accuracy'"]),
        (["--scoring", "r2"], 2, ["--scoring", "for a regression"]),
        (["--folds", "60"], 3, ["iris", "fewer than 60 rows", "fewer --folds"]),
        (["--out", "nowhere/b.toml"], 2, ["nowhere"]),
        (["--plot"], 2, ["--plot"]),
        (["--candidates", "1"], 2, ["--candidates"]),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else None,
)
def test_a_search_that_cannot_be_is_told_and_nothing_is_written(xpmlp, arguments, code, words):
    found, _, err = xpmlp("tune", "iris", *SMALL, *arguments)
    assert (found, is_one_sentence(err), os.listdir()) == (code, True, [])
    assert [word for word in words if word not in err.splitlines()[-1]] == []


def test_the_search_sees_standardised_arrays(xpmlp):
    import numpy as np

    t = np.random.default_rng(0).normal(size=60)
    np.savez("d.npz", X=1e6 + 1e5 * t[:, None], y=1e9 * t)
    tried = ["--try", "lr=0.01,0.03", "--hidden", 10, "--epochs", 30, "--folds", 2]
    _, out, _ = xpmlp("tune", "d.npz", *tried)
    assert float(out[out.index("rank") :].splitlines()[1].split()[1]) > 0.9
    assert json.dumps(best()["data"]) == '"d.npz"'


def test_values_said_twice_count_once_none_is_written_and_fits_that_fail_are_told(xpmlp):
    names = "activation=relu,bogus", "weight-decay=none,none", "lr=0.1,0.1"
    tried = [word for name in names for word in ("--try", name)]
    code, out, err = xpmlp("tune", "iris", *tried, "--candidates", 2, "--folds", 2, "--epochs", 3)
    assert code == 0
    assert "Warning: 2 fits failed: activation must be one of" in err
    assert [line.split()[0] for line in out.splitlines()[2:-1]] == ["rank", "1"]
    assert best()["weight-decay"] == "none" and best()["activation"] == "relu"


def test_the_rows_that_a_training_tests_on_do_not_choose_its_options(xpmlp, monkeypatch):
    seen = []
    fit = MLPClassifier.fit

    def noted(model, X, y, **options):
        seen.append(X)
        return fit(model, X, y, **options)

    monkeypatch.setattr(MLPClassifier, "fit", noted)
    write_csv("t.csv", [(i, i % 7, "ab"[i % 2]) for i in range(60)])
    tried = ["--try", "lr=0.1,0.01", "--candidates", 2, "--folds", 2, "--epochs", 3]
    assert xpmlp("tune", "t.csv", *tried)[0] == 0
    searched = {v for X in seen for v in X.column(0)}
    seen.clear()
    out = xpmlp("train", "--config", "best.toml", "--quiet", "--validation", 0)[1]
    assert "test on 12 rows" in out
    assert len(searched) == 48 and searched == set(seen[0].column(0))
