"""Rows are divided so that time goes on, groups stay whole, and labels are in each part."""

import numpy as np
import pytest
from each import each

from xpmlp.cli.divisions import AtRandom, ByGroup, ByTime

RNG = np.random.default_rng(0)
ROWS = np.arange(200)
GROUPS = RNG.integers(0, 20, 200)
MOMENTS = RNG.integers(0, 30, 200)
LABELS = RNG.choice(["a", "b", "c"], 200, p=[0.1, 0.3, 0.6])
DIVISIONS = {
    "labels": AtRandom(LABELS, 0),
    "numbers": AtRandom(None, 0),
    "time": ByTime(MOMENTS),
    "groups": ByGroup(GROUPS, LABELS, 0),
    "groups of numbers": ByGroup(GROUPS, None, 0),
}
EVERY = each("division", DIVISIONS.values(), ids=DIVISIONS)


@EVERY
def test_each_row_is_in_one_part(division):
    rows = RNG.permutation(ROWS)[:150]
    left, held = division.held_out(rows, 0.2)
    assert sorted([*left, *held]) == sorted(rows)
    assert 20 <= len(held) <= 40  # about a fifth


@EVERY
def test_each_fold_tests_on_rows_of_its_own(division):
    rows = RNG.permutation(ROWS)[:150]
    folds = list(division.folds(rows, 4))
    tested = np.concatenate([test for _, test in folds])
    assert len(folds) == 4
    assert len({*tested}) == len(tested)
    assert all({*train}.isdisjoint(test) for train, test in folds)
    if not isinstance(division, ByTime):  # whose first rows have no past
        assert sorted(tested) == list(range(150))


def parts(division):
    rows = RNG.permutation(ROWS)
    yield division.held_out(rows, 0.3)
    yield from ((rows[train], rows[test]) for train, test in division.folds(rows, 3))


def test_the_past_does_not_see_the_future_and_a_moment_is_not_torn():
    for past, future in parts(ByTime(MOMENTS)):
        assert MOMENTS[past].max() < MOMENTS[future].min()


@each("labels", [LABELS, None], ids=["labels", "numbers"])
def test_no_group_is_in_two_parts(labels):
    for left, held in parts(ByGroup(GROUPS, labels, 0)):
        assert {*GROUPS[left]}.isdisjoint(GROUPS[held])


def test_labels_are_held_out_in_their_shares():
    for _, held in parts(AtRandom(LABELS, 0)):
        _, counts = np.unique(LABELS[held], return_counts=True)
        assert counts / len(held) == pytest.approx([0.1, 0.3, 0.6], abs=0.05)


def test_a_label_that_cannot_be_in_both_parts_is_trained_on():
    labels = np.asarray(["a"] * 60 + ["b"] * 60 + ["once", "twice", "twice"])
    left, held = AtRandom(labels, 0).held_out(np.arange(123), 0.7)
    assert {"once", "twice"} <= {*labels[left]}
    assert "once" not in labels[held]


def test_more_labels_than_rows_to_hold_out_are_drawn_at_random_and_that_is_told(capsys):
    labels = np.repeat(np.arange(40), 3)
    left, held = AtRandom(labels, 0).held_out(np.arange(120), 0.2)
    assert {*labels[held]} <= {*labels[left]}
    assert 12 <= len(held) <= 24
    assert "20% of 120 rows cannot show each of 40 labels" in capsys.readouterr().err


@each(
    "division, words",
    [(ByTime(np.zeros(9, int)), "one moment"), (ByGroup(np.zeros(9, int), None, 0), "one group")],
    ids=["time", "group"],
)
def test_what_is_one_piece_is_not_divided(division, words):
    with pytest.raises(ValueError, match=words):
        division.held_out(np.arange(9), 0.2)
