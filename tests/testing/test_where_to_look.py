"""What the table of right and wrong gradients says by itself, and what one array shows."""

import re

import numpy as np
import pytest
from small_gradients import kinds

from xpmlp.testing import check_gradients
from xpmlp.testing.gradients import functions
from xpmlp.testing.gradients.verdicts import name_ratio
from xpmlp.testing.gradients.where import where_to_look

THREE = ["W1", "b1", "W2", "b2", "W3", "b3"]
LISTED = [np.ones((3, 4)), np.ones(4), np.ones((4, 1)), np.ones(1)]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("W1 b1", "dW2 and db2 are right, so dZ2 is: look at dZ1"),
        ("W1", "db1 is right, so dZ1 should be: look at the line of dW1"),
        ("b3", "dW3 is right, so dZ3 should be: look at the line of db3"),
        ("W1 b1 W2 b2", "so dZ3 is: look at dZ2.*sent back to dW2 and db2, from which"),
        ("W3 b3", "dW2 and db2 are right, so dZ3 is: look at the line of dW3 and db3"),
        ("W1 b1 W2 b2 W3 b3", "no gradient is right: begin at dZ3, the error at the output"),
        ("W1 b1 b3", "line of db3; dW2 and db2 are right, so dZ2 is: look at dZ1"),
        ("", "^$"),
    ],
)
def test_right_gradients_say_which_errors_are_right(wrong, says):
    found = where_to_look(THREE, [0.0] * 6, wrong.split())
    assert re.search(says, found), found


def test_layers_are_known_by_the_order_of_a_list_and_not_where_more_than_two_belong_to_one():
    listed = [f"params[{i}]" for i in range(4)]
    assert "look at dZ1" in where_to_look(listed, LISTED, listed[:2])
    split = [LISTED[0], LISTED[2], LISTED[1], LISTED[3]]
    assert "look at dZ1" in where_to_look(listed, split, [listed[0], listed[2]])
    assert where_to_look(["W1", "gamma1", "beta1"], LISTED, ["W1"]) == ""
    assert where_to_look(["Wx", "Wh", "b"], LISTED, ["Wx"]) == ""


@pytest.mark.parametrize(
    ("ratio", "kind", "says"),
    [
        (4.0, "factor", "4 times too large: np.mean divides by the 4 outputs too"),
        (8.0, "missing_mean", "8 times too large: the 1/n"),
        (32.0, "missing_mean", "8 \\* 4 times too large"),
        (1 / 32, "extra_mean", "8 \\* 4 times too small"),
        (-2.0, "sign", "opposite sign"),
        (3.0, "factor", "is 3 times the true one"),
    ],
)
def test_a_ratio_is_said_by_what_has_that_size(ratio, kind, says):
    found = name_ratio(ratio, 8, outputs=4)
    assert found[0][0] == kind and re.search(says, found[0][1])


def powers(p, X, y):
    h = np.sum(np.abs(X)[:, :, None] ** p["W1"], axis=1) + p["b1"]
    return np.mean((h @ p["W2"] - y) ** 2) + 0.05 * np.sum(p["W2"] ** 2)


def powers_backward(p, X, y):
    x = np.abs(X)[:, :, None]
    h = np.sum(x ** p["W1"], axis=1) + p["b1"]
    d2 = 2 * (h @ p["W2"] - y) / y.size
    d1 = d2 @ p["W2"].T
    dW1 = np.sum(x ** p["W1"] * np.log(x) * d1[:, None], axis=0)
    return {"W1": dW1, "b1": d1.sum(0), "W2": h.T @ d2 + 0.1 * p["W2"]}


rng = np.random.default_rng(0)
ARGUMENTS = (
    {"W1": rng.normal(size=(3, 4)), "b1": rng.normal(size=4), "W2": rng.normal(size=(4, 2))},
    rng.normal(size=(7, 3)),
    rng.normal(size=(7, 2)),
)


@pytest.fixture
def unrecognised(monkeypatch):
    """No network is recognised."""
    monkeypatch.setattr(functions, "recognise", lambda *given, **options: None)


def changed(**edits):
    def backward(p, X, y):
        g = powers_backward(p, X, y)
        return g | {name: edit(g[name], p) for name, edit in edits.items()}

    return check_gradients(powers, backward, *ARGUMENTS)


@pytest.mark.usefixtures("unrecognised")
def test_where_to_look_is_said_of_networks_that_are_not_recognised():
    report = changed(W1=lambda g, p: g * p["W1"])
    assert "Where to look: db1 is right, so dZ1 should be" in str(report)


@pytest.mark.usefixtures("unrecognised")
def test_what_all_gradients_have_in_common_is_one_sentence():
    report = changed(**{name: lambda g, p: 0.5 * g for name in ("W1", "b1", "W2")})
    (mistake,) = report.mistakes
    assert mistake.text.startswith("dW1, db1, dW2: each is half the true one")


@pytest.mark.usefixtures("unrecognised")
def test_a_penalty_that_is_missing_is_not_told_as_one_too_much():
    missing = changed(W2=lambda g, p: g - 0.1 * p["W2"])
    assert kinds(missing) == ["regularisation_missing"]
    assert "lacks 0.1 * W2, a share of the penalty's" in str(missing)
    twice = changed(W2=lambda g, p: g + 0.1 * p["W2"])
    assert "holds 0.1 * W2 too much" in str(twice)
