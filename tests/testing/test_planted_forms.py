"""The gradient checker on whole scripts as people post them, right and wrong, by their form."""

import numpy as np
import pytest
from each import each
from planted import FORMS, UNSEEN, finite_differences, leaves
from planted.form import changed, pasted
from planted.rates import Rates, rates_of

# Python hides this warning, so that people write np.matrix without a thought.
pytestmark = pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
# Of a form in which not everything is reached yet: how many right scripts pass, and wrong ones are
# flagged, are named rightly, are mended by what is printed, at the least; and how many are named
# falsely, at the most.
LEAST: dict[str, tuple[int, int, int, int, int]] = {
    "gradients with keys such as dJdW1, a cost apart": (1, 3, 2, 3, 0),
    "gradients as ([dW], [db]), weights and biases in two lists": (1, 4, 3, 4, 0),
    "a dict for each layer in an object array, None and a rate beside the arrays": (1, 3, 3, 0, 0),
    "scores, a softmax over integer labels, a penalty with reg": (1, 6, 5, 0, 0),
    "loops over samples and units, no matrix products": (1, 5, 0, 0, 0),
    "a softmax of several classes": (1, 3, 3, 1, 0),
    "targets (n,) beside predictions (n, 1)": (1, 2, 2, 1, 0),
    "a forward pass that leaves something out": (1, 4, 4, 2, 0),
    "dropout with a seed in each call": (1, 3, 3, 0, 0),
    "a dropout mask that is seeded, inverted": (1, 4, 3, 0, 0),
    "batch normalization between the layers": (1, 5, 1, 0, 1),
    "layer normalization of the hidden units": (1, 4, 0, 0, 0),
    "a softmax in the hidden layer, a linear layer behind": (1, 4, 3, 4, 0),
    "a shortcut around a layer": (1, 4, 3, 0, 0),
    "own activation: swish": (1, 5, 4, 5, 0),
    "own activation: elu": (1, 5, 4, 5, 0),
    "own activation: softsign": (1, 5, 4, 5, 0),
    "own activation: sine": (1, 5, 3, 0, 0),
    "a one appended to each layer's output, weights (n_in + 1, n_out)": (1, 5, 4, 5, 0),
    "einsum and tensordot for the products": (1, 5, 4, 0, 0),
    "own loss: huber": (1, 5, 4, 0, 0),
    "own loss: a weighted cross-entropy": (1, 5, 4, 0, 1),
    "own loss: log-cosh, weights of several widths": (1, 4, 4, 0, 0),
    "cross-entropy of logits, log-sum-exp and one-hot": (1, 5, 2, 0, 0),
    "layers as objects whose backward updates them": (1, 5, 5, 0, 0),
    "a class with lists, column vectors, nablas and a list of pairs": (1, 5, 5, 0, 0),
    "a class that updates itself sample by sample": (1, 4, 4, 0, 0),
    "nn_params, a loop over samples that adds up Delta1 and Delta2": (1, 6, 0, 0, 1),
    "softmax regression by loops over samples and classes": (1, 4, 4, 0, 0),
    "own loss: a hinge with margins over a hidden layer": (1, 4, 2, 0, 0),
    "a sparse autoencoder with a KL term, columns": (1, 4, 3, 0, 0),
    "bias in the first column of Theta": (1, 6, 0, 0, 0),
    "one unrolled vector": (1, 5, 3, 0, 0),
    "one function of one vector returns cost and gradient": (1, 4, 3, 0, 0),
    "numbers and a loop over samples": (1, 5, 4, 5, 1),
    "fixed biases outside params, shared by the units of a layer": (1, 5, 5, 0, 0),
    "one bias shared by two layers": (1, 4, 4, 0, 0),
    "zero biases and zero rows in X, labels and pixels as integers": (2, 3, 3, 0, 0),
    "an L1 penalty, an absolute error, some weights that are zero": (1, 3, 0, 0, 1),
    "one sample, one unit, float32": (1, 3, 2, 3, 1),
    "large weights, sigmoids that are saturated, values of other scales": (1, 3, 3, 2, 0),
}


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


@each("form", FORMS + UNSEEN, parts=3)
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


@each("script", [s for form in UNSEEN for s in form.scripts if not s.wrong], parts=3)
def test_no_right_script_of_the_unseen_half_is_accused(script):
    assert script.outcome().word != "wrong"


@each("form", FORMS, parts=3)
def test_the_checker_knows_the_form_as_well_as_before(form):
    rates = sum((rates_of(s, s.outcome()) for s in form.scripts), Rates())
    whole = rates.right, rates.wrong, rates.wrong, rates.wrong, 0
    *least, most = LEAST.get(form.name, whole)
    assert rates.false <= most
    reached = rates.passed, rates.flagged, rates.named, rates.mended
    assert all(got >= wanted for got, wanted in zip(reached, least)), rates


def test_a_printed_line_is_pasted_where_it_stands():
    source = "def f(a):\n    b = a\n    return {'b': b,\n            'c': a * 2}\nb = a\n"
    assert pasted(source, "line 2: b = a", "b = -a") == source.replace("    b = a", "    b = -a")
    assert pasted(source, "line 3: 'c': a*2", "'c': 0") == source.replace("'c': a * 2", "'c': 0")
