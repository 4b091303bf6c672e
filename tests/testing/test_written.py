"""The right backward pass that a report prints: it runs as it stands, and is right."""

import numpy as np
from each import each
from planted import CASES, verdict
from planted.net import STYLES, Net

from xpmlp.testing import check_gradients
from xpmlp.testing.gradients import corrections

WRONG = [case for case in CASES if case.truth and not case.odd]


def executed(text):
    """The function that a printed text defines."""
    space = {"np": np}
    exec(text, space)
    return space[text.partition("def ")[2].partition("(")[0]]


def marked(text):
    """What is assigned in the marked lines."""
    return [line.split()[0] for line in text.splitlines() if "# <- yours differs" in line]


@each("case", WRONG, parts=5)
def test_what_is_printed_runs_in_the_place_of_the_users_backward_and_is_right(case):
    _, report = verdict(case)
    if not report.backward:  # there is nothing to compare, or all gradients are right
        assert case.kinds & {"raised", "state", "mutates"}
        return
    forward, _ = case.functions()
    right = check_gradients(forward, executed(report.backward), *case.arguments())
    assert right.ok, f"{report.backward}\n{right}"
    assert marked(report.backward) or "mutates" in case.kinds


def printed(net, edits):
    """The right backward pass that the report of a network with changed lines prints."""
    return verdict(net.case("changed", edits))[1].backward


def test_derivatives_are_spelt_in_the_users_names_and_wrong_lines_marked():
    text = printed(Net("3-4-1", "tanh sigmoid", "bce"), ["dz1 = da1 * d_tanh(a1)"])
    assert "dz1 = (dz2 @ W2.T) * (1 - a1**2)  # <- yours differs" in text
    assert "dz2 = (a2 - y) / n\n" in text and marked(text) == ["dz1"]
    text = printed(Net("3-4-2", "sigmoid linear", "mse"), ["dW1 = X.T @ dz1 * 2", "dz2: 2 *  -> "])
    assert "(dz2 @ W2.T) * a1 * (1 - a1)" in text and marked(text) == ["dz2", "dW1"]


def test_the_mean_stands_where_the_user_has_it():
    early, late = Net("3-4-1", "tanh linear", "half_mean"), STYLES["columns, flat bias"]
    assert "dz2 = (A2 - y) / n" in printed(early, ["dW1 = dz1.T @ X", "dz2 = a2 - y"])
    text = printed(Net("3-4-1", "tanh linear", "half_mean", **late), ["dW2 = dz2 @ a1.T"])
    assert "dZ2 = A2 - y" in text and "dW2 = dZ2 @ a1.T / n  # <- yours differs" in text
    assert "db1 = np.sum(dz1, axis=1) / n\n" in text


def test_a_penalty_has_its_share():
    net = Net("3-4-1", "tanh sigmoid", "bce", l2="half_n", **STYLES["columns"])
    text = printed(net, ["dW2 = dz2 @ a1.T"])
    assert "dW1 = dz1 @ X.T + 0.3 / n * W1\n" in text and marked(text) == ["dW2"]


def test_a_softmax_under_a_squared_error_is_sent_back_by_its_whole_matrix():
    text = printed(Net("3-4-3", "tanh softmax", "mse"), ["dz1 = da1 * 3"])
    assert "dz2 = a2 * (da2 - np.sum(da2 * a2, axis=1, keepdims=True))" in text


def lines(net, edits):
    """The wrong and right lines that the report of a network with changed lines prints."""
    return [line for m in verdict(net.case("changed", edits))[1].mistakes for line in m.lines]


def test_the_wrong_line_is_printed_with_the_right_one_in_the_users_names():
    (line,) = lines(Net("3-4-1", "tanh sigmoid", "bce"), ["da1: W2.T -> np.abs(W2.T)"])
    assert line.line.endswith(": da1 = dz2 @ np.abs(W2.T)")
    assert line.should_be == "da1 = dz2 @ W2.T" and line.right == ("dW1", "db1")


def test_several_wrong_lines_are_mended_one_after_the_other():
    edits = ["dz2: (a2 - y) -> abs(a2 - y)", "dW1: X.T -> 2 * X.T", "db1 = dz1.sum(axis=1)"]
    found = lines(Net("3-4-1", "tanh sigmoid", "bce"), edits)
    expected = ["dz2 = (a2 - y) / n", "dW1 = X.T @ dz1", "db1 = np.sum(dz1, axis=0)"]
    assert sorted(line.should_be for line in found) == sorted(expected)


def test_weights_that_are_updated_too_early_are_taken_from_where_they_are_not_yet():
    edits = ["after dW2: W2 = W2 - 0.1 * dW2"]
    (line,) = lines(Net("3-4-1", "tanh sigmoid", "bce"), edits)
    assert line.should_be == 'da1 = dz2 @ params["W2"].T'


def test_code_that_cannot_be_traced_is_diagnosed_all_the_same(monkeypatch):
    def refused(network):
        raise RuntimeError("no tracing here")

    monkeypatch.setattr(corrections, "recorded", refused)
    _, report = verdict(Net("3-4-1", "tanh sigmoid", "bce").case("changed", ["dz1 = da1"]))
    assert [mistake.kind for mistake in report.mistakes] == ["derivative_missing"]
    assert "could not be made out" in str(report)


def test_nothing_is_printed_where_nothing_is_wrong():
    assert printed(Net("3-4-1", "tanh sigmoid", "bce"), []) == ""
