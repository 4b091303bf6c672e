"""Cross-validation beside a training: as many more trainings, each tested on rows of its own."""

import click
import numpy as np

from ..words import plural
from .command import section, tell
from .fitting import fitted, interrupted
from .numbers import Whole
from .rare_labels import known_rows
from .roles import split_by
from .scores import metrics, shown_score
from .sentences import in_options
from .splits import Part, check_weighed, folds_of, held_out, part_of
from .threshold import set_threshold
from .used_columns import division_of, weights_of

folds_option = section("Scores")(
    "--folds",
    type=Whole(2),
    help="Cross-validate, too: so many more trainings, each tested on another part of the rows.",
)


def check_folds(options):
    """Raise UsageError for folds of rows whose parts a column says."""
    if options["folds"] is not None and split_by(options)[0] == "column":
        raise click.UsageError(
            "--folds divides the rows, and --split column:COL says their parts: leave one out."
        )


def fold_rows(source, data, options):
    """Return for each fold the rows to train, to validate and to test on, before any training.

    Those to validate on are None where --validation is 0, a file or the test rows.
    """
    if options["folds"] is None:
        return []
    rows, division = np.arange(len(source.y)), division_of(source, data, options)
    weights = weights_of(source, options)
    share, made = options["validation"], []
    for i, (train, test) in enumerate(folds_of(source, data, rows, options["folds"], options), 1):
        seen = None
        train = train[: options["rows"]]
        if isinstance(share, float) and share > 0:
            train, seen = held_out(division, data, train, share)
        place = f"the test part of fold {i} of {data}"
        if source.task == "classification":
            y, policy = source.y, options["rare_labels"]
            test = test[known_rows(place, y[test], np.unique(y[train]), policy)]
        for purpose, part in (("train", train), ("validate", seen), ("test", test)):
            if weights is not None and part is not None:
                check_weighed(f"{data}, fold {i}", purpose, weights[part], options)
        made.append((train, seen, test))
    return made


def cross_validated(model, source, folds, watched, options):
    """Return mean and deviation of each metric over the folds, as JSON has them, and more notes.

    The model is trained again on each of them; where Ctrl-C ends one, None is returned for all.
    folds: as of `fold_rows`; watched: the Part of another file to validate on.
    """
    from sklearn.base import clone

    found, notes = [], []
    whole = Part(source.X, source.y, weights_of(source, options))
    for i, rows in enumerate(folds, 1):
        train, seen, test = (part_of(source, whole, part) for part in rows)
        if options["validation"] == "test":
            seen = test
        elif seen is None:
            seen = watched
        twin = clone(model).set_params(batch_size=min(model.batch_size, len(train.y)))
        told = fitted(twin, source, train, seen, options, f"fold {i} of {len(folds)}: ")
        notes += told
        if interrupted(told):
            tell("Interrupted: the scores of the folds are left out.")
            return None, notes
        for note in told:
            tell(f"Warning: fold {i}: {in_options(note)}")
        set_threshold(twin, seen, options)
        X, y, weights = test
        found.append(metrics(twin, X, y, weights, more=options["metrics"]))
    return _summary(found), notes


def _summary(found):
    """Return mean, deviation and all values of metrics, name -> value; None where one lacks."""
    values = {name: [one[name] for one in found] for name in found[0]}
    whole = {name: some for name, some in values.items() if None not in some}
    return {
        "n": len(found),
        "mean": dict.fromkeys(values) | {k: float(np.mean(some)) for k, some in whole.items()},
        "deviation": dict.fromkeys(values) | {k: float(np.std(some)) for k, some in whole.items()},
        "scores": found,
    }


def shown_folds(crossed):
    """Return the scores of folds as text: "5 folds: accuracy 0.8613 ± 0.0021, ..."."""
    means, deviations = crossed["mean"], crossed["deviation"]
    texts = [
        f"{name} {shown_score(mean)}" + f" ± {shown_score(deviations[name])}" * (mean is not None)
        for name, mean in means.items()
    ]
    return f"{plural(crossed['n'], 'fold')}: {', '.join(texts)}"
