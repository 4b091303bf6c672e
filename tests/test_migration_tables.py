"""The tables for who comes from another library name what there is, here and there."""

import copy
import inspect
import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from operator import attrgetter
from pathlib import Path

import pytest
from needs import needs
from sklearn import neural_network
from sklearn.compose import TransformedTargetRegressor

import xpmlp
from xpmlp import MLPClassifier, MLPRegressor, nn, optim

ROOT = Path(__file__).parents[1]
PAGES = "".join(page.read_text() for page in ROOT.glob("docs/from_*.md"))
BOTH = (MLPClassifier, MLPRegressor)


def parameters(*functions):
    """Return the names and defaults of the parameters of functions."""
    found = (inspect.signature(f).parameters.values() for f in functions)
    return {p.name: p.default for each in found for p in each}


def table(first):
    """Return the cells of the rows of the table whose head begins with a word."""
    (found,) = re.findall(rf"^\| {first} \|.*\n\|[-|]+\n((?:\|.*\n)+)", PAGES, flags=re.M)
    return [[cell.strip() for cell in row.strip("| ").split(" | ")] for row in found.splitlines()]


@pytest.mark.parametrize("kind", BOTH)
def test_docstrings_describe_each_argument(kind):
    section = inspect.getdoc(kind).partition("Parameters\n---")[2].partition("\n\n")[0]
    told = re.findall(r"^([a-z]\w*(?:, \w+)*) : ", section, flags=re.M)
    told = [name for names in told for name in names.split(", ")]
    assert len(told) == len(set(told))
    own = parameters(kind).keys()
    if kind is MLPClassifier:
        assert set(told) == own
    else:
        assert own - parameters(MLPClassifier).keys() | {"loss"} <= set(told) <= own


@pytest.mark.parametrize("first", ["instead of", "Keras", "PyTorch", "what"])
def test_the_tables_for_who_switches_name_what_there_is_here(first):
    column = 2 if first == "what" else 1
    cells = " ".join(row[column] for row in table(first))
    code = " ".join(re.findall(r"`([^`]+)`", cells))
    methods = (
        getattr(kind, m) for kind in BOTH for m in ("fit", "partial_fit", "transform", "save")
    )
    known = parameters(*BOTH, *methods, nn.losses.focal, optim.StepDecay).keys()
    given = set(re.findall(r"\b(\w+) ?=(?!=)", code))
    assert given <= known
    assert len(given) > 10 or first == "what"
    clf = MLPClassifier((2,)).partial_fit([[0.0], [1.0]], [0, 1], classes=[0, 1])
    places = {"clf": clf, "nn": nn, "optim": optim, "xpmlp": xpmlp}
    used = re.findall(r"\b(clf|nn|optim|xpmlp)\.(\w+(?:\.\w+)*)", code)
    for place, path in used:
        attrgetter(path)(places[place])
    assert used


@needs("sklearn", "1.7", "its networks take loss")
def test_the_table_for_who_comes_from_scikit_learn_names_what_there_is_there():
    code = " ".join(re.findall(r"`([^`]+)`", " ".join(row[0] for row in table("instead of"))))
    theirs = parameters(neural_network.MLPClassifier, neural_network.MLPRegressor)
    given = set(re.findall(r"\b(\w+)=", code))
    assert given <= theirs.keys() | parameters(TransformedTargetRegressor).keys()
    assert {"learning_rate", "early_stopping"} <= given


KERAS = """
import inspect, json, sys
import keras
from keras import callbacks, constraints, layers, losses, optimizers, regularizers, utils
places = callbacks, constraints, layers, losses, optimizers, optimizers.schedules, regularizers
names, given = json.loads(sys.argv[1])
found = {n: o for n in names for p in (keras, *places) if (o := getattr(p, n, None)) is not None}
functions = [*found.values(), layers.Dense, keras.Model.fit, keras.Model.compile]
functions += [optimizers.Optimizer]
known = {name for f in functions for name in inspect.signature(f).parameters}
print(json.dumps([sorted({*names} - {*found}), sorted({*given} - known)]))
"""


@pytest.mark.skipif(not find_spec("keras"), reason="Keras is not installed")
def test_the_table_for_who_comes_from_keras_names_what_there_is_there():
    code = " ".join(re.findall(r"`([^`]+)`", " ".join(row[0] for row in table("Keras"))))
    names = re.findall(r"\b(?!True)([A-Z]\w+)", code)
    given = re.findall(r"\b(\w+)=", code)
    assert len(names) > 20 and len(given) > 10
    options = {"capture_output": True, "text": True, "env": os.environ | {"KERAS_BACKEND": "numpy"}}
    options |= {"timeout": 300}
    done = subprocess.run([sys.executable, "-c", KERAS, json.dumps([names, given])], **options)
    assert json.loads(done.stdout.splitlines()[-1]) == [[], []], done.stderr


def test_the_table_for_who_comes_from_pytorch_names_what_there_is_there():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    code = " ".join(re.findall(r"`([^`]+)`", " ".join(row[0] for row in table("PyTorch"))))
    places = [torch, torch.nn, torch.nn.utils, torch.nn.Module, torch.optim, torch.optim.swa_utils]
    places += [torch.optim.lr_scheduler, torch.utils.data, torch.autograd, torch.amp, torch.onnx]
    called = set(re.findall(r"\b(?:\w+\.)*(\w+)\(", code)) - {"block", "module", "range"}
    places += [torch.nn.Linear, copy]
    found = {
        name: getattr(p, name) for p in reversed(places) for name in called if hasattr(p, name)
    }
    assert called == found.keys()
    given = set(re.findall(r"\b(\w+)=", code))
    assert len(called) > 30 and len(given) > 15
    assert given <= {name for function in found.values() for name in names_of(function)}


def names_of(function):
    """Return the names of a function's parameters; of what has no signature none."""
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):  # a module, or written in C
        return {}
