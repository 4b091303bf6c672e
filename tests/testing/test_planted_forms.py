"""The gradient checker on whole scripts as people post them, right and wrong, by their form."""

import numpy as np
import pytest
from each import each
from planted import FORMS, UNSEEN, finite_differences, leaves
from planted.form import changed
from planted.rates import Rates, rates_of

# What is not reached yet, of a form: what it has at the least. All others have everything.
LEAST: dict[str, dict[str, int]] = {
    "forward returns predictions, params one by one, gradients as a tuple": {"passed": 0, "flagged": 0, "named": 0},
    "gradients with keys such as dJdW1, a cost apart": {"passed": 0, "flagged": 0, "named": 0},
    "gradients as ([dW], [db]), weights and biases in two lists": {"named": 3},
    "updates written into params, nothing returned": {"passed": 0, "flagged": 0, "named": 0},
    "a dict for each layer in an object array, None and a rate beside the arrays": {"passed": 0, "flagged": 0, "named": 0},
    "scores, a softmax over integer labels, a penalty with reg": {"passed": 0, "flagged": 0, "named": 0},
    "loops over samples and units, no matrix products": {"named": 1},
    "a list of pairs (W, b), a loop backwards": {"named": 4},
    "a dropout mask that is seeded, inverted": {"named": 1},
    "batch normalization between the layers": {"named": 2},
    "layer normalization of the hidden units": {"named": 0},
    "a softmax in the hidden layer, a linear layer behind": {"named": 1},
    "a shortcut around a layer": {"named": 0},
    "own activation: swish": {"named": 4},
    "own activation: elu": {"named": 4},
    "own activation: softsign": {"named": 3},
    "own activation: sine": {"named": 2},
    "own loss: huber": {"named": 1},
    "own loss: a weighted cross-entropy": {"named": 2},
    "own loss: log-cosh, weights of several widths": {"named": 0},
    "cross-entropy of logits, log-sum-exp and one-hot": {"named": 2},
    "a class that stores self.dW1, and updates in another method": {"passed": 0, "flagged": 0, "named": 0},
    "layers as objects whose backward updates them": {"passed": 0, "flagged": 0, "named": 0},
    "a class with lists, column vectors, nablas and a list of pairs": {"passed": 0, "flagged": 0, "named": 0},
    "a class that updates itself sample by sample": {"passed": 0, "flagged": 0, "named": 0},
    "a class with forward, backward(X, y, o) and train": {"passed": 0, "flagged": 0, "named": 0},
    "1-D weights of one output unit": {"named": 2},
    "bias in the first column of Theta": {"named": 0},
    "one unrolled vector": {"named": 0},
    "one function of one vector returns cost and gradient": {"passed": 0, "flagged": 0, "named": 0},
    "numbers and a loop over samples": {"named": 1},
    "one sample as a vector, np.outer": {"named": 1},
    "fixed biases outside params, shared by the units of a layer": {"named": 2},
    "one bias shared by two layers": {"named": 1},
}
EVERY_FORM = each("form", FORMS + UNSEEN, parts=3)


def as_arrays(tree):
    """Numbers in dicts, lists and tuples as arrays that can be written into."""
    if isinstance(tree, dict):
        return {name: as_arrays(part) for name, part in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(map(as_arrays, tree))
    return np.array(tree)


def agrees(script):
    """Whether the gradient that the script makes is the one of the finite differences."""
    space = script.run(script.by_hand)
    params, X, y = (as_arrays(space[name]) for name in ("params", "X", "y"))
    expected = finite_differences(space["forward"], params, np.array(X), np.array(y))
    grads = leaves(space["backward"](params, np.array(X), np.array(y)))
    return all(
        np.shape(g) == e.shape and np.allclose(g, e, rtol=1e-5, atol=1e-5 * np.abs(e).max())
        for e, g in zip(expected, grads)
    )


@EVERY_FORM
def test_scripts_are_right_and_wrong_where_they_say_so(form):
    for script in form.scripts:
        assert agrees(script) == (not script.truth), script.name


def test_no_two_scripts_are_called_alike():
    names = [script.name for form in FORMS + UNSEEN for script in form.scripts]
    assert len(set(names)) == len(names)


def test_an_edit_that_fits_no_line_or_two_is_refused():
    assert changed("a = 1\nif a:\n    b = a + 2", "a + 2 -> 3\nc = 4") == (
        "a = 1\nif a:\n    b = 3\n    c = 4", "b = 3",
    )  # fmt: skip
    with pytest.raises(AssertionError, match="is 2 times in"):
        changed("a = 1\nb = a", "a -> c")
    with pytest.raises(AssertionError, match="is 0 times in"):
        changed("a = 1", "d -> c")


@EVERY_FORM
def test_the_checker_knows_the_form_as_well_as_before(form):
    rates = sum((rates_of(s, s.outcome()) for s in form.scripts), Rates())
    whole = {"passed": rates.right, "flagged": rates.wrong, "named": rates.wrong, "false": 0}
    least = whole | LEAST.get(form.name, {})
    got = {name: getattr(rates, name) for name in whole}
    assert got["false"] <= least["false"]
    assert all(got[name] >= least[name] for name in ("passed", "flagged", "named")), got
