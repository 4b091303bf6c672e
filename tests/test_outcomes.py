"""Pictures of many classes, and of predictions with outliers."""

import numpy as np
import pytest
from each import each

from xpmlp import plotting
from xpmlp.outcomes import MOST, SHOWN, confusion, range_of_most


def many_classes(n, wrong=()):
    """Return ten rows of each of n classes, of which the first nine of each `wrong` are taken
    for the next one."""
    y = np.repeat(np.arange(n), 10)
    found = y.copy()
    for k in wrong:
        found[10 * k : 10 * k + 9] = (k + 1) % n
    return y, found


def test_of_many_classes_those_with_errors_are_shown_and_the_others_as_one():
    y, found = many_classes(97, wrong=(5, 60, 95))
    counts, names = confusion(y, found)
    assert (counts.sum(), len(names), names[-1]) == (970, SHOWN + 1, f"{97 - SHOWN} others")
    assert {"5", "6", "60", "61", "95", "96"} <= {*names}
    assert counts[names.index("60")].tolist() == [{"60": 1, "61": 9}.get(name, 0) for name in names]
    assert counts[-1, -1] == 10 * (97 - SHOWN)


def test_the_picture_of_97_classes_has_room_for_each_number_and_says_how_many_are_right():
    y, found = many_classes(97, wrong=(5, 60, 95))
    axes = plotting.plot_confusion(y, found).axes[0]
    assert axes.get_title(loc="left") == "943 of 970 correct (97.2%)"
    assert len(axes.get_xticklabels()) == SHOWN + 1
    assert min(text.get_fontsize() for text in axes.texts) >= 7


@pytest.mark.parametrize("n", [2, MOST])
def test_as_many_classes_as_can_be_read_are_all_shown(n):
    counts, names = confusion(*many_classes(n))
    assert names == [str(k) for k in range(n)] and np.array_equal(counts, 10 * np.eye(n))


def test_classes_that_are_asked_for_are_shown_however_many_they_are():
    y, found = many_classes(97)
    assert confusion(y, found, labels=range(50))[0].shape == (50, 50)


def test_labels_are_no_formulas_and_long_ones_are_cut_in_their_middle():
    labels = ["$10 - $20", f"first {'x' * 200} last", "plain"]
    texts = plotting.plot_confusion(labels, labels).axes[0].get_yticklabels()
    assert [text.get_text() for text in texts] == ["$10 - $20", "first xxxxxx…xxxxxx last", "plain"]
    assert not any(text.get_parse_math() for text in texts)


@each(
    "values, expected",
    [
        ([*range(100), 1e6], (0, 99)),
        ([*range(100), -1e6, 1e9], (0, 99)),
        ([1.0, 2.0, 5.0], (1, 5)),  # of few values none is an outlier
        ([3.0] * 50, (3, 3)),
        ([3.0] * 50 + [4.0], (3, 4)),
        ([np.nan, np.inf, 1.0, 2.0], (1, 2)),
        ([], (0, 1)),
        (np.random.default_rng(0).normal(size=100_000), None),
        (np.random.default_rng(0).uniform(size=1000), None),
    ],
)
def test_only_what_is_far_from_nearly_all_others_is_an_outlier(values, expected):
    assert range_of_most(values) == (expected or (np.min(values), np.max(values)))


def test_an_outlier_is_a_cross_at_the_edge_and_the_axes_are_those_of_the_others():
    y = np.append(np.linspace(0, 1, 100), 0.5)
    found = np.append(np.linspace(0, 1, 100), 1e5)
    (axes,) = plotting.plot_predictions(y, found).axes
    diagonal, cross = axes.lines
    assert np.array_equal(diagonal.get_xydata(), [[0, 0], [1, 1]])
    assert (cross.get_marker(), cross.get_xydata().tolist()) == ("x", [[0.5, 1.0]])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["output 1", "1 outside"]
    assert axes.get_ylim()[1] < 2
