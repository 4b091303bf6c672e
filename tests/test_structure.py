"""The folders and their floors: an import goes down, never up and never round in a circle."""

import ast
import json
import re
import subprocess
import sys
from collections import namedtuple
from functools import cache
from pathlib import Path

import pytest
from each import each

import xpmlp

ROOT = Path(xpmlp.__file__).parent
FLOORS = {
    "arrays": 0,
    "transfers": 0,
    "placing": 0,
    "thresholds": 0,
    "randomness": 0,
    "errors": 0,
    "atomic": 0,
    "container": 0,
    "host_memory": 0,
    "leftovers": 0,
    "signals": 0,
    "stable_text": 0,
    "locks": 0,
    "words": 0,
    "logs": 0,
    "figure": 0,
    "history": 0,
    "outcomes": 0,
    "page": 0,
    "plain": 0,
    "protocols": 0,
    "nn": 1,
    "optim": 1,
    "engines": 2,
    "tables": 2,
    "distributed": 2,
    "training": 3,
    "model": 4,
    "inspection": 5,
    "estimators": 6,
    "testing": 6.5,  # may import floors 0-6; nothing of ours imports it but the cli
    "cli": 7,
    "__main__": 8,
}
SIDE = {"callbacks", "plotting"}  # imports floor 0 alone
LIBRARIES = {"cupy", "cupyx", "torch", "jax", "array_api_strict"}
FILES = sorted(ROOT.rglob("*.py"))
EVERY_FILE = each("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))


def module_of(path):
    """xpmlp/nn/layers.py -> xpmlp.nn.layers; a package's __init__ is the package."""
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in FILES}


@cache
def tree_of(path):
    return ast.parse(path.read_text())


@cache
def imports(path):
    """The full names of what every import statement of a file imports, lazy ones included."""
    return frozenset(_imports(path))


def _imports(path):
    package = module_of(path) if path.name == "__init__.py" else module_of(path).rpartition(".")[0]
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*(base if node.level else []), *filter(None, [node.module])])
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                yield whole if whole in MODULES else base


def own_imports(path):
    """What a file imports of ours."""
    return {name for name in imports(path) if name.partition(".")[0] == "xpmlp"}


def unit(module):
    """The folder or file of the table that a module belongs to; "" is xpmlp/__init__.py."""
    return (module.split(".") + [""])[1]


def trees_of(*units):
    return [path for name, path in MODULES.items() if unit(name) in units]


def complaints(path):
    """The imports of a file that do not go down."""
    here = unit(module_of(path))
    for name in own_imports(path):
        there = unit(name)
        if there in ("", here):  # the version; circles inside a folder are another test's
            continue
        if here in SIDE:
            if FLOORS.get(there) != 0:
                yield f"{here} imports {name}"
        elif there not in SIDE and FLOORS[there] >= FLOORS[here] > 0:
            yield f"{here} (floor {FLOORS[here]}) imports {name} (floor {FLOORS[there]})"
        elif FLOORS[here] == 0 and FLOORS.get(there) != 0:
            yield f"{here} imports {name}"
        elif there == "testing" and here != "cli":
            yield f"{here} imports {name}"


@EVERY_FILE
def test_a_file_has_a_floor_and_imports_only_floors_below(path):
    assert unit(module_of(path)) in {"", *FLOORS, *SIDE}, "say its floor in design and FLOORS"
    assert list(complaints(path)) == []


def test_no_import_goes_round_in_a_circle():
    graph = {name: own_imports(path) - {name, "xpmlp"} for name, path in MODULES.items()}
    # Importing a module runs its package's __init__ too, but a package may gather its own modules.
    open_, done = [], set()

    def visit(name):
        assert name not in open_, " -> ".join([*open_[open_.index(name) :], name])
        if name in done:
            return
        open_.append(name)
        for other in sorted(graph.get(name, ())):
            visit(other)
        done.add(open_.pop())

    for name in graph:
        visit(name)


def test_folders_have_no_circle_among_them():
    below = {}
    for name, path in MODULES.items():
        below.setdefault(unit(name), set()).update(map(unit, own_imports(path)))
    order = []
    left = {name: others - {name, ""} for name, others in below.items()}
    while left:
        free = [name for name, others in left.items() if others <= set(order)]
        assert free, f"a circle among {sorted(left)}"
        order += free
        left = {name: others for name, others in left.items() if name not in free}


def test_this_file_sees_an_import_that_goes_up(tmp_path, monkeypatch):
    bad = tmp_path / "xpmlp" / "nn" / "bad.py"
    bad.parent.mkdir(parents=True)
    bad.write_text(
        "def f():\n    from ..engines import Plan\n    from ..training.step import Step\n"
    )
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path / "xpmlp")
    assert sorted(own_imports(bad)) == ["xpmlp.engines", "xpmlp.training.step"]
    assert len(list(complaints(bad))) == 2


@each("name", ["nn", "optim", "engines", "training", "model"])
def test_the_mathematics_and_the_training_never_import_scikit_learn(name):
    for path in trees_of(name):
        assert "sklearn" not in {whole.partition(".")[0] for whole in imports(path)}, path


def words(path):
    """Every identifier and every string of a file but its docstrings, as words."""
    tree = tree_of(path)
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        for field in ("id", "attr", "name", "arg", "module"):
            text = getattr(node, field, None)
            if isinstance(text, str):
                yield from re.split(r"[^a-z]+", text.lower().replace("array_api_strict", "strict"))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield from re.split(r"[^a-z_]+", node.value.lower())


@each("name", ["nn", "optim", "training", "inspection"])
def test_the_mathematics_and_the_training_name_no_array_library(name):
    for path in trees_of(name):
        assert not set(words(path)) & {*LIBRARIES, "strict"}, path


def private(name):
    return re.fullmatch(r"_[^_].*", name or "") is not None


def defined_in(tree):
    """The private names that a file defines: functions, classes, variables, attributes of self."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            if isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"):
                yield node.attr


def borrowed(tree):
    """The private names that a file takes from others: imported, or of an object's attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Attribute):
            yield node.attr


NAMED_TUPLES = set(vars(namedtuple("Any", ())))  # _replace, _make, _fields


def test_no_file_uses_a_private_name_of_another():
    trees = {path: ast.parse(path.read_text()) for path in FILES}
    own = {path: set(filter(private, defined_in(tree))) for path, tree in trees.items()}
    known = set().union(*own.values()) - NAMED_TUPLES
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for path, tree in trees.items()
        for name in filter(private, borrowed(tree))
        if name in known - own[path]
    }
    assert found == set()


def test_self_is_never_annotated():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            assert not (isinstance(node, ast.arg) and node.arg == "self" and node.annotation), path


@pytest.mark.parametrize("kind", [xpmlp.MLPClassifier, xpmlp.MLPRegressor])
def test_an_estimator_is_made_of_three_classes_of_ours_at_most(kind):
    ours = {c.__name__ for c in kind.__mro__ if c.__module__.startswith("xpmlp")}
    assert len(ours - {"CallbackSupportMixin"}) <= 3  # a stand-in for an older scikit-learn's


def test_only_arrays_imports_array_api_compat():
    users = {
        module_of(path)
        for path in FILES
        if "array_api_compat" in {whole.partition(".")[0] for whole in imports(path)}
    }
    assert users == {"xpmlp.arrays"}


@EVERY_FILE
def test_a_file_has_one_idea_in_it_and_so_no_more_than_420_lines(path):
    assert len(path.read_text().splitlines()) <= 420


def loaded_after(statement):
    """The modules that a fresh Python has loaded after a statement, and their top-level ones."""
    code = f"{statement}\nimport sys, json\nprint(json.dumps(sorted(sys.modules)))"
    out = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    names = json.loads(out.stdout.splitlines()[-1])
    return {*names, *(name.partition(".")[0] for name in names)}


HEAVY = {"sklearn", "scipy", "matplotlib", "pandas", "duckdb", "tqdm", "click", *LIBRARIES}


def test_importing_xpmlp_loads_nothing_heavier_than_numpy():
    assert not loaded_after("import xpmlp") & {*HEAVY, "array_api_compat"}


def test_the_mathematics_and_the_training_load_no_library_that_is_not_asked_for():
    loaded = loaded_after("from xpmlp import nn, optim, train")
    assert not loaded & HEAVY and "array_api_compat" in loaded


def test_estimators_load_scores_and_explanations_only_where_they_are_asked_for():
    loaded = loaded_after("from xpmlp import MLPClassifier")
    assert not loaded & {"sklearn.metrics", "sklearn.model_selection", "xpmlp.inspection"}


def test_the_command_line_loads_scikit_learn_only_where_it_is_asked_for():
    assert not loaded_after("import xpmlp.cli") & {"sklearn", "scipy", "duckdb"}


def test_every_public_name_is_there():
    assert len(set(xpmlp.__all__)) == len(xpmlp.__all__)
    assert set(xpmlp.__all__) <= set(dir(xpmlp))
    for name in dir(xpmlp):
        assert getattr(xpmlp, name, None) is not None or name.startswith("__"), name
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        xpmlp.no_such_name  # noqa: B018


@each("package", ["nn", "optim"])
def test_every_name_that_a_package_exports_is_there(package):
    module = getattr(__import__(f"xpmlp.{package}"), package)
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


# ---- Reads easily


def choices_in(node):
    """The conditional expressions in a tree, itself left out."""
    return [n for n in ast.walk(node) if isinstance(n, ast.IfExp) and n is not node]


@EVERY_FILE
def test_no_conditional_expression_stands_in_another_or_in_a_text(path):
    outer = [n for n in ast.walk(tree_of(path)) if isinstance(n, ast.IfExp | ast.JoinedStr)]
    assert [inner.lineno for n in outer for inner in choices_in(n)] == []


def test_conditional_expressions_and_lines_kept_from_the_formatter_are_few():
    texts = [path.read_text() for path in FILES]
    n_choices = sum(len(choices_in(tree_of(path))) for path in FILES)
    assert n_choices < 0.01 * sum(text.count("\n") for text in texts)
    assert sum(len(re.findall("# fmt: (skip|off)", text)) for text in texts) <= 30
