"""What a type checker sees of the package."""

import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from each import each

import xpmlp
from xpmlp import callbacks, nn, optim, plotting, testing
from xpmlp.engines import ACCELERATIONS, MATMUL_PRECISIONS
from xpmlp.estimators import types
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.initializers import INITIALIZERS
from xpmlp.nn.losses import loss_names
from xpmlp.nn.normalization import NORMALIZATIONS
from xpmlp.optim import SCHEDULES
from xpmlp.optim.rules import SOLVERS

NAMES = {
    "ActivationName": ACTIVATIONS,
    "SolverName": SOLVERS,
    "ScheduleName": SCHEDULES,
    "ClassLossName": loss_names("classification"),
    "NumberLossName": loss_names("regression"),
    "InitName": ["auto", *INITIALIZERS],
    "NormalizationName": NORMALIZATIONS,
    "MatmulPrecision": MATMUL_PRECISIONS,
    "Accelerate": ACCELERATIONS,
}
WRONG = """
from xpmlp import MLPClassifier, MLPRegressor, callbacks, load, load_model, nn, optim, plan
from xpmlp import plotting, train
from xpmlp.testing import check_gradients as check, check_gradient  # wrong
clf = MLPClassifier((8, nn.Dense(4)), solver=optim.Adam(), dropout=[0.1, 0.2])
X, y = [[0.0], [1.0]], [0, 1]
MLPClassifier(hidden_layer_sizes="x")  # wrong
MLPClassifier((8,), activation="rellu")  # wrong
MLPRegressor((8,))  # wrong
clf.fit(X, y).savee("a")  # wrong
clf.predict()  # wrong
load_model("a").predct(X)  # wrong
load_model(3)  # wrong
clf.fit(X, y, Xval=X)  # wrong
clf.fit("table.csv", y)  # wrong
clf.partial_fit(X)  # wrong
clf.history["loss"]  # wrong
clf.best_epoch_ = 3  # wrong
clf.history_["loss"].mean()  # wrong
load("a").predict_probability(X)  # wrong
clf.to(0)  # wrong
clf.explain(X, y, orientation="cols")  # wrong
plan(clf, X)  # wrong
train(nn.Network([nn.Dense(1)]), X, y, accelerate="fast")  # wrong
plotting.plot_history(3)  # wrong
plotting.plot_history(clf).save("a.png")  # wrong
callbacks.CSVLogger(3)  # wrong
nn.Network([nn.Dense(1)]).summary("3")  # wrong
optim.Adam().rate(0.1, [1])  # wrong
check(nn.Dense(1), X).good  # wrong
"""
RIGHT = """
# mypy: disallow-untyped-calls
from pathlib import Path
import numpy as np
import pandas as pd
import polars as pl
from scipy.sparse import csr_array
from xpmlp import MLPClassifier, MLPRegressor, explain, load, load_model, nn, plan, plotting, train
from xpmlp.testing import check_gradients
X, y = np.zeros((4, 2)), np.asarray([0, 1, 0, 1])
clf = MLPClassifier((8,), random_state=0).fit(X, y, X_val=X, y_val=range(4))
clf.set_params(max_iter=5).fit(X.tolist(), y.tolist(), sample_weight=np.ones(4))
clf.partial_fit(csr_array(X), y, classes=[0, 1])
labels: np.ndarray = clf.predict(pd.DataFrame(X))
accuracy: float = (clf.predict_proba(X).argmax(axis=1) == y).mean() + clf.score(X, y)
losses: list[float] = clf.history_["loss"]
epoch: int = clf.best_epoch_
clf.coefs_ = [2 * W for W in clf.coefs_]
clf.save(Path("a.safetensors"))
clf.export("a.onnx", check=False)
again = load_model("a.safetensors")
again.to("cpu").predict_proba(X)
again.predict(X, quantiles=0.5)
one: MLPClassifier = load_model("a.safetensors")
load("a.safetensors").predict(X)
table = pl.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]})
reg = MLPRegressor(loss="quantile", quantiles=[0.1, 0.9]).fit(table, table["a"])
reg.fit(table.lazy(), pd.Series([1.0, 2.0])).predict(table, quantiles=[0.1])
reg.set_output(transform="pandas").transform(table, layer=0)
page: str = clf.explain(X, y).to_html()
fits: bool | None = clf.plan(X).fits
rate: float = clf.find_learning_rate(X, y).suggestion
trained = train(nn.Network([nn.Dense(1)]), X, y[:, None], solver="lbfgs")
trained.outputs(X)
plotting.plot_history(clf, path="a.png").savefig("b.png")
plotting.plot_history(clf.history_), plotting.plot_history(pd.DataFrame(trained.history))
plotting.plot_boundary(clf.predict, X, y), plotting.plot_confusion(y, labels)
plotting.plot_learning_rates(clf.find_learning_rate(X, y), path=Path("c.png"))
plotting.plot_curves(range(3), {"a": [1, 2, 3]})
latex: str = explain(trained.network, X).to_latex() + repr(plan(trained.network, X))
class Double(nn.Layer):
    def init(self, n_in: int, stream: np.random.Generator, x: object = None) -> tuple[dict, int]:
        return {}, n_in
    def forward(self, params: dict, x: np.ndarray, ctx: nn.Ctx) -> tuple[np.ndarray, tuple]:
        return 2 * x, ()
    def backward(self, params: dict, dy: np.ndarray, cache: tuple, ctx: nn.Ctx) -> tuple:
        return 2 * dy, {}
right: bool = check_gradients(nn.Network((Double(), nn.Dense(1))), X).ok
def fitted(estimator: MLPClassifier) -> MLPClassifier:
    return estimator.fit(np.zeros((3, 2)), [0, 1, 2])
"""
TENSORS = """
import jax.numpy as jnp
import torch
from xpmlp import MLPClassifier
MLPClassifier().fit(torch.zeros(4, 2), torch.ones(4)).to(torch.zeros(0)).predict(torch.ones(4, 2))
MLPClassifier().fit(jnp.zeros((4, 2)), jnp.ones(4)).score(jnp.ones((4, 2)), jnp.ones(4))
"""


@each("name", NAMES)
def test_a_type_has_the_names_that_its_table_has(name):
    assert {*get_args(getattr(types, name))} == {*NAMES[name]}


def complaints(tmp_path, script):
    """The numbers of the lines of a user's script that mypy finds wrong, and all it says."""
    pytest.importorskip("mypy")
    (tmp_path / "user.py").write_text(script)
    command = [sys.executable, "-m", "mypy", str(tmp_path / "user.py")]
    root = Path(xpmlp.__file__).parents[1]  # whose cache has the package
    options = {"cwd": root, "timeout": 300, "capture_output": True, "text": True}
    told = subprocess.run(command, check=False, **options).stdout
    assert "1 source file" in told, told
    return [int(n) for n in re.findall(r"user\.py:(\d+): error", told)], told


def test_mypy_sees_the_faults_of_a_users_script(tmp_path):
    found, told = complaints(tmp_path, WRONG)
    lines = enumerate(WRONG.splitlines(), start=1)
    assert found == [n for n, line in lines if line.endswith("# wrong")], told


def test_mypy_has_nothing_against_a_right_script(tmp_path):
    found, told = complaints(tmp_path, RIGHT)
    assert found == [], told


def test_mypy_takes_arrays_of_torch_and_jax(tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("jax")
    found, told = complaints(tmp_path, TENSORS)
    assert found == [], told


@each("package", [xpmlp, testing])
def test_the_names_that_mypy_sees_are_the_public_ones(package):
    names: dict = {}
    stub = (Path(package.__file__).parent / "__init__.pyi").read_text()
    exec(stub[stub.index("__all__ =") :], names)
    assert names["__all__"] == sorted(package.__all__)


def signatures(module):
    """The public functions and methods of a module's names, by their own names."""
    public = [name for name in vars(module) if name[0] != "_"]
    for name in getattr(module, "__all__", public):
        found = getattr(module, name)
        if inspect.isfunction(found):
            yield name, found
        elif inspect.isclass(found):
            methods = inspect.getmembers(found, inspect.isfunction)
            yield from ((f"{name}.{k}", f) for k, f in methods if k[0] != "_")


@each("module", [xpmlp, nn, optim, callbacks, plotting, testing])
def test_every_public_signature_says_its_types(module):
    for name, f in signatures(module):
        own = f.__module__.startswith(module.__name__) or hasattr(module, "__all__")
        if own and f.__module__.startswith("xpmlp"):
            said = inspect.signature(f)
            takes = [p for p in said.parameters.values() if p.name not in ("self", "cls")]
            kinds = [said.return_annotation, *(p.annotation for p in takes)]
            assert inspect.Parameter.empty not in kinds, name
