"""The matrices of ci/reliability, a few tries of each."""

from ci.reliability import data_files, inputs, model_files, saves


def test_saves_that_are_killed_run_at_once_or_fail_are_whole(monkeypatch):
    for name, few in {"KILLS": 8, "SCRATCH_KILLS": 3, "AT_ONCE": 3, "SECONDS": 0.3}.items():
        monkeypatch.setattr(saves, name, few)
    figures = saves.run()
    assert figures.notes == [] and figures.tried > 15 and figures.refused == len(saves.FAILURES)


def test_what_users_pass_is_refused_or_accepted_rightly():
    figures = inputs.run()
    assert not figures.notes and figures.tried - figures.refused > 200


def test_data_files_that_are_made_to_harm_take_neither_memory_nor_time(monkeypatch):
    names = "memo.pkl claims.npz idx line.csv.gz deep.json text.parquet row.xlsx pipe.npz".split()
    few = {name: data_files.REFUSED_FILES[name] for name in names}
    monkeypatch.setattr(data_files, "REFUSED_FILES", few)
    monkeypatch.setattr(data_files, "DAMAGED", 2)
    figures = data_files.run()
    n_good = len(data_files.GOOD_FILES)
    assert not figures.notes and figures.tried == len(few) + 3 * n_good
    assert len(few) <= figures.refused <= len(few) + 2 * n_good


def test_model_files_that_are_damaged_or_made_to_harm_are_refused_or_sane(monkeypatch):
    for name, few in {"EACH": 150, "SECONDS": 3.0, "CPU": 1.0}.items():
        monkeypatch.setattr(model_files, name, few)
    figures = model_files.run()
    assert figures.notes == [] and figures.tried > 250 and figures.leaked == 0
