"""Every example in a docstring runs, and every public function or class has a docstring."""

import doctest
import importlib
import pkgutil
from importlib.util import find_spec

import pytest

import xpmlp

FOLDERS = pkgutil.walk_packages(xpmlp.__path__, "xpmlp.", onerror=lambda name: None)
NONE = "__main__", "_native"  # run by being imported; a library that is no module
MODULES = [m.name for m in FOLDERS if not m.name.endswith(NONE)]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(name, tmp_path, monkeypatch):
    if name.startswith("xpmlp.engines.cupy") and find_spec("cupy") is None:
        pytest.skip("CuPy is not installed")
    monkeypatch.chdir(tmp_path)
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_the_public_names_have_examples():
    public = [getattr(xpmlp, n) for n in ("MLPClassifier", "MLPRegressor", "load_model", "train")]
    public += [getattr(xpmlp.nn, n) for n in ("Dense", "Activation", "Dropout", "Layer", "Network")]
    assert [p.__name__ for p in public if ">>>" not in (p.__doc__ or "")] == []
