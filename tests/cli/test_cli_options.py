"""The options of a training: what they name, where they come from, and what is said of mistakes."""

import inspect
import json
import math
import os
from numbers import Integral, Real
from pathlib import Path

import click
import numpy as np
import pytest
from cli_data import is_one_sentence, rows
from each import each
from sklearn.utils._param_validation import Interval, Options

from xpmlp import MLPClassifier, MLPRegressor, load_model
from xpmlp.cli import options

QUICK = ["--epochs", "2", "--hidden", "5", "--quiet"]
# What is no option: others say it (--quiet, --validation, --categorical), or it is code.
NO_OPTION = {
    "verbose",
    "validation_fraction",
    "categorical_features",
    "warm_start",
    "callbacks",
    "checkpoint",
}


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_every_argument_of_the_estimators_is_an_option():
    kinds = (MLPClassifier, MLPRegressor)
    expected = {name for kind in kinds for name in inspect.signature(kind).parameters}
    assert expected - NO_OPTION == options.KINDS.keys()


# Importing the estimators takes a second, `xpmlp --help` a tenth of it: so what an argument may be
# stands there and here, and these hold it together. Exceptions: (what only the constraint has,
# what only the option has), and why.
UNLIKE = {
    "init": (set(), {"text"}),  # unchecked there: also a record, or arrays
    "batch_size": ({"auto"}, set()),  # the command line has defaults of its own
    "feature_scale": ({"standard", "global"}, set()),  # --standardise says it
    "scoring": ({None}, set()),  # not said
    "quantiles": ({None}, set()),
    "dtype": (set(), {"float32", "float64"}),  # unchecked there: also a type
    "random_state": (set(), {(int, 0, 2**32 - 1, "both")}),  # there also a stream
    "class_weight": (set(), {(float, 0, None, "left")}),  # there a dict of any labels
}


def of_constraint(constraint):
    """What an argument may be: words, text, bool, None, (type, low, high, closed end)."""
    if isinstance(constraint, Interval):
        kind = {Integral: int, Real: float}[constraint.type]
        return {(kind, constraint.left, constraint.right, constraint.closed)}
    if isinstance(constraint, Options):
        return set(constraint.options)
    return {None: {None}, "boolean": {bool}, str: {"text"}}.get(constraint, set())


def of_option(kind):
    """The same of an option's type."""
    if isinstance(kind, options.OrNone):
        return {None} | of_option(kind.kind)
    if isinstance(kind, options.OrInf):
        return {math.inf} | of_option(kind.kind)
    if isinstance(kind, options.Several):
        return of_option(kind.each)
    if isinstance(kind, options.Pairs):
        return of_option(click.Choice(kind.words)) | of_option(kind.each)
    if isinstance(kind, click.Choice):
        return {options.meant(choice) for choice in kind.choices}
    if isinstance(kind, click.IntRange | click.FloatRange):
        closed = {(0, 0): "both", (0, 1): "left", (1, 0): "right", (1, 1): "neither"}
        ends = kind.min_open, kind.max_open or kind.max is None
        number = int if isinstance(kind, click.IntRange) else float
        return {(number, kind.min, kind.max, closed[ends])}
    return {bool} if kind is click.BOOL else {"text"}


def test_the_options_take_what_the_estimators_take():
    unlike = {}
    for argument, kind in options.KINDS.items():
        taken = set()
        for estimator in (MLPClassifier, MLPRegressor):
            constraints = estimator._parameter_constraints.get(argument, [])
            if constraints != "no_validation":
                taken = taken.union(*map(of_constraint, constraints))
        offered = of_option(kind)
        if offered != taken:
            unlike[argument] = taken - offered, offered - taken
    assert unlike == UNLIKE


SAID = {  # as it is written -> the argument of the model
    "--hidden 5x4": ("hidden_layer_sizes", (5, 4)),
    "--activation relu,gelu": ("activation", ("relu", "gelu")),
    "--normalization layer": ("normalization", "layer"),
    "--residual": ("residual", True),
    "--dropout 0.1,0.2": ("dropout", (0.1, 0.2)),
    "--init normal": ("init", "normal"),
    "--out-activation softmax": ("out_activation", "softmax"),
    "--loss focal": ("loss", "focal"),
    "--class-weight balanced": ("class_weight", "balanced"),
    "--class-weight 0=1,1=2,2=0.5": ("class_weight", {0: 1.0, 1: 2.0, 2: 0.5}),
    "--label-smoothing 0.1": ("label_smoothing", 0.1),
    "--feature-scale robust": ("feature_scale", "robust"),
    "--bins 4": ("n_bins", 4),
    "--solver lion": ("solver", "lion"),
    "--lr 0.01": ("learning_rate_init", 0.01),
    "--learning-rate one_cycle": ("learning_rate", "one_cycle"),
    "--power-t 0.3": ("power_t", 0.3),
    "--batch-size 7": ("batch_size", 7),
    "--early-stopping": ("early_stopping", True),
    "--patience 3": ("n_iter_no_change", 3),
    "--patience inf": ("n_iter_no_change", math.inf),
    "--scoring loss": ("scoring", "loss"),
    "--tol 0": ("tol", 0),
    "--no-shuffle": ("shuffle", False),
    "--alpha 0": ("alpha", 0),
    "--weight-decay 0.1": ("weight_decay", 0.1),
    "--max-norm 3": ("max_norm", 3),
    "--max-grad-norm 1": ("max_grad_norm", 1),
    "--ema-decay 0.9": ("ema_decay", 0.9),
    "--momentum 0.5": ("momentum", 0.5),
    "--no-nesterov": ("nesterovs_momentum", False),
    "--beta-1 0.8": ("beta_1", 0.8),
    "--beta-2 0.9": ("beta_2", 0.9),
    "--epsilon 1e-7": ("epsilon", 1e-7),
    "--max-fun 7": ("max_fun", 7),
    "--seed 5": ("random_state", 5),
    "--matmul-precision high": ("matmul_precision", "high"),
    "--accelerate eager": ("accelerate", "eager"),
    "--deterministic": ("deterministic", True),
    "diabetes --loss huber": ("loss", "huber"),
    "diabetes --loss quantile --quantiles 0.1,0.5": ("quantiles", (0.1, 0.5)),
    "diabetes --target-scale none": ("target_scale", None),
    "diabetes --weight-decay none": ("weight_decay", None),
}


@each("words, argument, value", [(k, *v) for k, v in SAID.items()], ids=SAID, parts=5)
def test_an_option_is_an_argument_of_the_model(xpmlp, words, argument, value):
    data = [] if words.startswith("diabetes") else ["iris"]
    code, _, err = xpmlp("train", *data, "--hidden", "5,5", *QUICK[:2], "--quiet", *words.split())
    assert code == 0 and (not err or err.startswith(f"Note: {words.split()[0]} changes nothing: "))
    assert load_model(f"{(data or ['diabetes'])[0]}.safetensors").get_params()[argument] == value


def test_targets_are_standardised_whatever_their_loss(xpmlp):
    t = np.random.default_rng(0).normal(size=200).tolist()
    np.savez("d.npz", X=np.asarray(t)[:, None], y=np.exp(np.asarray(t)) * 1e6)
    for extra in ([], ["--loss", "gamma"], ["--loss", "huber"]):
        code, out, _ = xpmlp("train", "d.npz", "--quiet", "--json", *extra)
        assert code == 0 and json.loads(out)["metrics"]["r2"] > 0.7
    xpmlp("train", "d.npz", "--quiet", "--no-standardise")
    assert load_model("d.safetensors").scaling_ is None


@pytest.mark.parametrize("scale", ["--bins 4", "--feature-scale robust", "--no-standardise", ""])
def test_arrays_are_scaled_alike_in_training_and_later(xpmlp, scale):
    X = np.random.default_rng(0).normal(50, 9, size=(80, 2))
    np.savez("d.npz", X=X, y=X[:, 0] - X[:, 1])
    arguments = [
        "--test",
        "d.npz",
        "--quiet",
        "--epochs",
        20,
        "--lr",
        0.01,
        "--json",
        *scale.split(),
    ]
    found = json.loads(xpmlp("train", "d.npz", *arguments)[1])
    again = json.loads(xpmlp("evaluate", "d.safetensors", "d.npz", "--json")[1])
    assert again["metrics"] == found["metrics"] and found["metrics"]["r2"] > 0.8
    assert (load_model("d.safetensors").encoder_ is None) == ("--no" in scale or not scale)


def test_a_file_gives_the_options_and_the_command_line_wins(xpmlp):
    Path("run.toml").write_text(
        "data = 'diabetes'\nhidden = [6, 5]\nlr = 0.01\nquiet = true\n"
        "[train]\nepochs = 3\nearly_stopping = true\nweight-decay = 'none'\nshuffle = false\n"
        "out = 'm'\n[tune]\ncandidates = 3\n"
    )
    assert xpmlp("train", "--config", "run.toml")[0] == 0
    found = load_model("m")
    assert found.hidden_layer_sizes == (6, 5) and found.n_iter_ <= 3
    assert (found.learning_rate_init, found.early_stopping, found.shuffle) == (0.01, True, False)
    again = ["--epochs", 1, "--shuffle", "--no-early-stopping", "--out", "n"]
    assert xpmlp("train", "digits", "--config", "run.toml", *again)[0] == 0
    other = load_model("n")
    assert (other.n_iter_, other.shuffle, other.early_stopping) == (1, True, False)
    assert (other.n_features_in_, other.learning_rate_init) == (64, 0.01)


def test_a_file_and_the_command_line_say_the_same(xpmlp):
    Path("run.toml").write_text(
        "data = 'iris'\nhidden = [4, 4]\nactivation = ['tanh', 'relu']\ndropout = 0.1\n"
        "class-weight = {0 = 1, 1 = 2, 2 = 3}\nepochs = 3\nquiet = true\njson = true\nseed = 3\n"
    )
    by_file = xpmlp("train", "--config", "run.toml")
    spelt = "--hidden 4,4 --activation tanh,relu --dropout 0.1 --class-weight 0=1,1=2,2=3"
    by_hand = xpmlp("train", "iris", *spelt.split(), *"--epochs 3 --quiet --json --seed 3".split())
    found, expected = (json.loads(out.splitlines()[-1]) for _, out, _ in (by_file, by_hand))
    assert found["metrics"] == expected["metrics"]


BAD_FILES = {
    "unknown key": ("epoch = 3", ["run.toml", "'epoch'", "'epochs'"]),
    "unknown key of a section": ("[train]\nbatch_sizes = 3", ["'batch_sizes'", "'batch-size'"]),
    "unknown section": ("[network]\nhidden = 5", ["'network'"]),
    "no number": ("lr = 'fast'", ["run.toml", "key lr", "'fast'"]),
    "no whole number": ("epochs = 2.5", ["key epochs", "'2.5'"]),
    "truth for a number": ("epochs = true", ["key epochs", "'True'"]),
    "text for a flag": ("plot = 'perhaps'", ["key plot", "'perhaps'"]),
    "out of range": ("dropout = [0.1, 2]", ["key dropout", "2"]),
    "unknown choice": ("solver = 'adem'", ["key solver", "'adem'"]),
    "a list for a number": ("epochs = [1, 2]", ["key epochs", "'1,2'"]),
    "syntax": ("hidden = [5\nlr = 1", ["run.toml is no TOML", "line 2"]),
    "bytes": (b"\xff\xfe", ["run.toml is no TOML"]),
    "missing": (None, ["run.toml", "No such file"]),
}


@each("content, words", BAD_FILES.values(), ids=BAD_FILES.keys())
def test_a_bad_file_of_options_is_told_and_nothing_is_written(
    xpmlp, tmp_path, monkeypatch, content, words
):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("run.toml").write_bytes(content if isinstance(content, bytes) else content.encode())
    before = os.listdir()
    code, out, err = xpmlp("train", "iris", *QUICK[2:], "--config", "run.toml")
    assert (code, out, is_one_sentence(err), os.listdir()) == (2, "", True, before)
    assert [word for word in words if word not in err.splitlines()[-1]] == []


@each(
    "data, arguments, code, words",
    [
        ("diabetes", ["--label-smoothing", "0.1"], 2, ["--label-smoothing", "regression"]),
        ("iris", ["--quantiles", "0.5"], 2, ["--quantiles", "classification"]),
        ("sine", ["--task", "classification"], 3, ["sine", "whole numbers"]),
        ("iris", ["--class-weight", "1"], 2, ["'1'", "a=1"]),
        ("iris", ["--class-weight", "9=1"], 2, ["9"]),
        ("iris", ["--activation", "relu,tanh"], 2, ["activation"]),
        ("iris", ["--dropout", "0.1,a"], 2, ["'0.1,a'"]),
        ("iris", ["--ema-decay", "1"], 2, ["--ema-decay"]),
        ("iris", ["--scoring", "nonsense"], 2, ["nonsense"]),
        ("iris", ["--validation", "nowhere.csv"], 2, ["'nowhere.csv'"]),
        ("iris", ["--max-bad-rows", "1.5"], 2, ["'1.5'"]),
        ("iris", ["--max-bad-rows", "3"], 2, ["--max-bad-rows", "--on-bad-row skip"]),
        ("iris", ["--on-bad-row", "skip"], 2, ["iris", "CSV"]),
        ("iris", ["--types", "a=number"], 2, ["iris", "CSV"]),
        ("iris", ["--quarantine", "q.csv"], 2, ["--on-bad-row quarantine"]),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else None,
)
def test_an_option_that_does_not_fit_is_told(xpmlp, data, arguments, code, words):
    found, _, err = xpmlp("train", data, *QUICK, *arguments)
    assert (found, is_one_sentence(err), os.listdir()) == (code, True, [])
    assert [word for word in words if word not in err.splitlines()[-1]] == []


@pytest.mark.parametrize(
    "said, expected",
    [
        ("--epochs x", "'x' is not a whole number of 1 or more."),
        ("--epochs 2.5", "'2.5' is not a whole number of 1 or more."),
        ("--patience 0", "'0' is not a whole number of 1 or more."),
        ("--seed -1", "'-1' is not a whole number from 0 to 4294967295."),
        ("--lr 0", "'0' is not a number above 0."),
        ("--alpha x", "'x' is not a number of 0 or more."),
        ("--momentum 2", "'2' is not a number from 0 to 1."),
        ("--dropout 1", "'1' is not a number from 0 to below 1."),
        ("--quantiles 1", "'1' is not a number above 0 and below 1."),
        ("--bins 1", "'1' is not a whole number of 2 or more."),
    ],
)
def test_a_number_out_of_bounds_is_told_with_the_bounds_in_words(xpmlp, said, expected):
    code, _, err = xpmlp("train", "iris", *QUICK, *said.split())
    assert code == 2 and err.endswith(f"{expected}\n")


def test_no_end_of_patience_is_said_in_a_file_too_and_written_by_a_search(xpmlp):
    Path("run.toml").write_text("patience = inf\nepochs = 3\nhidden = 5\ntry.lr = [0.001, 0.01]")
    assert xpmlp("train", "iris", "--config", "run.toml")[0] == 0
    assert load_model("iris.safetensors").n_iter_no_change == math.inf
    search = "--candidates 2 --folds 2 --config run.toml".split()
    assert xpmlp("tune", "iris", *search)[0] == 0
    assert xpmlp("train", "iris", "--config", "best.toml")[0] == 0
    assert load_model("iris.safetensors").n_iter_no_change == math.inf


NO_EFFECT = {
    "--early-stopping --validation 0": "--validation 0 holds out no rows",
    "--scoring accuracy --validation 0": "--validation 0 holds out no rows",
    "--early-stopping --validation test": "--validation test only watches the test rows",
    "--early-stopping --solver lbfgs": "lbfgs has iterations over all rows",
    "--batch-size 7 --solver lbfgs": "lbfgs has iterations over all rows",
    "--max-fun 9": "it is for lbfgs, and the solver is adam",
    "--momentum 0.5": "the solver adam does not use it",
    "--no-nesterov": "the solver adam does not use it",
    "--beta-1 0.5 --solver sgd": "the solver sgd does not use it",
    "--learning-rate invscaling": "invscaling is for sgd, and the solver is adam",
    "--power-t 0.3": "the schedule constant does not use it",
    "--tol 0.1 --patience inf": "--patience is inf",
}


@pytest.mark.parametrize("said", NO_EFFECT)
def test_an_option_that_changes_nothing_is_told(xpmlp, said):
    code, _, err = xpmlp("train", "iris", *QUICK, *said.split())
    option = said.split()[0]
    told = " ".join(err.split()).partition(" Warning: ")[0]
    assert (code, told) == (0, f"Note: {option} changes nothing: {NO_EFFECT[said]}.")


@pytest.mark.parametrize(
    "said",
    [
        "--no-early-stopping --validation 0",
        "--momentum 0.5 --solver sgd",
        "--learning-rate invscaling --power-t 0.3 --solver sgd",
        "--max-fun 9 --solver lbfgs --tol 1",
    ],
)
def test_of_an_option_that_is_used_nothing_is_told(xpmlp, said):
    code, _, err = xpmlp("train", "iris", *QUICK, *said.split())
    assert code == 0 and "Note" not in err


def test_patience_ends_a_training_without_validation_too(xpmlp):
    said = "--validation 0 --patience 2 --tol 10 --epochs 50 --hidden 5".split()
    _, out, _ = xpmlp("train", "iris", *said)
    assert "Stopped after 4 epochs" in out and load_model("iris.safetensors").n_iter_ == 4


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_options_of_tables_are_refused_for_an_array(xpmlp, command):
    xpmlp("train", "iris", *QUICK)
    code, _, err = xpmlp(command, "iris.safetensors", "iris", "--on-bad-row", "skip")
    assert (code, is_one_sentence(err)) == (2, True) and "CSV" in err


def test_validation_may_be_a_data_set_of_its_own(xpmlp):
    X, y = np.array([row[:2] for row in rows()]), np.array([int(row[2] > 0) for row in rows()])
    np.savez("d.npz", X=X, y=y)
    np.savez("v.npz", X=X[:7], y=y[:7])
    code, out, err = xpmlp("train", "d.npz", "--validation", "v.npz", *QUICK)
    assert (code, err) == (0, "") and "48 rows, 2 features" in out and "validation on 7" in out
    np.savez("w.npz", X=X[:7, :1], y=y[:7])
    code, _, err = xpmlp("train", "d.npz", "--validation", "w.npz", *QUICK)
    assert (code, "w.npz has other columns" in err) == (3, True)
