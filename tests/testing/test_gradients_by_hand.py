"""`check_gradients` of functions written by hand; the mistakes in them are in test_planted.py."""

import numpy as np
import pytest
from small_gradients import P, X, Y, backward_of_two, changed, kinds, linear, rng, slope

from xpmlp.testing import check_gradients


def test_functions_run_on_other_libraries_and_in_float32(xp_eager):
    xp = xp_eager.xp

    def forward(p, X, y):
        d = X @ p[0] - y
        return xp.sum(d * d)

    def backward(p, X, y):
        return [2 * (X.T @ (X @ p[0] - y))]

    for dtype in xp_eager.floats:
        p, x, y = ([xp_eager.asarray(P["W"], dtype)], *(xp_eager.asarray(a, dtype) for a in (X, Y)))
        assert check_gradients(forward, backward, p, x, y, dtype=dtype).ok
        halved = check_gradients(
            forward, lambda p, X, y: [0.5 * backward(p, X, y)[0]], p, x, y, dtype=dtype
        )
        assert kinds(halved) == ["factor"]


def test_activations_that_the_cost_alone_would_not_tell_are_known():
    def run(p, X, y):
        a1 = X @ p["W1"]
        a2 = np.maximum(a1, 0) @ p["W2"]
        s = a2 / (1 + np.exp(-a2))  # silu after relu: no pair that is tried unseen
        return s, np.maximum(a1, 0), a2

    def forward(p, X, y):
        s, a1, a2 = run(p, X, y)
        return np.sum((s @ p["W3"] - y) ** 2), {"a1": a1, "a2": s}

    def backward(p, X, y):
        s, a1, a2 = run(p, X, y)
        d3 = 2 * (s @ p["W3"] - y)
        d2 = d3 @ p["W3"].T  # and silu'?
        d1 = d2 @ p["W2"].T * (a1 > 0)
        return {"W1": X.T @ d1, "W2": a1.T @ d2, "W3": s.T @ d3}

    p = {
        "W1": rng.normal(size=(3, 4)),
        "W2": rng.normal(size=(4, 5)),
        "W3": rng.normal(size=(5, 2)),
    }
    seen = check_gradients(forward, backward, p, X, Y)
    assert [(m.kind, m.layer) for m in seen.mistakes] == [("derivative_missing", 2)]
    blind = check_gradients(lambda *a: forward(*a)[0], backward, p, X, Y)
    assert [m.kind for m in blind.mistakes] == ["derivative_missing"]  # the record shows it too


def test_a_cost_with_a_small_number_in_its_logarithms_is_recognised():
    def forward(p, X, y):
        a = 1 / (1 + np.exp(-(X @ p["W"])))
        return -np.mean(y * np.log(a + 1e-9) + (1 - y) * np.log(1 - a + 1e-9))

    def backward(p, X, y):
        return {"W": X.T @ (y - 1 / (1 + np.exp(-X @ p["W"]))) / y.size}

    report = check_gradients(forward, backward, P, X, (Y > 0) * 1.0)
    assert kinds(report) == ["sign"] and "(logistic), binary log loss" in str(report)


def test_swapped_gradients_of_no_chain_of_layers_are_named():
    def forward(p, X):
        return np.sum((X @ p["A"]) ** 4) + np.sum((X @ p["B"] + 1) ** 4)

    def backward(p, X):
        return {"A": 4 * X.T @ (X @ p["B"] + 1) ** 3, "B": 4 * X.T @ (X @ p["A"]) ** 3}

    report = check_gradients(forward, backward, {"A": P["W"], "B": -P["W"]}, X)
    assert kinds(report) == ["swapped"]


def test_targets_may_stay_out_of_the_arguments():
    report = check_gradients(
        lambda p, X: linear(p, X, Y), lambda p, X: {"W": -slope(p, X, Y)["W"]}, P, X
    )
    assert kinds(report) == ["sign"]


def two_layers(p, X, y):
    a1 = np.maximum(X @ p["W1"] + p["b1"], 0)
    return np.mean((a1 @ p["W2"] + p["b2"] - y) ** 2)


TWO = {"W1": rng.normal(size=(3, 5)), "b1": np.zeros(5)}
TWO |= {"W2": rng.normal(size=(5, 2)), "b2": np.zeros(2)}


def test_zero_biases_on_zero_rows_and_perfect_fits_are_right():
    xor = np.asarray([[0.0, 0, 0], [0, 1, 0], [1, 0, 0], [1, 1, 0]])
    assert check_gradients(two_layers, backward_of_two, TWO, xor, Y[:4]).ok
    assert check_gradients(linear, slope, P, X, X @ P["W"]).ok


def test_a_cost_in_float32_is_checked_as_such():
    narrow = lambda p, X, y: np.float32(two_layers(p, X, y))  # noqa: E731
    report = check_gradients(narrow, backward_of_two, TWO, X, Y)
    assert report.ok and "float32 was checked" in str(report)


def test_what_rounding_does_from_call_to_call_is_no_state():
    noise = np.random.default_rng(0)
    shaken = lambda p, X, y: {  # noqa: E731
        k: g * (1 + 1e-15 * noise.normal(size=g.shape)) for k, g in backward_of_two(p, X, y).items()
    }
    assert check_gradients(two_layers, shaken, TWO, X, Y).ok


def test_gradients_added_to_arrays_that_are_returned_are_state():
    total = {k: np.zeros_like(v) for k, v in TWO.items()}

    def backward(p, X, y):
        for k, g in backward_of_two(p, X, y).items():
            total[k] += g
        return total

    assert kinds(check_gradients(two_layers, backward, TWO, X, Y)) == ["state"]


def test_one_sample_hides_no_sum_and_invents_none():
    wrong = changed(W1=lambda g, p: -g["W1"])
    report = check_gradients(two_layers, wrong, TWO, X[:1], Y[:1])
    assert [(m.kind, m.layer) for m in report.mistakes] == [("sign", 1)]


def test_numbers_are_those_of_the_users_samples():
    def forward(p, X, y):
        return two_layers(p, X, y) + 0.7 / (2 * len(X)) * np.sum(p["W2"] ** 2)

    (mistake,) = check_gradients(forward, backward_of_two, TWO, X, Y).mistakes
    assert mistake.kind == "regularisation_missing"
    assert f"{0.7 / 6:.6g} * W2" in mistake.text


def test_a_number_of_samples_that_stands_in_backward_is_no_mistake():
    def backward(p, X, y):
        g = backward_of_two(p, X, y)
        return {"W1": -g["W1"] * len(X) / 6, "b1": -g["b1"] * len(X) / 6} | {
            name: g[name] * len(X) / 6 for name in ("W2", "b2")
        }

    report = check_gradients(two_layers, backward, TWO, X, Y)
    assert [(m.kind, m.layer) for m in report.mistakes] == [("sign", 1)]


def test_a_bias_gradient_of_another_number_of_axes_is_told():
    flat = changed(b1=lambda g, p: g["b1"][:, None], W2=lambda g, p: -g["W2"])
    report = check_gradients(two_layers, flat, TWO, X, Y)
    assert ("shape", 1) in [(m.kind, m.layer) for m in report.mistakes]
    assert "b1 - rate * db1 would be (5, 5)" in str(report)
    assert ("sign", 2) in [(m.kind, m.layer) for m in report.mistakes]


@pytest.mark.parametrize(
    ("edits", "kind"),
    [
        ({k: lambda g, p, k=k: p[k] - 0.1 * g[k] for k in TWO}, "updated_weights"),
        ({"W1": lambda g, p: np.nan * g["W1"]}, "unknown"),
        ({"W1": lambda g, p: g["W1"].sum()}, "unknown"),
        ({"W1": lambda g, p: 0}, "unknown"),
        ({"W2": lambda g, p: g["W2"][..., None]}, "shape"),
        ({"W1": lambda g, p: 1.5 * g["W1"]}, "factor"),
    ],
)
def test_a_gradient_that_is_none_gets_one_sentence(edits, kind):
    assert kinds(check_gradients(two_layers, changed(**edits), TWO, X, Y)) == [kind]


def test_a_forward_that_ignores_its_parameters_is_told():
    report = check_gradients(lambda p, X, y: two_layers(TWO, X, y), backward_of_two, TWO, X, Y)
    assert "the cost changes with none of the parameters" in str(report)


def test_a_backward_that_holds_to_its_training_set_is_judged_on_it():
    wrong = changed(W1=lambda g, p: -g["W1"], b1=lambda g, p: -g["b1"])
    closed = lambda p, *_: wrong(p, X, Y)  # noqa: E731
    report = check_gradients(two_layers, closed, TWO, X, Y)
    assert [(m.kind, m.layer) for m in report.mistakes] == [("sign", 1)]


def test_an_error_averaged_too_early_is_told():
    def backward(p, X, y):
        a1 = np.tanh(X @ p["W1"])
        d2 = np.mean(2 * (a1 @ p["W2"] - y), axis=0, keepdims=True)
        d1 = d2 @ p["W2"].T * (1 - a1**2)
        return {"W1": X.T @ d1, "W2": a1.T @ np.repeat(d2, len(X), axis=0)}

    p = {k: TWO[k] for k in ("W1", "W2")}
    forward = lambda p, X, y: np.sum((np.tanh(X @ p["W1"]) @ p["W2"] - y) ** 2)  # noqa: E731
    report = check_gradients(forward, backward, p, X, Y)
    assert ("averaged", 2) in [(m.kind, m.layer) for m in report.mistakes]


def test_a_backward_that_raises_outside_any_product_is_told_with_its_line():
    def backward(p, X, y):
        return {"W": p["V"]}

    report = check_gradients(linear, backward, P, X, Y)
    assert kinds(report) == ["raised"]
    assert "KeyError" in str(report) and "test_gradients_by_hand.py" in str(report)


def test_a_gradient_that_is_a_multiple_of_the_true_one_has_the_right_direction():
    def twice(p, X, y):
        return {name: 2 * g for name, g in backward_of_two(p, X, y).items()}

    note = "The direction is right: each step is 2 times as long"
    assert note in str(check_gradients(two_layers, twice, TWO, X, Y))
    for edit in (lambda g, p: -2 * g["W1"], lambda g, p: 2 * g["W1"]):
        assert "direction" not in str(check_gradients(two_layers, changed(W1=edit), TWO, X, Y))
