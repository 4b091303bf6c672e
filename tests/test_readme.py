"""What the README says holds: its Python runs, its tables name what there is."""

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
from sklearn import neural_network
from sklearn.compose import TransformedTargetRegressor

import xpmlp
from xpmlp import MLPClassifier, MLPRegressor, nn

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, flags=re.S | re.M)
RECIPES = {b.split()[1]: b for b in BLOCKS if b.startswith("# examples/")}
BOTH = (MLPClassifier, MLPRegressor)


def parameters(*functions):
    """Return the names and defaults of the parameters of functions."""
    found = (inspect.signature(f).parameters.values() for f in functions)
    return {p.name: p.default for each in found for p in each}


def table(first):
    """Return the cells of the rows of the table whose head begins with a word."""
    (found,) = re.findall(rf"^\| {first} \|.*\n\|[-|]+\n((?:\|.*\n)+)", README, flags=re.M)
    return [[cell.strip() for cell in row.strip("| ").split(" | ")] for row in found.splitlines()]


@pytest.mark.filterwarnings("ignore:.*Maximum iterations")
def test_the_readmes_python_runs_in_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    assert len(BLOCKS) >= 4
    for block in BLOCKS:
        if block in RECIPES.values():
            continue  # tests/test_examples.py runs them
        if "import torch" in block:
            pytest.importorskip("torch", reason="that block is about torch")
        exec(compile(block, "README.md", "exec"), names)
    assert "Dense 64 -> 64 gelu" in capsys.readouterr().out


def test_the_recipes_code_is_that_of_their_files_and_no_file_is_left_out():
    files = {str(f.relative_to(ROOT)): f.read_text() for f in ROOT.glob("examples/recipes/*.py")}
    assert len(files) == 11 and RECIPES.keys() == files.keys()
    for name, text in files.items():
        assert RECIPES[name] == f"# {name}\n" + text.partition('"""\n\n')[2]
        assert f"python {name}" in README  # and its output stands there


def test_pictures_are_there():
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", README)
    assert len(pictures) > 10
    assert all((ROOT / picture).stat().st_size > 10_000 for picture in pictures)


def test_the_table_of_arguments_has_each_with_its_default():
    told = [(name.strip("`"), eval(default.strip("`"))) for name, default, *_ in table("argument")]
    signatures = [list(parameters(kind).items()) for kind in BOTH]
    for own in signatures:
        assert set(own) <= set(told)
    assert set(told) <= {*signatures[0], *signatures[1]} and len(told) == len(set(told))
    assert all(source and why for _, _, source, why in table("argument"))


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


@pytest.mark.parametrize("first", ["instead of", "Keras", "what"])
def test_the_tables_for_who_switches_name_what_there_is_here(first):
    column = 2 if first == "what" else 1
    cells = " ".join(row[column] for row in table(first))
    code = " ".join(re.findall(r"`([^`]+)`", cells))
    methods = (getattr(kind, m) for kind in BOTH for m in ("fit", "partial_fit", "transform"))
    known = parameters(*BOTH, *methods, nn.losses.focal).keys()
    given = set(re.findall(r"\b(\w+) ?=(?!=)", code))
    assert given <= known
    assert len(given) > 10 or first == "what"
    clf = MLPClassifier((2,)).partial_fit([[0.0], [1.0]], [0, 1], classes=[0, 1])
    places = {"clf": clf, "nn": nn, "xpmlp": xpmlp}
    used = re.findall(r"\b(clf|nn|xpmlp)\.(\w+(?:\.\w+)*)", code)
    for place, path in used:
        attrgetter(path)(places[place])
    assert used


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
