"""What a type checker sees of the package."""

import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from each import each

import xpmlp
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
SCRIPT = """
from xpmlp import MLPClassifier, MLPRegressor, nn, optim
clf = MLPClassifier((8, nn.Dense(4)), solver=optim.Adam(), dropout=[0.1, 0.2])
MLPClassifier(hidden_layer_sizes="x")
MLPClassifier((8,), activation="rellu")
MLPRegressor((8,))
"""


@each("name", NAMES)
def test_a_type_has_the_names_that_its_table_has(name):
    assert {*get_args(getattr(types, name))} == {*NAMES[name]}


def test_mypy_sees_the_wrong_arguments_of_a_users_script(tmp_path):
    pytest.importorskip("mypy")
    (tmp_path / "user.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "mypy", str(tmp_path / "user.py")]
    root = Path(xpmlp.__file__).parents[1]  # whose cache has the package
    options = {"cwd": root, "timeout": 300, "capture_output": True, "text": True}
    told = subprocess.run(command, check=False, **options).stdout
    assert [int(n) for n in re.findall(r"user\.py:(\d+): error", told)] == [4, 5, 6], told


def test_the_names_that_mypy_sees_are_the_public_ones():
    names: dict = {}
    stub = (Path(xpmlp.__file__).parent / "__init__.pyi").read_text()
    exec(stub[stub.index("__all__ =") :], names)
    assert names["__all__"] == sorted(xpmlp.__all__)
