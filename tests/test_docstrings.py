"""Docstrings keep the rules of a reference page, and words that a stranger knows."""

import ast
import inspect
import io
import re
import textwrap
import tokenize
from dataclasses import is_dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path

import click
import pytest
from each import each

import xpmlp
from xpmlp.cli import cli
from xpmlp.inspection import Explanation, TrainingPlan
from xpmlp.nn.activations import ACTIVATIONS, get_activation
from xpmlp.nn.initializers import INITIALIZERS, get_initializer
from xpmlp.nn.losses import LOSSES, class_weighted, focal, huber, quantile
from xpmlp.tables.common import Dataset
from xpmlp.tables.datasets import load_dataset
from xpmlp.tables.frame import Frame
from xpmlp.tables.open_table import OpenTable, open_table
from xpmlp.testing.gradients.report import GradientReport, Mistake
from xpmlp.testing.parity import Report
from xpmlp.training import LearningRates, Trained

FILES = sorted(Path(xpmlp.__file__).parent.rglob("*.py"))
PACKAGES = "xpmlp nn optim callbacks plotting model testing".split()
RETURNED = [Dataset, Explanation, Frame, GradientReport, LearningRates, Mistake, OpenTable, Report]
RETURNED += [Trained, TrainingPlan]
FUNCTIONS = [get_activation, get_initializer, huber, quantile, focal, class_weighted]
FUNCTIONS += [load_dataset, open_table]
SECTIONS = "Parameters Attributes Returns Raises References Examples".split()
AS_IN_FIT = {"X", "y", "sample_weight", "z"}  # what a method need not say again; z: logits
STARRED = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
VERBS = set(
    """
    Add Bound Check Compute Count Cut Decide Draw Export Fit Lay Load Make Measure Move Open Predict
    Print Raise Read Refuse Return Run Scale Show Tell Test Train Update Write Yield
    """.split()
)


def members(name):
    """The public functions and classes of a module."""
    module = import_module("xpmlp" if name == "xpmlp" else f"xpmlp.{name}")
    names = getattr(module, "__all__", [name for name in vars(module) if not name.startswith("_")])
    values = (getattr(module, name) for name in names)
    values = [value for value in values if inspect.isclass(value) or inspect.isfunction(value)]
    return [v for v in values if hasattr(module, "__all__") or v.__module__ == module.__name__]


def public():
    """Every public function and class once, by its full name."""
    found = sum(map(members, PACKAGES), [*FUNCTIONS, *RETURNED])
    return {f"{value.__module__}.{value.__qualname__}": value for value in found}


PUBLIC = public()
CLASSES = [name for name, value in PUBLIC.items() if inspect.isclass(value)]
# Made by the package alone, or with a package that may not be there.
NO_EXAMPLE = """
Ctx Dataset GradientReport Group Inputs Kernels LearningRates Mistake ClassTargets LabelTargets
NumberTargets OpenTable Report TensorBoard Trained
""".split()


def own(value):
    """Tell whether a method or property is written in this package."""
    value = getattr(value, "fget", None) or getattr(value, "func", None) or value
    return getattr(inspect.unwrap(value), "__module__", "").startswith("xpmlp")


def methods(kind):
    """The public methods and properties of a class that this package defines, by name."""
    for name in dir(kind):
        value = inspect.getattr_static(kind, name)
        value = getattr(value, "__func__", value)
        described = inspect.isfunction(value) or isinstance(value, property | cached_property)
        if described and not name.startswith("_") and own(value):
            yield name, value


def sections(text):
    """The sections of a docstring: their titles and lines; the first is the summary's."""
    lines, found, title = text.splitlines(), {"": []}, ""
    for line, below in zip(lines, [*lines[1:], ""]):
        if re.fullmatch("-+", below) and len(below) == len(line):
            title = line
            assert title not in found, f"{title} twice"
            found[title] = []
        elif not (title and re.fullmatch("-+", line)):
            found[title].append(line)
    return found


def documented(parts, title):
    """The names of a section's entries, each with its type."""
    for line in parts.get(title, ()):
        if line[:1].strip() and not line.startswith(">>>"):
            names, colon, kind = line.partition(" : ")
            for name in names.split(", "):
                yield name.strip("*"), kind.strip() if colon else ""


def parameters(f):
    """The names of a function's or a constructor's parameters."""
    found = [p for p in inspect.signature(f).parameters.values() if p.kind not in STARRED]
    return [p.name for p in found if p.name != "self" and not p.name.startswith("_")]


def docs():
    """Every public docstring: functions, classes, methods, properties."""
    for name, value in PUBLIC.items():
        yield name, value
        if inspect.isclass(value):
            yield from ((f"{name}.{method}", f) for method, f in methods(value))


DOCS = dict(docs())
EVERY_DOC = each("name", [*DOCS])
EVERY_PUBLIC = each("name", [*PUBLIC])


def raised(f):
    """The names of the exceptions that a function raises itself."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(f)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            yield node.exc.func.id


@EVERY_DOC
def test_a_docstring_begins_with_one_sentence_on_a_line_of_its_own(name):
    first, *more = inspect.getdoc(DOCS[name]).splitlines()
    assert first.endswith((".", '."')) and not (more and more[0])
    assert not first.startswith(("This ", "The ", "A function", "It "))


@EVERY_DOC
def test_the_summary_of_a_function_is_an_order(name):
    value = inspect.unwrap(DOCS[name])
    if inspect.isfunction(value):
        verb = re.match(r"\w*", inspect.getdoc(value)).group()
        assert verb in VERBS, verb


@EVERY_DOC
def test_sections_have_the_names_and_the_order_of_numpydoc(name):
    titles = [*sections(inspect.getdoc(DOCS[name]))][1:]
    assert titles == [title for title in SECTIONS if title in titles]
    rules = [line for line in inspect.getdoc(DOCS[name]).splitlines() if re.fullmatch("-+", line)]
    assert len(rules) == len(titles), "an underline is not as long as its title"


@EVERY_PUBLIC
def test_every_parameter_has_a_type_and_is_one(name):
    value = PUBLIC[name]
    parts = sections(inspect.getdoc(value))
    told = dict(documented(parts, "Parameters"))
    assert [p for p, kind in told.items() if not kind] == []
    every = {*told, *dict(documented(parts, "Attributes"))}
    if value is xpmlp.MLPRegressor:  # which refers to it for what they share
        every |= {*parameters(xpmlp.MLPClassifier)}
    takes = parameters(value)
    assert [p for p in takes if p not in every] == []
    starred = len(takes) < len(inspect.signature(value).parameters)
    assert starred or [p for p in told if p not in takes] == []


@each("name", CLASSES)
def test_a_method_tells_of_its_parameters_in_its_class_or_in_the_base_class(name):
    kind = PUBLIC[name]
    for method, f in methods(kind):
        if inspect.isfunction(f):
            bases = [base for base in kind.__mro__ if base.__module__.startswith("xpmlp")]
            texts = [base.__doc__ for base in bases]
            texts += [getattr(base, method).__doc__ for base in bases if hasattr(base, method)]
            text = " ".join(filter(None, texts))
            missing = [p for p in parameters(f) if not re.search(rf"\b{p}\b", text)]
            assert {*missing} <= AS_IN_FIT, f"{method}: {missing}"


@EVERY_PUBLIC
def test_an_error_that_a_function_raises_is_documented(name):
    value = PUBLIC[name]
    parts = sections(inspect.getdoc(value))
    text = " ".join(parts.get("Raises", ()))
    makers = [value]
    if inspect.isclass(value):
        names = ("__post_init__",) if is_dataclass(value) else ("__init__",)
        makers = [vars(value)[name] for name in names if name in vars(value)]
    for maker in makers:
        assert [error for error in raised(maker) if error not in text] == []


@EVERY_PUBLIC
def test_a_function_says_what_it_returns(name):
    value = inspect.unwrap(PUBLIC[name])
    if inspect.isfunction(value):
        tree = ast.parse(textwrap.dedent(inspect.getsource(value)))
        returns = any(isinstance(n, ast.Return) and n.value for n in ast.walk(tree))
        text = inspect.getdoc(value)
        assert not returns or "Returns" in sections(text) or text.startswith("Return ")


@EVERY_PUBLIC
def test_functions_and_classes_have_an_example_unless_a_formula_says_it(name):
    value = PUBLIC[name]
    text = inspect.getdoc(value)
    formula = re.search("[=^]|exp", " ".join(text.split("\n\n")[:2]))
    assert ">>>" in text or formula or value.__name__ in NO_EXAMPLE


@pytest.mark.parametrize("registry, module", [
    (ACTIVATIONS, "activations"), (INITIALIZERS, "initializers"), (LOSSES, "losses")
])  # fmt: skip
def test_a_files_table_has_the_formula_of_each_row_of_its_registry(registry, module):
    text = import_module(f"xpmlp.nn.{module}").__doc__
    assert [name for name in registry if not re.search(rf"^{name} +\S", text, re.M)] == []


# Words of this house that a stranger does not know; what to say instead.
JARGON = {
    r"holes?": "missing values",
    r"stretch(es)?": "chunk",
    r"anew": "again",
    r"of ours": "built-in",
    r"values drawn in": "clipped",
    r"(a|an|the|no|this|one|best|NVIDIA|CUDA) cards?": "GPU",
    r"teams? of threads": "threads",
    r"(say|say it|refuse|refused) in (a sentence|words)": "the error, or what is returned",
    r"goes? along|at hand|in secret|whoever": "the plain word",
}


WORDS = re.compile("|".join(rf"\b(?:{word})\b" for word in JARGON))


def said(text):
    """The docstrings, comments and other texts of a file, with their lines."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.COMMENT, tokenize.STRING):
            yield token.start[0], " ".join(token.string.split())


@each("path", FILES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_texts_use_the_fields_words_and_none_of_this_house(path):
    text = path.read_text(encoding="utf-8")
    if WORDS.search(" ".join(text.split())):  # else its tokens need not be told apart
        found = [(line, hit.group()) for line, part in said(text) for hit in WORDS.finditer(part)]
        assert found == [], JARGON


def sentences(text):
    """The sentences of a docstring's prose: examples and the names of entries left out."""
    prose = re.sub(r"\nExamples\n-+\n.*", "", text, flags=re.S)
    for paragraph in re.split(r"\n\s*\n|\n[\w*, ]+ : .*\n|\n *[-=]+\n", prose):
        yield from re.split(r"(?<=[.;:!?])\s", " ".join(paragraph.split()))


@EVERY_DOC
def test_no_sentence_of_a_docstring_is_longer_than_40_words(name):
    long = [text for text in sentences(inspect.getdoc(DOCS[name])) if len(text.split()) > 40]
    assert long == []


def test_every_option_of_the_command_line_says_what_it_is():
    for name, command in cli.commands.items():
        for option in command.params:
            if isinstance(option, click.Option):
                words = re.findall(r"[A-Za-z]{2,}", option.help or "")
                assert len(words) >= 2, f"{name} {option.opts}"
