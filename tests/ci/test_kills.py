"""A few of the kills of `ci/kill`."""

from ci import kills


def test_trainings_that_are_killed_and_restarted_end_as_undisturbed_ones():
    figures = kills.run(3)
    assert figures.kills >= 3
    assert figures.unequal == figures.leftovers == []
