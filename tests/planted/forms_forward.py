"""Forms in which the forward pass is wrong: the gradients may agree, but with a cost not meant.

The backward pass is the derivative of what forward computes where truth is "", and of what was
meant otherwise.
"""

from .form import Form


def unused(name):
    """A pattern of sentences that say that the cost does without a parameter."""
    without = r"(not|none|never|unused|no effect|without)"
    return rf"{without}[^.\n]*\b{name}\b|\b{name}\b[^.\n]*{without}"


AXIS = Form(
    "a softmax of several classes",
    """
import numpy as np

rng = np.random.default_rng(71)
X = rng.normal(size=(9, 4))
Y = np.eye(3)[rng.integers(0, 3, 9)]
params = {"W1": rng.normal(0, 0.5, (4, 5)), "b1": np.zeros(5) + 0.1,
          "W2": rng.normal(0, 0.5, (5, 3)), "b2": np.zeros(3) - 0.1}

def softmax(z):
    e = np.exp(z - np.max(z))
    return e / np.sum(e, axis=1, keepdims=True)

def forward(params, X, Y):
    a1 = np.tanh(X @ params["W1"] + params["b1"])
    a2 = softmax(a1 @ params["W2"] + params["b2"])
    return -np.sum(Y * np.log(a2)) / len(X)

def backward(params, X, Y):
    a1 = np.tanh(X @ params["W1"] + params["b1"])
    a2 = softmax(a1 @ params["W2"] + params["b2"])
    dz2 = (a2 - Y) / len(X)
    dz1 = dz2 @ params["W2"].T * (1 - a1 ** 2)
    return {"W1": X.T @ dz1, "b1": dz1.sum(0), "W2": a1.T @ dz2, "b2": dz2.sum(0)}
""",
    [
        ("no axis", "np.sum(e, axis=1, keepdims=True) -> np.sum(e)",
         "softmax_axis | softmax_axis@2 | other_loss@2 | error_formula@2 | forward | forward@2",
         (r"sum to 1|softmax|axis",)),
        ("over the samples", "np.sum(e, axis=1, keepdims=True) -> np.sum(e, axis=0, keepdims=True)",
         "softmax_axis | softmax_axis@2 | other_loss@2 | error_formula@2 | forward | forward@2",
         (r"sum to 1|softmax|axis",)),
        ("no axis, and its own derivative", ["np.sum(e, axis=1, keepdims=True) -> np.sum(e)",
         "dz2 = (a2 - Y) / len(X) -> dz2 = (a2 * len(X) - Y) / len(X)"], "",
         (r"sum to 1|softmax|axis",)),
    ],
    call="check_gradients(forward, backward, params, X, Y)",
    by_hand="y = Y",
)  # fmt: skip
FLAT_TARGETS = Form(
    "targets (n,) beside predictions (n, 1)",
    """
import numpy as np

rng = np.random.default_rng(72)
X = rng.normal(size=(8, 3))
y = rng.normal(size=8)
params = {"W1": rng.normal(0, 0.6, (3, 4)), "b1": np.full((1, 4), 0.2),
          "W2": rng.normal(0, 0.6, (4, 1)), "b2": np.full((1, 1), -0.2)}

def forward(params, X, y):
    h = np.tanh(X @ params["W1"] + params["b1"])
    out = h @ params["W2"] + params["b2"]
    return np.mean((out - y.reshape(-1, 1)) ** 2)

def backward(params, X, y):
    h = np.tanh(X @ params["W1"] + params["b1"])
    out = h @ params["W2"] + params["b2"]
    dout = 2 * (out - y[:, None]) / len(X)
    dW2 = h.T @ dout
    db2 = dout.sum(axis=0, keepdims=True)
    dz1 = dout @ params["W2"].T * (1 - h ** 2)
    dW1 = X.T @ dz1
    db1 = dz1.sum(axis=0, keepdims=True)
    return {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2}
""",
    [
        ("not in one column", "y.reshape(-1, 1) -> y",
         "broadcast | broadcast@2 | other_loss@2 | forward | forward@2",
         (r"\(8, ?8\)|\(n, ?n\)|broadcast",)),
        ("not in one column, and its derivative", ["y.reshape(-1, 1) -> y",
         "2 * (out - y[:, None]) / len(X) -> 2 * (out - y).mean(axis=1, keepdims=True) / len(X)"],
         "", (r"\(8, ?8\)|\(n, ?n\)|broadcast",)),
    ],
)  # fmt: skip
UNUSED = Form(
    "a forward pass that leaves something out",
    """
import numpy as np

rng = np.random.default_rng(73)
X = rng.normal(size=(3, 10))
y = rng.normal(size=(1, 10))
params = {"W1": rng.normal(size=(4, 3)), "b1": rng.normal(size=(4, 1)),
          "W2": rng.normal(size=(4, 4)), "b2": rng.normal(size=(4, 1)),
          "W3": rng.normal(size=(1, 4)), "b3": rng.normal(size=(1, 1))}

def forward(p, X, y):
    a1 = np.tanh(p["W1"] @ X + p["b1"])
    a2 = np.tanh(p["W2"] @ a1 + p["b2"])
    out = p["W3"] @ a2 + p["b3"]
    return 0.5 * np.sum((out - y) ** 2) / X.shape[1]

def backward(p, X, y):
    m = X.shape[1]
    a1 = np.tanh(p["W1"] @ X + p["b1"])
    a2 = np.tanh(p["W2"] @ a1 + p["b2"])
    d3 = p["W3"] @ a2 + p["b3"] - y
    d2 = p["W3"].T @ d3 * (1 - a2 ** 2)
    d1 = p["W2"].T @ d2 * (1 - a1 ** 2)
    return {"W1": d1 @ X.T / m, "b1": d1.sum(1, keepdims=True) / m, "W2": d2 @ a1.T / m,
            "b2": d2.sum(1, keepdims=True) / m, "W3": d3 @ a2.T / m,
            "b3": d3.sum(1, keepdims=True) / m}
""",
    [
        ("a bias", 'out = p["W3"] @ a2 + p["b3"]\n -> out = p["W3"] @ a2\n', "unused@3 | unused",
         (unused("b3"),)),
        ("a bias, and zeros for it", ['out = p["W3"] @ a2 + p["b3"]\n -> out = p["W3"] @ a2\n',
         'd3 = p["W3"] @ a2 + p["b3"] - y -> d3 = p["W3"] @ a2 - y',
         '"b3": d3.sum(1, keepdims=True) / m -> "b3": 0 * p["b3"]'], "",
         (unused("b3"),)),
        ("an activation", 'a2 = np.tanh(p["W2"] @ a1 + p["b2"])\n    out -> '
         'a2 = p["W2"] @ a1 + p["b2"]\nout', "activation_missing@2 | forward@2 | derivative_extra@2"
         " | wrong_input@3 derivative_formula@2", (r"activation|no f|linear",)),
        ("the layer before the last", 'out = p["W3"] @ a2 + p["b3"]\n -> '
         'out = p["W3"] @ a1 + p["b3"]\n', "unused@2 | unused | forward@3",
         (unused("W2"),)),
    ],
)  # fmt: skip
SEEDLESS = Form(
    "dropout with a seed in each call",
    """
import numpy as np

rng = np.random.default_rng(74)
X, y = rng.normal(size=(6, 3)), rng.normal(size=(6, 1))
params = {"W1": rng.normal(size=(3, 8)), "b1": rng.normal(size=8), "W2": rng.normal(size=(8, 1))}

def hidden(params, X):
    np.random.seed(0)
    a = np.tanh(X @ params["W1"] + params["b1"])
    mask = np.random.rand(*a.shape) < 0.8
    return a, mask

def forward(params, X, y):
    a, mask = hidden(params, X)
    return np.sum(((a * mask / 0.8) @ params["W2"] - y) ** 2)

def backward(params, X, y):
    a, mask = hidden(params, X)
    d = 2 * ((a * mask / 0.8) @ params["W2"] - y)
    dz = d @ params["W2"].T * mask / 0.8 * (1 - a ** 2)
    return {"W1": X.T @ dz, "b1": dz.sum(0), "W2": (a * mask / 0.8).T @ d}
""",
    [
        ("no seed", "    np.random.seed(0)\n -> ", "state", (r"seed",), ("np.random.rand",)),
        ("no mask on the way back", "* mask / 0.8 * (1 - a ** 2) -> * (1 - a ** 2)",
         "mask_missing@1 | derivative_missing@1"),
        ("no scale on the way back", "* mask / 0.8 * (1 - a ** 2) -> * mask * (1 - a ** 2)",
         "factor@1"),
    ],
)  # fmt: skip
FORMS = [AXIS, FLAT_TARGETS, UNUSED, SEEDLESS]
