"""Threads at work when the interpreter ends: it waits for one, and ends a daemon without noise."""

import subprocess
import sys

import pytest

HEAD = """
import sys, threading, warnings
import numpy as np
from xpmlp import MLPClassifier, load_model
warnings.simplefilter("ignore")
folder = sys.argv[1]
X = np.random.default_rng(0).normal(size=(400, 4))
y = (X[:, 0] > 0).astype(int)
"""
LATE = """
def work():
    threading.main_thread().join()  # now nothing can register to run at the end
    clf = MLPClassifier((256, 256), max_iter=2, early_stopping=True).fit(X, y)
    clf.save(f"{folder}/model")
    print(load_model(f"{folder}/model").predict_proba(X).shape)
    from xpmlp.tables.open_table import open_table
    np.savetxt(f"{folder}/t.csv", np.c_[X, y], delimiter=",", header="a,b,c,d,y", comments="")
    with open_table(f"{folder}/t.csv") as table:
        print(MLPClassifier(max_iter=2).fit(table.features, table.y).predict(table.features).shape)

threading.Thread(target=work).start()
"""
DAEMON = """
begun = threading.Event()

def work():
    clf = MLPClassifier((256, 256), max_iter=1)
    while True:
        clf.fit(X, y).predict(X)
        clf.save(f"{folder}/model")
        begun.set()

threading.Thread(target=work, daemon=True).start()
begun.wait()
"""


@pytest.mark.parametrize(
    "code, printed", [(LATE, "(400, 2)\n(400,)\n"), (DAEMON, "")], ids=["waited for", "daemon"]
)
def test_a_thread_that_trains_when_the_main_thread_ends(tmp_path, code, printed):
    command = [sys.executable, "-c", HEAD + code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, printed, "")
    load = f"from xpmlp import load_model; load_model({str(tmp_path / 'model')!r})"
    subprocess.run([sys.executable, "-c", load], check=True)
