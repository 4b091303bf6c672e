"""What is told of a forward pass whose own derivative agrees, or does not."""

import numpy as np
import pytest
from small_gradients import kinds

from xpmlp.testing import check_gradients

rng = np.random.default_rng(3)
X, LABELS = rng.normal(size=(9, 4)), np.eye(3)[rng.integers(0, 3, 9)]
P = {"W": rng.normal(size=(4, 3)), "b": np.zeros(3)}


def softmax(z, axis):
    e = np.exp(z - np.max(z))
    return e / np.sum(e, axis=axis, keepdims=True)


def pair(axis):
    """Forward with a softmax over an axis, and the backward of the one that is right."""

    def forward(p, X, y):
        return -np.sum(y * np.log(softmax(X @ p["W"] + p["b"], axis))) / len(X)

    def backward(p, X, y):
        d = (softmax(X @ p["W"] + p["b"], 1) - y) / len(X)
        return {"W": X.T @ d, "b": d.sum(0)}

    return forward, backward


@pytest.mark.parametrize(("axis", "over"), [(None, "all numbers"), (0, "the samples")])
def test_a_softmax_that_does_not_sum_to_1_is_the_mistake_to_mend_first(axis, over):
    report = check_gradients(*pair(axis), P, X, LABELS)
    assert kinds(report) == ["softmax_axis"]
    assert f"the sum over {over}, use np.sum(e, axis=1" in str(report)
    assert check_gradients(*pair(1), P, X, LABELS).remarks == []


def test_a_softmax_of_columns_is_right():
    forward, backward = pair(1)
    turned = {"W": P["W"].T, "b": P["b"][:, None]}
    rows = lambda p: {"W": p["W"].T, "b": p["b"][:, 0]}  # noqa: E731

    def columns(p, X, y):
        e = np.exp(p["W"] @ X + p["b"])
        return -np.sum(y * np.log(e / e.sum(axis=0))) / X.shape[1]

    def back(p, X, y):
        g = backward(rows(p), X.T, y.T)
        return {"W": g["W"].T, "b": g["b"][:, None]}

    report = check_gradients(columns, back, turned, X.T, LABELS.T)
    assert report.ok and report.remarks == []


def squares(p, X, y):
    return np.mean((X @ p["W"] - y) ** 2)


def test_predictions_that_meet_every_target_are_told_though_the_gradients_agree():
    def backward(p, X, y):
        d = 2 * np.mean(X @ p["W"] - y, axis=1, keepdims=True) / len(X)
        return {"W": X.T @ d}

    y, p = rng.normal(size=9), {"W": P["W"][:, :1]}
    report = check_gradients(squares, backward, p, X, y)
    assert report.ok
    assert "forward makes (9, 9) of (9, 1) and (9,) by broadcasting" in str(report)
    assert "<ul><li>forward makes" in report._repr_html_()
    right = check_gradients(squares, backward, p, X, y[:, None])
    assert right.remarks == []


def test_distances_between_all_samples_are_no_broadcast_of_targets():
    kernel = lambda X: np.exp(-((X[:, :1] - X[:, 0]) ** 2))  # noqa: E731
    forward = lambda p, X, y: np.sum((kernel(X) @ p["w"] - y) ** 2)  # noqa: E731
    backward = lambda p, X, y: {"w": 2 * kernel(X).T @ (kernel(X) @ p["w"] - y)}  # noqa: E731
    report = check_gradients(forward, backward, {"w": rng.normal(size=9)}, X, X[:, 1])
    assert report.ok and report.remarks == []


def test_a_parameter_that_the_cost_does_without_is_told():
    def backward(p, X, y):
        d = 2 * (X @ p["W"] - y) / y.size
        return {"W": X.T @ d, "b": d.sum(0)}

    wrong = check_gradients(squares, backward, P, X, LABELS)
    assert kinds(wrong) == ["unused"] and "does not depend on b: forward" in str(wrong)
    zeros = lambda *a: backward(*a) | {"b": np.zeros(3)}  # noqa: E731
    agreed = check_gradients(squares, zeros, P, X, LABELS)
    assert agreed.ok and agreed.remarks == ["the cost does not depend on b: forward never uses it"]


def test_layers_without_an_activation_between_them_are_a_note():
    def forward(p, X, y):
        return np.mean((X @ p["W"] @ p["V"] - y) ** 2)

    def backward(p, X, y):
        d = 2 * (X @ p["W"] @ p["V"] - y) / y.size
        return {"W": X.T @ (d @ p["V"].T), "V": (X @ p["W"]).T @ d}

    p = {"W": rng.normal(size=(4, 5)), "V": rng.normal(size=(5, 3))}
    report = check_gradients(forward, backward, p, X, LABELS)
    assert report.ok and report.notes[0].startswith("W and V follow each other without an act")
