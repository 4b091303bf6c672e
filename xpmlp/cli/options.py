"""Options of a training: a table of them, their defaults, their types."""

import math
import re
from functools import reduce
from typing import Any

import click
from click import STRING

from ..engines import ACCELERATIONS, MATMUL_PRECISIONS
from ..nn.activations import ACTIVATIONS
from ..nn.losses import loss_names
from ..nn.normalization import NORMALIZATIONS
from ..optim import RULES, SCHEDULES
from ..optim.rules import SOLVERS
from ..training import STEP_OPTIONS
from .command import Choice, section
from .numbers import Number, OrInf, Whole

LOSSES = dict.fromkeys((*loss_names("classification"), *loss_names("regression")))

# What `xpmlp train` passes to the estimators where nothing is said: for arrays, for tables, which
# was found on the sets of ci/benchmarks/tables.py. The rest are the estimators' own defaults.
SETTINGS = {
    "hidden_layer_sizes": ((100,), (256, 256, 256)),
    "activation": ("relu", "selu"),
    "dropout": (0.0, 0.15),
    "target_scale": ("auto", "auto"),
    "feature_scale": ("auto", "robust"),
    "n_bins": (None, 64),
    "solver": ("adam", "adam"),
    "learning_rate_init": (1e-3, 3e-3),
    "learning_rate": ("constant", "cosine"),
    "batch_size": (32, None),
    "max_iter": (100, 32),
    "early_stopping": (False, True),
    "n_iter_no_change": (10, math.inf),
    "alpha": (1e-4, 0.0),
    "weight_decay": (None, 0.3),
    "beta_2": (0.999, 0.95),
    "random_state": (0, 0),
    "dtype": ("float32", "float32"),
}
BINS = 4096  # of all columns together, where --bins is not said
ARRAYS, TABLES = ({name: pair[i] for name, pair in SETTINGS.items()} for i in (0, 1))
DEFAULTS = {
    ("array", "classification"): ARRAYS,
    ("array", "regression"): ARRAYS,
    ("table", "classification"): TABLES,
    ("table", "regression"): TABLES | {"dropout": 0.1, "weight_decay": 0.1},
}


def several(*options):
    """Return a decorator that gives a command several options."""
    return lambda command: reduce(lambda made, option: option(made), reversed(options), command)


class Several(click.ParamType):
    """Values of one type, written 1,2 (numbers also 1x2); a lone one is itself if `unpacked`."""

    def __init__(self, each, unpacked=True):
        self.each, self.unpacked, self.marks = each, unpacked, ","
        if each is not STRING:
            self.marks = r",|(?<=\d)x(?=\d)"
        self.name = f"{each.name},..."

    def convert(self, value, param, ctx):
        """Return a tuple, or one value."""
        if isinstance(value, tuple):
            return value
        parts = re.split(self.marks, str(value))
        try:
            found = tuple(self.each.convert(v.strip(), param, ctx) for v in parts if v.strip())
        except click.BadParameter as error:
            place = f"{value!r}: " * (len(parts) > 1)
            self.fail(f"{place}{error.message}", param, ctx)
        if self.unpacked and len(found) == 1:
            return found[0]
        return found


class OrNone(click.ParamType):
    """A value of a type, or the word none."""

    def __init__(self, kind):
        self.kind, self.name = kind, f"{kind.name}|none"

    def convert(self, value, param, ctx):
        """Return the value, or "none"."""
        if value == "none":
            return value
        return self.kind.convert(value, param, ctx)


class Pairs(click.ParamType):
    """Names with a value each, written a=1,b=2, or one of some words."""

    def __init__(self, each, words=()):
        self.each, self.words = each, words
        self.name = "|".join((*words, "name=value,..."))

    def convert(self, value, param, ctx):
        """Return a dict, or the word."""
        if isinstance(value, dict):  # of a file, whose names may hold commas
            return {str(k): self.each.convert(str(v), param, ctx) for k, v in value.items()}
        if value in self.words:
            return value
        parts = [part.rpartition("=") for part in value.split(",") if part.strip()]
        if not parts or not all(name.strip() and mark for name, mark, _ in parts):
            self.fail(f"{value!r} is no list such as a=1,b=2.", param, ctx)
        return {k.strip(): self.each.convert(v.strip(), param, ctx) for k, _, v in parts}


def at_least(low):
    """Return the type of numbers from `low`, itself included."""
    return Number(low)


def between(low, high):
    """Return the type of numbers between two, or above the first, where there is no second."""
    return Number(low, high, min_open=True, max_open=high is not None)


def used_by(argument, what):
    """Return the help of an argument of update rules or schedules: what it is, who uses it."""
    kinds = (RULES | SCHEDULES).items()
    names = (name for name, kind in kinds if argument in kind.arguments)
    return f"{what}. For {', '.join(names)}."


FLAG, COUNT = click.BOOL, Whole(1)
SHARE = Number(0, 1, max_open=True)
INSIDE = between(0, 1)
ABOVE_0 = between(0, None)
SEED = Whole(0, 2**32 - 1)
ONLY_SGD = ", ".join(name for name, kind in SCHEDULES.items() if kind.only_sgd)
TABLE: dict[str, dict[str, tuple]] = {  # section -> argument -> type, help
    "Network": {
        "hidden_layer_sizes": (
            Several(COUNT, unpacked=False),
            "Units of each hidden layer: 30,30 or 30x30.",
        ),
        "activation": (
            Several(STRING),
            f"Activation of the hidden layers, or one for each: {', '.join(ACTIVATIONS)}.",
        ),
        "normalization": (Choice(["none", *NORMALIZATIONS]), "Normalization before activations."),
        "residual": (FLAG, "Add a hidden layer's input to its output."),
        "dropout": (
            Several(SHARE),
            "Share of a hidden layer's outputs that is dropped; or one for each (input first).",
        ),
        "init": (STRING, "Initializer of the weights, such as he_normal."),
        "out_activation": (STRING, "Activation of the outputs, where the loss leaves a choice."),
    },
    "Target and loss": {
        "loss": (Choice(LOSSES), "What to minimise (by the task: log_loss, squared_error)."),
        "quantiles": (Several(INSIDE), "Quantiles that --loss quantile learns: 0.1,0.5,0.9."),
        "target_scale": (
            Choice(["auto", "none"]),
            "auto: scale targets to mean 0, deviation 1 (poisson, gamma: to mean 1); none: do not.",
        ),
        "class_weight": (Pairs(at_least(0), ("balanced", "none")), "Weights of the classes."),
        "label_smoothing": (SHARE, "Share of a target spread over all classes."),
    },
    "Features": {
        "feature_scale": (
            Choice(["auto", "robust", "none"]),
            "robust: scale numbers by median and quartiles, clip smoothly; none: leave them.",
        ),
        "n_bins": (
            OrNone(Whole(2)),
            "Bins that encode a number, a column each (tables: 4096 at most).",
        ),
    },
    "Training": {
        "solver": (Choice(SOLVERS), "Update rule."),
        "learning_rate_init": (ABOVE_0, "Learning rate."),
        "learning_rate": (Choice(SCHEDULES), f"Schedule of the rate ({ONLY_SGD}: for sgd)."),
        "power_t": (at_least(0), used_by("power_t", "Exponent of the decay")),
        "batch_size": (COUNT, "Rows of a step (tables: for about 100 steps an epoch, 32 to 1024)."),
        "max_iter": (COUNT, "Most passes over the training rows."),
        "early_stopping": (FLAG, "Keep the weights of the epoch with the best validation score."),
        "scoring": (
            STRING,
            "Validation score: loss, or scikit-learn's (accuracy, r2). [early stopping: loss]",
        ),
        "n_iter_no_change": (
            OrInf(COUNT),
            "Epochs without improvement that end the training.",
        ),
        "tol": (at_least(0), "Least improvement that counts."),
        "shuffle": (FLAG, "Take the rows in a new order in each epoch."),
        "alpha": (at_least(0), "Strength of the L2 penalty."),
        "weight_decay": (
            OrNone(at_least(0)),
            "Decoupled weight decay (none: 0.01 for adamw, else 0).",
        ),
        **{
            name: (OrNone(between(*row["range"])), row["help"])
            for name, row in STEP_OPTIONS.items()
        },
        "momentum": (Number(0, 1), used_by("momentum", "Momentum")),
        "nesterovs_momentum": (FLAG, used_by("nesterovs_momentum", "Nesterov's form of momentum")),
        "beta_1": (SHARE, used_by("beta_1", "Decay of the mean gradient")),
        "beta_2": (SHARE, used_by("beta_2", "Decay of the mean square")),
        "epsilon": (ABOVE_0, used_by("epsilon", "Least denominator")),
        "max_fun": (COUNT, "Most evaluations of the loss. For lbfgs."),
        "random_state": (SEED, "Seed of weights, order of rows, dropout and splits."),
    },
    "Computation": {
        "device": (STRING, "Where to train: auto (a GPU where it pays), cpu, cuda, cuda:1."),
        "dtype": (Choice(["float32", "float64"]), "Type of numbers."),
        "matmul_precision": (
            Choice(MATMUL_PRECISIONS),
            "Matrix products in float32, TF32 or bfloat16.",
        ),
        "accelerate": (
            Choice(ACCELERATIONS),
            "How steps run on a GPU: generic (plain operations, on NumPy too), eager (fused "
            "kernels), graph (CUDA graphs).",
        ),
        "deterministic": (FLAG, "Make each run equal to the last bit, on a GPU too."),
    },
}
NAMES = {  # of options that are not called as their argument
    "hidden_layer_sizes": "hidden",
    "n_bins": "bins",
    "learning_rate_init": "lr",
    "max_iter": "epochs",
    "n_iter_no_change": "patience",
    "nesterovs_momentum": "nesterov",
    "random_state": "seed",
}
KINDS = {argument: kind for rows in TABLE.values() for argument, (kind, _) in rows.items()}
OPTIONS = {argument: NAMES.get(argument, argument).replace("_", "-") for argument in KINDS}
ARGUMENTS = {name.replace("-", "_"): argument for argument, name in OPTIONS.items()}


def model_options(command):
    """Give a command an option for every argument of the estimators, by default None."""
    for title, rows in reversed(TABLE.items()):
        for argument, (kind, text) in reversed(rows.items()):
            name, text = OPTIONS[argument], f"{text} {_defaults(argument)}".strip()
            flags = f"--{name}"
            if kind is FLAG:
                flags = f"--{name}/--no-{name}"
            command = section(title)(flags, type=kind, default=None, help=text)(command)
    return command


def _defaults(argument):
    """Return the help on the defaults of an argument, where `train` has other ones."""
    arrays, tables = _default("array", argument), _default("table", argument)
    texts = list(filter(None, [arrays]))
    if tables not in ("", arrays):
        texts.append(f"tables: {tables}")
    if texts in ([], ["no"]):
        return ""
    return f"[{'; '.join(texts)}]"


def _default(kind, argument):
    """Return the default of an argument as text, two where the tasks differ."""
    texts = [shown(DEFAULTS[kind, task].get(argument)) for task in ("classification", "regression")]
    return "/".join(dict.fromkeys(filter(None, texts)))


def shown(value, mark=","):
    """Return a value as it is written on the command line; None is empty."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return ("no", "yes")[value]
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple | list):
        return mark.join(map(shown, value))
    if isinstance(value, dict):
        return ",".join(f"{k}={shown(v)}" for k, v in value.items())
    return str(value)


def meant(value):
    """Return a value as an estimator takes it: None for the word none."""
    if value == "none":
        return None
    return value


def given(options):
    """Return the arguments of the estimators that the options give."""
    said = {ARGUMENTS[k]: v for k, v in options.items() if k in ARGUMENTS and v is not None}
    return {name: meant(value) for name, value in said.items()}


def defaults_of(task, kinds):
    """Return the default arguments; kinds: of a table's columns, or None for an array."""
    if not kinds:
        return DEFAULTS["array", task]
    defaults = DEFAULTS["table", task]
    n_bins = BINS // max(sum(kind != "category" for kind in kinds), 1)
    if n_bins < 2:
        return defaults | {"n_bins": None}
    return defaults | {"n_bins": min(defaults["n_bins"], n_bins)}


def estimator_of(task, kinds, options, y):
    """Return the estimator that the options describe.

    kinds: of a table's columns, which has defaults of its own, or None; y: the targets.
    """
    from inspect import signature

    from ..estimators import MLPClassifier, MLPRegressor

    kind: Any = MLPClassifier
    if task == "regression":
        kind = MLPRegressor
    known = signature(kind).parameters
    mine = given(options)
    for name in mine:
        if name not in known:
            option = f"--{OPTIONS[name]}"
            raise click.UsageError(f"{option} is none of a {task}, and this is one: leave it out.")
    defaults = defaults_of(task, kinds)
    if not options.get("standardise", True):
        defaults = defaults | {"target_scale": None, "feature_scale": None}
    if mine.get("solver") == "lbfgs":  # it makes no steps that these act on
        defaults = {k: v for k, v in defaults.items() if k not in ("dropout", "weight_decay")}
    params = {k: v for k, v in (defaults | mine).items() if k in known}
    if options.get("validation") in (0, "test") or params["solver"] == "lbfgs":
        params["early_stopping"] = False  # there are no rows for it, no steps
    if params["early_stopping"]:  # one row's label may decide by accuracy, in any of many epochs
        params.setdefault("scoring", "loss")
    if params["batch_size"] is None:
        params["batch_size"] = 2 ** min(max(round(math.log2(len(y) / 100)), 5), 10)
    if isinstance(params.get("class_weight"), dict):  # labels were written as text
        labels = {str(label): label for label in y.tolist()}
        params["class_weight"] = {labels.get(k, k): v for k, v in params["class_weight"].items()}
    return kind(**params)


def score_of(model):
    """Return the name of an estimator's validation score, "loss" for the loss itself."""
    if model.scoring is not None:
        return model.scoring.replace("_", " ")
    if hasattr(model, "class_weight"):
        return "accuracy"
    return "loss" if model.loss == "quantile" else "r2"


def settings_of(model, but=()):
    """Return as text how the arguments of an estimator differ from its own defaults."""
    return ", ".join(f"{option} {value}" for option, value in settings(model, but).items())


def settings(model, but=()):
    """Return the arguments of an estimator that differ from its own defaults, option -> text."""
    from inspect import signature

    known = signature(type(model)).parameters
    given = {name: getattr(model, name) for name in OPTIONS if name in known and name not in but}
    return {
        OPTIONS[name]: shown(value) or "none"
        for name, value in given.items()
        if value != known[name].default
    }
