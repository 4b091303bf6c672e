"""Weights that are updated after each sample: told with the rate, beside other mistakes."""

import numpy as np
import pytest

from xpmlp.testing import check_gradients

rng = np.random.default_rng(5)
X, Y = rng.normal(size=(9, 3)), rng.normal(size=(9, 2))
P = {"W1": rng.normal(size=(4, 3)), "W2": rng.normal(size=(2, 4))}


def forward(p, X, Y):
    return 0.5 * np.sum((np.tanh(X @ p["W1"].T) @ p["W2"].T - Y) ** 2)


def trained(rate, early=False, slope=True):
    """A backward that trains on one sample after the other; (old - new) / rate."""

    def backward(p, X, Y):
        W1, W2 = p["W1"].copy(), p["W2"].copy()
        for x, y in zip(X, Y):
            h = np.tanh(W1 @ x)
            d2 = W2 @ h - y
            back = W2.T @ d2
            W2 -= rate * np.outer(d2, h)
            if early:
                back = W2.T @ d2
            W1 -= rate * np.outer(back * (1 - h**2 if slope else 1), x)
        return {"W1": (p["W1"] - W1) / rate, "W2": (p["W2"] - W2) / rate}

    return backward


@pytest.mark.parametrize("rate", [0.05, 0.001])
@pytest.mark.parametrize(
    ("options", "more"),
    [
        ({}, []),
        ({"early": True}, [("updated_weights", 1)]),
        ({"slope": False}, [("derivative_missing", 1)]),
    ],
)
def test_an_update_after_each_sample_is_told_beside_what_else_is_wrong(rate, options, more):
    report = check_gradients(forward, trained(rate, **options), P, X, Y)
    assert [m[:2] for m in report.mistakes] == [("updated_weights", None), *more]
    assert f"(rate {rate:g})" in report.mistakes[0].text
