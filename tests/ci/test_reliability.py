"""The matrices of ci/reliability, a few tries of each."""

import json
import subprocess
import sys
from pathlib import Path

from ci.reliability import Figures, data_files, inputs, model_files, saves

ROOT = Path(__file__).parents[2]
CHILD = """
import json, sys
from importlib import import_module
matrix = import_module(f"ci.reliability.{sys.argv[1]}")
for name, few in json.loads(sys.argv[2]).items():
    if isinstance(few, list):
        few = {key: getattr(matrix, name)[key] for key in few}
    setattr(matrix, name, few)
print(json.dumps(vars(matrix.run())))
"""


def figures_of(matrix, **few):
    """Return what a matrix finds in a process of its own: it forks, and JAX has threads here."""
    argv = [sys.executable, "-c", CHILD, matrix, json.dumps(few)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return Figures(**json.loads(done.stdout.splitlines()[-1]))


def test_saves_that_are_killed_run_at_once_or_fail_are_whole():
    figures = figures_of("saves", KILLS=8, SCRATCH_KILLS=3, AT_ONCE=3, SECONDS=0.3)
    assert figures.notes == [] and figures.tried > 15 and figures.refused == len(saves.FAILURES)


def test_what_users_pass_is_refused_or_accepted_rightly():
    figures = inputs.run()
    assert not figures.notes and figures.tried - figures.refused > 200


def test_data_files_that_are_made_to_harm_take_neither_memory_nor_time():
    few = "memo.pkl claims.npz idx line.csv.gz deep.json text.parquet row.xlsx pipe.npz".split()
    figures = figures_of("data_files", REFUSED_FILES=few, DAMAGED=2)
    n_good = len(data_files.GOOD_FILES)
    assert not figures.notes and figures.tried == len(few) + 3 * n_good
    assert len(few) <= figures.refused <= len(few) + 2 * n_good


def test_model_files_that_are_damaged_or_made_to_harm_are_refused_or_sane(monkeypatch):
    for name, few in {"EACH": 150, "SECONDS": 3.0, "CPU": 1.0}.items():
        monkeypatch.setattr(model_files, name, few)
    figures = model_files.run()
    assert figures.notes == [] and figures.tried > 250 and figures.leaked == 0
