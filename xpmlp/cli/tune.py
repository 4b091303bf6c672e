"""`xpmlp tune`: scikit-learn's halving search over the options of a training."""

import json
import sys
import warnings
from contextlib import ExitStack
from functools import partial
from math import ceil, floor, inf, isnan, log, prod

import click
import numpy as np
from click.core import ParameterSource

from ..errors import DataError
from ..signals import Ended
from ..training.interrupts import on_ctrl_c
from ..words import columns, plural, wrapped
from .command import Choice, Command, config_option, echo, key_of, section, tell
from .data import check_memory, reading_options, tell_quarantine, type_options
from .lists import Names, names_of
from .live_line import live_columns
from .numbers import Whole
from .options import (
    ARGUMENTS,
    COUNT,
    KINDS,
    OPTIONS,
    estimator_of,
    meant,
    model_options,
    settings_of,
    shown,
)
from .outputs import Results, writable
from .preemption import preemptible
from .rare_labels import rare_option
from .roles import role_options
from .scores import answers_of, check_scoring, targets_of
from .splits import Part, folds_of, opened_source, split_rows
from .used_columns import tell_roles, weights_of

SPACE = {  # what is tried where nothing is said, as --try has it
    "lr": "0.0003..0.03",
    "hidden": "100,100x100,256x256,256x256x256",
    "dropout": "0,0.1,0.2,0.4",
    "weight-decay": "0,0.01,0.1,0.3",
    "batch-size": "32,64,128,256",
}
FACTOR = 3  # a third of the candidates goes on, with three times the epochs or rows
STEPS = 50  # values of a range
SHOWN = 10  # rows of the table of results
OWN = ("tried", "candidates", "resource", "folds", "jobs", "rows", "out")  # not for `train`
tuning = partial(section("Tuning"), show_default=True)


@click.command(cls=Command)
@click.argument("data")
@tuning(
    "--try",
    "tried",
    multiple=True,
    metavar="NAME=V1,V2",
    help="Values of an option, or a range LOW..HIGH; repeatable. "
    f"[{' '.join(f'{k}={v}' for k, v in SPACE.items())}]",
)
@tuning("--candidates", type=Whole(2), default=27, help="Combinations to draw.")
@tuning(
    "--resource",
    type=Choice(["epochs", "rows"]),
    default="epochs",
    help="What grows from round to round.",
)
@tuning("--folds", type=Whole(2), default=3, help="Folds of the cross-validation.")
@tuning("--jobs", type=COUNT, default=1, help="Fits that run at the same time.")
@type_options
@reading_options
@role_options
@rare_option
@section("Data")("--rows", type=COUNT, help="Search on the first so many rows only.")
@model_options
@section("Output")(
    "--out",
    default="best.toml",
    show_default=True,
    type=click.Path(dir_okay=False),
    help="File of the best options.",
)
@config_option
@click.pass_context
def tune(ctx, data, **options):
    """Search good options for a training on DATA, and write them for `xpmlp train --config`.

    Many combinations are tried with few epochs, the best third of them with three times as many,
    and so on. They are ranked by the accuracy (regressions: R2) of held-out rows, or by --scoring.
    Options that are not tried are those of `xpmlp train`.
    """
    space = _space(options)
    ranked: list = []
    out = writable("--out", options["out"], data)
    found = lambda: "this is what was found so far, and " * bool(ranked) + "no file is written."
    with preemptible(found) as preemption:
        model, part, folds = _opened(data, options, space)
        trials, whole, notes = _searched(model, space, part, folds, options)
        ranked = _ranked(trials, len(folds))
        for note in notes:
            tell(f"Warning: {note}")
        if ranked:
            echo(_table(ranked, options["resource"], _scoring(model, options)))
        if not whole:
            preemption.heed()
            tell(f"Interrupted: {found()}")
            raise click.exceptions.Exit(130)
        if not ranked:
            raise DataError(f"{data}: no combination got a score in every fold.")
        from ..atomic import atomic_write

        results, text = Results(), _toml(ctx, ranked[0][-1]).encode()
        out = results.write(out, lambda path: atomic_write(path, text))
    echo(f"Best options: {out}, to train with: xpmlp train --config {out}")
    results.end()


def _opened(data, options, space):
    """Return the estimator that the options describe, the Part to search on, and its folds."""
    with ExitStack() as stack:
        source = opened_source(data, options, stack)
        model = estimator_of(source.task, getattr(source.X, "kinds", None), options, source.y)
        check_scoring(model.scoring, source.task)
        check_memory(source.name, source.X, model)
        # Those that `train` will test on must not choose its options.
        whole = options | {"validation": 0.0}
        rows, tested, seen = split_rows(source, data, whole, source.X_test is None)
        part, folds = _to_search(source, data, rows, seen, options)
    tell_quarantine(data, options, source.table)
    kept = ""
    if tested is not None:
        kept = f"; {len(tested):,} that train tests on are left out"
    n_features = plural(part.X.shape[1], "feature")
    shape = f"{len(part.y):,} rows, {n_features}, {source.task}{kept}"
    echo(wrapped(f"{source.name}: {shape}."))
    tell_roles(options)
    echo(wrapped(f"Settings: {settings_of(model, space)}."))
    return model, part, folds


def _space(options):
    """Return the values to try of each argument of the estimators."""
    texts = {k: v for k, v in SPACE.items() if options[_plain(k)] is None}
    if options["tried"]:
        texts = {}
        for text in options["tried"]:
            name, mark, values = text.partition("=")
            if _plain(name) not in ARGUMENTS or not mark:
                known = ", ".join(OPTIONS.values())
                raise click.UsageError(f"--try {text}: expected NAME=V1,V2, NAME one of {known}.")
            texts[name] = values
    if "epochs" in texts and options["resource"] == "epochs":
        raise click.UsageError("--try epochs=... goes with --resource rows.")
    found = {ARGUMENTS[_plain(name)]: _values(name, values) for name, values in texts.items()}
    if prod(map(len, found.values())) < 2:
        raise click.UsageError("there is one combination only, expected --try with two or more.")
    return found


def _plain(name):
    return name.strip().lstrip("-").replace("-", "_")


def _values(name, text):
    """Return the values that a list or a range of an option means."""
    kind, (low, mark, high) = KINDS[ARGUMENTS[_plain(name)]], text.partition("..")
    try:
        if not mark:
            texts = [v.strip() for v in text.split(",") if v.strip()]
        elif not 0 < float(low) < float(high):
            raise ValueError
        else:
            each = np.geomspace(float(low), float(high), STEPS)
            digits = ".3g"
            if float(low).is_integer() and float(low) >= 1:
                digits = ".0f"
            texts = [*dict.fromkeys(f"{v:{digits}}" for v in each)]
        values = [kind.convert(v, None, None) for v in texts]
    except click.BadParameter as error:
        raise click.UsageError(f"--try {name}: {error.message}") from error
    except ValueError as error:
        raise click.UsageError(f"--try {name}: no range {text!r}.") from error
    return [*dict.fromkeys(map(meant, values))]


def _to_search(source, data, rows, seen, options):
    """Return the Part to search on, in memory: it is read once for every fit; and its folds.

    rows: to train on; seen: to score on, where a column says which, or None.
    """
    from ..model import Scaling

    if seen is None:
        rows = np.sort(rows)
        folds = folds_of(source, data, rows, options["folds"], options)
    else:
        places = np.arange(len(rows) + len(seen))
        rows, folds = np.concatenate((rows, seen)), [np.split(places, [len(rows)])]
    X, y, weights = Part(source.X, source.y, weights_of(source, options)).taken(rows)
    if source.table is not None:
        return Part(X.in_memory(), y, weights), folds
    # Of all rows, those that are held out too: it tells nothing of their targets.
    X = Scaling.of(X, shared=source.image).apply(X).astype(np.float64, copy=False)
    return Part(X, y, weights), folds


def _searched(model, space, part, folds, options):
    """Return (epochs or rows, score) of fits by combination, whether the search ended, notes."""
    from joblib import parallel_config
    from sklearn.exceptions import FitFailedWarning
    from sklearn.experimental import enable_halving_search_cv  # noqa: F401
    from sklearn.model_selection import HalvingRandomSearchCV
    from tqdm import tqdm

    from .metrics import sign_of, value_of

    (X, y, weights), n_folds, seed = part, len(folds), model.random_state
    trials: dict = {}
    given = {} if weights is None else {"sample_weight": weights}
    metric = _scoring(model, options)
    by_epochs = options["resource"] == "epochs"

    def scored(estimator, X, y):
        answers, codes = answers_of(estimator, X), targets_of(estimator, y)
        value = sign_of(metric) * value_of(metric, answers, codes)
        amount = estimator.max_iter
        if not by_epochs:
            amount = estimator.t_ / estimator.n_iter_  # rows an epoch
        key = tuple((name, getattr(estimator, name)) for name in space)
        trials.setdefault(key, []).append((amount, value))
        bar.update()
        return value

    def stop(signum, frame):  # one of its own ends the search, not just the fit that it comes in
        raise KeyboardInterrupt

    n_classes = len(set(y.tolist())) if hasattr(model, "class_weight") else 1
    amounts = {"resource": "n_samples", "max_resources": "auto"}
    least, most = 2 * n_folds * n_classes, len(y)
    if by_epochs:
        amounts = {"resource": "max_iter", "max_resources": model.max_iter}
        least, most = 1, model.max_iter
    search = HalvingRandomSearchCV(
        model,
        space,
        n_candidates=options["candidates"],
        factor=FACTOR,
        cv=folds,
        min_resources="exhaust",
        scoring=scored,
        refit=False,
        return_train_score=False,
        random_state=seed,
        n_jobs=options["jobs"],
        **amounts,
    )
    n = min(options["candidates"], prod(map(len, space.values())))
    total = n_folds * _n_fits(n, least, most)
    look = {"unit": "fit", "ncols": live_columns(), "disable": not sys.stderr.isatty()}
    bar = tqdm(total=total, file=sys.stderr, **look)
    with (
        bar,
        parallel_config(backend="threading"),  # as the scorer is a closure
        on_ctrl_c(stop),
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always", FitFailedWarning)
        try:
            search.fit(X, y, **given)
        except (KeyboardInterrupt, Ended):
            return trials, False, []
        except ValueError as error:
            if "fits failed" not in str(error):
                raise
            raise DataError(f"no combination could be fitted: {_reason(error)}") from error
    texts = [str(w.message).strip() for w in caught if w.category is FitFailedWarning]
    return trials, True, [f"{t.split(' ')[0]} fits failed: {_reason(t)}" for t in texts]


def _scoring(model, options):
    """Return the name of what combinations are ranked by."""
    by_loss, own = "neg_mean_squared_error", "r2"
    if hasattr(model, "class_weight"):
        by_loss, own = "neg_log_loss", "accuracy"
    scoring = meant(options["scoring"])
    if scoring == "loss":
        scoring = by_loss
    return scoring or own


def _reason(failure):
    """Return the last reason in scikit-learn's report of fits that failed."""
    return str(failure).strip().splitlines()[-1].partition(": ")[2]


def _n_fits(n, least, most):
    """Return how many combinations are fitted in all rounds, as scikit-learn counts."""
    rounds, total = 1 + floor(log(n, FACTOR)), 0
    least = max(least, most // FACTOR ** (rounds - 1))
    for _ in range(min(rounds, 1 + floor(log(max(most // least, 1), FACTOR)))):
        total, n = total + n, ceil(n / FACTOR)
    return total


def _ranked(trials, folds):
    """Return (epochs or rows, mean, deviation, combination), best first, of what was fitted."""
    found = []
    for key, fits in trials.items():
        most = max(amount for amount, _ in fits)
        while fits:  # rounds differ by a factor of three, folds by a row
            last = [score for amount, score in fits if 2 * amount > most]
            if len(last) == folds and not any(map(isnan, last)):
                found.append((most, np.mean(last), np.std(last), key))
                break
            fits = [fit for fit in fits if 2 * fit[0] <= most]
            most = max((amount for amount, _ in fits), default=0)
    return sorted(found, key=lambda row: row[:2], reverse=True)


def _table(ranked, resource, score):
    """Return the results as text; score: its name."""
    names = [name for name, _ in ranked[0][-1]]
    rows = [["rank", score, resource, *map(OPTIONS.get, names)]]
    for rank, (amount, mean, deviation, key) in enumerate(ranked[:SHOWN], 1):
        score = f"{mean:.4f} ± {deviation:.4f}"
        values = [shown(v, "x") or "no" for _, v in key]
        rows.append([str(rank), score, f"{amount:.0f}", *values])
    lines = _aligned(rows)
    if max(map(len, lines)) > columns():  # names in two lines: weight- decay
        parts = [name.partition("-") for name in rows[0]]
        heads = [a + mark for a, mark, _ in parts], [b for *_, b in parts]
        lines = _aligned([*heads, *rows[1:]])
    if len(ranked) > SHOWN:
        lines.append(f"... and {len(ranked) - SHOWN} more.")
    return "\n".join(lines)


def _aligned(rows):
    """Return rows of words as lines, the columns aligned."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return ["  ".join(c.ljust(w) for c, w in zip(row, widths)).rstrip() for row in rows]


def _toml(ctx, best):
    """Return the best options, and all that the command line or a file said, as TOML."""
    said = (ParameterSource.COMMANDLINE, ParameterSource.DEFAULT_MAP)
    values = {
        key_of(p): _said(p, ctx.params[p.name])
        for p in ctx.command.params
        if p.name in ctx.params and p.name not in OWN and ctx.get_parameter_source(p.name) in said
    }
    values |= {OPTIONS[name]: "none" if value is None else value for name, value in best}
    return "".join(f"{k} = {_literal(v)}\n" for k, v in values.items() if v is not None)


def _said(param, value):
    """Return the value of an option as a file says it: lists of names as they are read again."""
    if not isinstance(param.type, Names):
        return value
    if len(value) == 1:
        return value[0]
    return names_of(value)


def _literal(value):
    """Return a value in TOML, which has JSON's literals but for inf."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {_literal(v)}" for k, v in value.items()) + "}"
    if isinstance(value, tuple | list):
        if value and isinstance(value[0], dict):  # --types, one or more
            return _literal({k: v for pairs in value for k, v in pairs.items()})
        return "[" + ", ".join(map(_literal, value)) + "]"
    if value == inf:
        return "inf"
    return json.dumps(value, ensure_ascii=False)
