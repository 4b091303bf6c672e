"""The gradient checker on a corpus of backprop written by hand, right and with planted mistakes."""

import re

import numpy as np
import pytest
from each import each
from planted import CASES, PARTS, finite_differences, leaves, tally, verdict
from planted.askers_cd import CASES as DIGITS
from planted.case import copied
from planted.net import Net

from xpmlp.testing import check_gradients

KINDS = set(
    "raised transposed missing_mean extra_mean factor sign absolute not_summed wrong_axis"
    " error_formula matmul_for_elementwise elementwise_for_matmul wrong_order"
    " derivative_missing derivative_at_activation derivative_wrong_layer derivative_formula"
    " layer_skipped wrong_weights updated_weights wrong_input other_loss averaged"
    " regularisation_missing regularisation_on_bias regularisation_factor accumulated state zero"
    " swapped mutates shared_missing".split()
)
EVERY_CASE = each("case", CASES, parts=5)
PLANTED = [case for case in CASES if case.truth or case.odd]
NOT_KNOWN: set[str] = set()  # the names of cases of which the checker says too little, never a lie


def agrees(case):
    """Whether the hand-written gradient is the one of the finite differences."""
    forward, backward = case.functions()
    expected = finite_differences(forward, *case.arguments())
    grads = leaves(backward(*case.arguments()))
    return all(
        g.shape == e.shape and np.allclose(g, e, rtol=1e-5, atol=1e-5 * np.abs(e).max())
        for e, g in zip(expected, map(np.asarray, grads))
    )


@EVERY_CASE
def test_the_corpus_is_right_and_wrong_where_it_says_so(case):
    kinds = case.kinds
    if "raised" in kinds:
        with pytest.raises(ValueError, match="align|match|broadcast"):
            case.functions()[1](*case.arguments())
    elif kinds <= {"state"} and kinds:
        forward, backward = case.functions()
        first = forward(*case.arguments()), *leaves(backward(*case.arguments()))
        second = forward(*case.arguments()), *leaves(backward(*case.arguments()))
        assert not all(np.array_equal(a, b) for a, b in zip(first, second))
    elif kinds == {"mutates"}:
        assert agrees(case)
    else:
        assert agrees(case) == (not case.truth and not case.odd)


@EVERY_CASE
def test_the_corpus_writes_into_its_arguments_only_where_it_says_so(case):
    arguments = case.arguments()
    before = copied(arguments)
    forward, backward = case.functions()
    forward(*arguments)
    try:
        backward(*arguments)
    except ValueError:
        assert "raised" in case.kinds
    same = all(np.array_equal(a, b) for a, b in zip(leaves(arguments), leaves(before)))
    assert same == ("mutates" not in case.kinds)


def test_the_corpus_is_as_wide_as_it_should_be():
    assert len({case.name for case in CASES}) == len(CASES)
    assert {kind for case in CASES for kind in case.kinds} == KINDS
    sizes = {part.__name__.rpartition(".")[2]: len(part.CASES) for part in PARTS}
    assert sizes["single"] >= 40 and sizes["several"] >= 12 and sizes["odd"] >= 10


def test_a_change_that_changes_nothing_is_refused():
    net = Net("3-4-1", "tanh sigmoid", "bce")
    with pytest.raises(AssertionError, match="changes nothing"):
        net.case("", ["dW2: z1 -> a1"])
    with pytest.raises(AssertionError, match="fits 0 lines"):
        net.case("", ["dW3 = 1"])


def test_a_wrong_name_is_judged_worse_than_none():
    case = next(
        case for case in CASES if case.truth == "missing_mean@2 & derivative_at_activation@1"
    )
    both = [("missing_mean", 2), ("derivative_at_activation", 1)]
    assert case.judge(False, both) == "right"
    assert case.judge(False, both[:1]) == case.judge(False, [("unknown", None)]) == "not known"
    assert case.judge(False, [*both, ("unknown", 1)]) == "not known"
    assert case.judge(False, [*both, ("sign", 1)]) == "wrong"
    assert case.judge(True, []) == "wrong"
    assert (
        tally([(case, "right"), (case, "wrong")]) == "named rightly: 1 of 2; not known: 0; wrong: 1"
    )


@EVERY_CASE
def test_the_checker_names_what_is_wrong(case):
    word, report = verdict(case)
    expected = "not known" if case.name in NOT_KNOWN else "right"
    assert word == expected, f"{case.truth or 'nothing'} is wrong; the report:\n{report}"
    for pattern in case.says if word == "right" else ():
        assert re.search(pattern, str(report)), f"no {pattern} in\n{report}"


def test_a_gradient_left_out_of_the_dict_is_named():
    case = next(case for case in DIGITS if case.name == "C right: rows")
    forward, backward = case.functions()

    def without_biases(params, X, y):
        return {k: g for k, g in backward(params, X, y).items() if k[0] == "w"}

    try:
        report = check_gradients(forward, without_biases, *case.arguments())
    except (ValueError, KeyError) as error:
        text = str(error)
    else:
        assert not report.ok
        text = str(report)
    assert "b_hidden" in text
