"""Labels in too few rows to be divided, and those that training lacks."""

import click
import numpy as np

from ..errors import DataError
from ..words import first_of, plural
from .command import Choice, section, tell
from .data import check_predictable
from .divisions import AtRandom, are_few

SHOWN = 5  # labels that a note names
TOLD = "rare labels"  # where a context keeps those that were told of
rare_option = section("Data")(
    "--rare-labels",
    type=Choice(["keep", "drop", "error"]),
    help="Labels in too few rows to hold some out: keep (train on all of them), drop (leave them "
    "out) or error.  [keep]",
)


def check_rare(options, task):
    """Print that the option changes nothing where no labels are predicted."""
    if options["rare_labels"] and task == "regression":
        tell("Note: --rare-labels changes nothing: this is a regression.")


def parted(place, labels, division, least, policy, *, folds=False):
    """Return the rows to divide, and those that are trained on whatever becomes of the others.

    labels: (n,) of classes; least: rows that a label needs to be divided; folds: into folds.
    """
    rows, few = np.arange(len(labels)), are_few(labels, least)
    if not few.any() or (policy == "keep" and not isinstance(division, AtRandom)):
        return rows, rows[:0]
    if few.all():
        said = "fewer --folds" if folds else "another --target"
        n = len(np.unique(labels))
        raise DataError(
            f"{place} cannot be divided: each of {n} labels has fewer than {least} rows: find more "
            f"rows, or say {said}."
        )
    if policy == "error":
        check_enough(place, labels, least, folds)
    if policy == "drop" and len(np.unique(labels[~few])) < 2:
        raise DataError(f"{place} has one label only without rare ones: say --rare-labels keep.")
    _tell_rare(labels[few], least, policy, folds)
    if policy == "drop":
        return rows[~few], rows[:0]
    return rows[~few], rows[few]


def _tell_rare(labels, least, policy, folds):
    """Print what becomes of rows of rare labels (n,), unless it was said of all of these before."""
    context = click.get_current_context(silent=True)
    told = context.meta.setdefault(TOLD, set()) if context else set()
    names = np.unique(labels)
    if told.issuperset(names.tolist()):
        return
    told.update(names.tolist())
    purpose = f"be in {least} folds" if folds else "hold some out"
    start = f"Note: {_named(names)} fewer than the {least} rows that it takes to {purpose}"
    if policy == "drop":
        tell(f"{start}: {plural(len(labels), 'row')} left out.")
    else:
        tell(f"{start}: trained on alone (--rare-labels drop leaves such rows out).")


def _named(labels):
    """Return labels with their verb: "the label 'a' has", "the labels 'a', 'b' have"."""
    shown = first_of([repr(label) for label in labels.tolist()], SHOWN)
    if len(labels) == 1:
        return f"the label {shown} has"
    return f"the labels {shown} have"


def check_enough(place, labels, least, folds=False):
    """Raise DataError where a label has too few rows to be divided."""
    classes, counts = np.unique(labels, return_counts=True)
    if counts.min() >= least:
        return
    few = f"only {plural(counts.min(), 'row')} of the label {classes[counts.argmin()]!s}"
    several = (counts >= least).sum() > 1
    said = "--rare-labels keep or drop" if several else "--rare-labels keep"
    if folds:
        said = "fewer --folds"
    remedy = f"find more rows of it, or say {said}"
    if classes.dtype.kind in "iuf":
        remedy += ", or --task regression"
    raise DataError(
        f"{place} cannot be split to hold rows out: {few}, expected {least} or more: {remedy}."
    )


def known_rows(place, y, classes, policy):
    """Return which rows of a part (n,) have labels of the classes that training has, or raise.

    Others are an error, or left out by --rare-labels drop.
    """
    known = np.isin(y, classes)
    if policy != "drop" or known.all():
        remedy = "leave such rows out by --rare-labels drop"
        check_predictable(place, y, classes, remedy)
        return known
    if not known.any():
        raise DataError(f"{place} has none of the labels that training has: split otherwise.")
    has, n = _named(np.unique(y[~known])), plural((~known).sum(), "row")
    tell(f"Note: {has} no rows to train on: {n} left out of {place}.")
    return known
