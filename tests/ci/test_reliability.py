"""The matrices of ci/reliability, a few tries of each."""

from ci.reliability import inputs, saves


def test_saves_that_are_killed_run_at_once_or_fail_are_whole(monkeypatch):
    for name, few in {"KILLS": 8, "SCRATCH_KILLS": 3, "AT_ONCE": 3, "SECONDS": 0.3}.items():
        monkeypatch.setattr(saves, name, few)
    figures = saves.run()
    assert figures.notes == [] and figures.tried > 15 and figures.refused == len(saves.FAILURES)


def test_what_users_pass_is_refused_or_accepted_rightly():
    figures = inputs.run()
    assert not figures.notes and figures.tried - figures.refused > 200
