"""The docstrings of the estimators tell each argument: its default, its source and the reason."""

import inspect
import re

import pytest

from xpmlp import MLPClassifier, MLPRegressor

ENTRY = r"^(\w+) : (.*), default=(.*)\n((?:    .*\n)+)"


def told(kind):
    """Return what a docstring says of each argument: name -> (default, description)."""
    section = inspect.getdoc(kind).partition("Parameters\n----------\n")[2].partition("\n\n")[0]
    entries = re.findall(ENTRY, section + "\n", flags=re.M)
    assert len(entries) == len(re.findall(r"^\S", section, flags=re.M))
    return {name: (eval(default), " ".join(text.split())) for name, _, default, text in entries}


def defaults(kind):
    parameters = inspect.signature(kind).parameters.values()
    return {parameter.name: parameter.default for parameter in parameters}


def test_the_classifiers_arguments_stand_in_the_order_of_its_signature():
    assert list(told(MLPClassifier)) == list(defaults(MLPClassifier))


def test_the_regressor_tells_those_that_are_its_own_or_differ():
    own, of_classifier = defaults(MLPRegressor), defaults(MLPClassifier)
    differ = {name for name in own if own[name] != of_classifier.get(name, ...)}
    assert differ <= told(MLPRegressor).keys() <= own.keys()


@pytest.mark.parametrize("kind", (MLPClassifier, MLPRegressor))
def test_each_argument_is_told_with_its_default_its_source_and_the_reason(kind):
    for name, (default, text) in told(kind).items():
        assert default == defaults(kind)[name], name
        assert re.fullmatch(r"\S.*\. Source: \S.*\. Why: \S.*\.", text), name
