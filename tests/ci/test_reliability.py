"""The matrices of ci/reliability, a few tries of each."""

from ci.reliability import saves


def test_saves_that_are_killed_run_at_once_or_fail_are_whole(monkeypatch):
    for name, few in {"KILLS": 8, "SCRATCH_KILLS": 3, "AT_ONCE": 3, "SECONDS": 0.3}.items():
        monkeypatch.setattr(saves, name, few)
    figures = saves.run()
    assert figures.notes == [] and figures.tried > 15 and figures.refused == len(saves.FAILURES)
