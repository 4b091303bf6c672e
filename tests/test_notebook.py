"""What a notebook shows; `ci/test nbclient ipykernel` installs what this needs."""

import pytest

nbformat = pytest.importorskip("nbformat", reason="a notebook is run by nbclient")
nbclient = pytest.importorskip("nbclient", reason="a notebook is run by nbclient")
pytest.importorskip("ipykernel", reason="a notebook's kernel is ipykernel's")
pytest.importorskip("matplotlib", reason="pictures need matplotlib")

FIRST = """
from sklearn.datasets import load_iris
from xpmlp import MLPClassifier
from xpmlp.plotting import plot_history
X, y = load_iris(return_X_y=True)
clf = MLPClassifier((8,), solver="lbfgs", max_iter=500, random_state=0, verbose=1).fit(X, y)
"""


@pytest.mark.filterwarnings("ignore")  # of Jupyter's own
def test_a_notebook_shows_figures_once_reports_and_a_bar():
    cells = FIRST, "plot_history(clf)", "clf.plan(X, y)", "clf.explain(X, y)", "clf"
    cells += "import matplotlib.pyplot as plt", "plot_history(clf)", "plt.plot([1, 2]);"
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in cells])
    nbclient.NotebookClient(book, kernel_name="python3", timeout=60).execute()
    fit, picture, plan, explanation, estimator, _, again, theirs = (c.outputs for c in book.cells)
    assert {output.name for output in fit} == {"stdout"}
    assert "iteration/s, loss=" in "".join(output.text for output in fit)
    for outputs in (picture, again, theirs):
        assert [sorted(output.data) for output in outputs] == [["image/png", "text/plain"]]
    for outputs in (plan, explanation, estimator):
        assert [sorted(output.data) for output in outputs] == [["text/html", "text/plain"]]
