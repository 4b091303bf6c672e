"""Forms with data or points at which right looks wrong, or wrong looks right."""

from .case import everywhere
from .form import Form

POSITIVE = Form(
    "relu where everything is positive",
    """
import numpy as np

r = np.random.default_rng(0)
X, Y = r.random((12, 4)), r.random((12, 1))
params = {"W1": r.random((4, 6)), "W2": r.random((6, 1))}

def forward(p, X, y):
    return np.mean((np.maximum(X @ p["W1"], 0) @ p["W2"] - y) ** 2)

def backward(p, X, y):
    z = X @ p["W1"]
    a = np.maximum(z, 0)
    e = 2 * (a @ p["W2"] - y) / len(X)
    back = e @ p["W2"].T
    dz = back * (z > 0)
    return {"W1": X.T @ dz, "W2": a.T @ e}
""",
    [
        ("relu' forgotten", "dz = back * (z > 0) -> dz = back", "derivative_missing@1"),
        ("leaky", "(z > 0) -> np.where(z > 0, 1, 0.01)", "derivative_formula@1"),
        ("right, with >=", "(z > 0) -> (z >= 0)", ""),
        ("right, with sign", "(z > 0) -> np.sign(a)", ""),
        ("right, by a copy with zeros", "dz = back * (z > 0) -> "
         "dz = back.copy()\ndz[z <= 0] = 0", ""),
    ],
    call="check_gradients(forward, backward, params, X, Y)",
    by_hand='y, params["W1"] = Y, params["W1"] - 0.5',
)  # fmt: skip
ZEROS = Form(
    "zero biases and zero rows in X, labels and pixels as integers",
    """
import numpy as np

rng = np.random.default_rng(91)
X = rng.integers(0, 3, size=(10, 6))
X[2] = 0
y = rng.integers(0, 3, size=10)
params = {"W1": rng.normal(0, 0.4, (6, 5)), "b1": np.zeros(5), "W2": rng.normal(0, 0.4, (5, 3)),
          "b2": np.zeros(3)}

def forward(params, X, y):
    h = np.maximum(0, X @ params["W1"] + params["b1"])
    s = h @ params["W2"] + params["b2"]
    p = np.exp(s) / np.exp(s).sum(axis=1, keepdims=True)
    return -np.log(p[range(len(y)), y]).mean()

def backward(params, X, y):
    h = np.maximum(0, X @ params["W1"] + params["b1"])
    s = h @ params["W2"] + params["b2"]
    p = np.exp(s) / np.exp(s).sum(axis=1, keepdims=True)
    p[range(len(y)), y] -= 1
    p /= len(y)
    dh = p @ params["W2"].T
    dz = dh * (h > 0)
    return {"W1": X.T @ dz, "b1": dz.sum(axis=0), "W2": h.T @ p, "b2": p.sum(axis=0)}
""",
    [
        ("right, with 1 at the kink", "dh * (h > 0) -> dh * (h >= 0) * (X @ params['W1'] + "
         "params['b1'] >= 0)", ""),
        ("relu' forgotten", "dz = dh * (h > 0) -> dz = dh", "derivative_missing@1"),
        ("1/m forgotten", "    p /= len(y)\n -> ", everywhere("missing_mean", 2),
         (), ("p[range(len(y)), y] -= 1",)),
        ("h >= 0 is always true", "dh * (h > 0) -> dh * (h >= 0)",
         "derivative_missing@1 | derivative_formula@1 | derivative_at_activation@1"),
    ],
    by_hand='params["b1"] += 0.05',
)  # fmt: skip
LASSO = Form(
    "an L1 penalty, an absolute error, some weights that are zero",
    """
import numpy as np

rng = np.random.default_rng(92)
X, y = rng.normal(size=(14, 4)), rng.normal(size=(14, 1))
params = {"W1": rng.normal(size=(4, 3)), "b1": np.zeros((1, 3)), "W2": rng.normal(size=(3, 1)),
          "b2": np.zeros((1, 1))}
params["W1"][1] = 0.0
lam = 0.05

def forward(p, X, y):
    out = np.tanh(X @ p["W1"] + p["b1"]) @ p["W2"] + p["b2"]
    return np.abs(out - y).mean() + lam * (np.abs(p["W1"]).sum() + np.abs(p["W2"]).sum())

def backward(p, X, y):
    h = np.tanh(X @ p["W1"] + p["b1"])
    out = h @ p["W2"] + p["b2"]
    d2 = np.sign(out - y) / len(y)
    d1 = d2 @ p["W2"].T * (1 - h ** 2)
    dW1 = X.T @ d1 + lam * np.sign(p["W1"])
    dW2 = h.T @ d2 + lam * np.sign(p["W2"])
    return {"W1": dW1, "b1": d1.sum(0, keepdims=True), "W2": dW2, "b2": d2.sum(0, keepdims=True)}
""",
    [
        ("the error of a square", "np.sign(out - y) / -> (out - y) /", "other_loss@2"),
        ("a penalty of squares", 'lam * np.sign(p["W1"]) -> lam * p["W1"]',
         "regularisation_factor@1 | regularisation_formula@1 | regularisation_missing@1"
         " | regularisation_other@1"),
        ("f' forgotten", 'd1 = d2 @ p["W2"].T * (1 - h ** 2) -> d1 = d2 @ p["W2"].T',
         "derivative_missing@1"),
    ],
)  # fmt: skip
SMALL = Form(
    "one sample, one unit, float32",
    """
import numpy as np

X = np.array([[0.4, -0.7]], dtype=np.float32)
y = np.array([[1.0]], dtype=np.float32)
params = {"W1": np.array([[0.3, -0.5, 0.8], [0.6, 0.2, -0.4]], dtype=np.float32),
          "b1": np.array([0.1, -0.2, 0.05], dtype=np.float32),
          "W2": np.array([[0.7], [-0.9], [0.5]], dtype=np.float32),
          "b2": np.array([0.2], dtype=np.float32)}

def sigmoid(z):
    return 1 / (1 + np.exp(-z))

def forward(p, X, y):
    a1 = sigmoid(X @ p["W1"] + p["b1"])
    a2 = sigmoid(a1 @ p["W2"] + p["b2"])
    return ((a2 - y) ** 2).mean()

def backward(p, X, y):
    a1 = sigmoid(X @ p["W1"] + p["b1"])
    a2 = sigmoid(a1 @ p["W2"] + p["b2"])
    d2 = 2 * (a2 - y) * a2 * (1 - a2)
    d1 = d2 @ p["W2"].T * a1 * (1 - a1)
    return {"W1": X.T @ d1, "b1": d1[0], "W2": a1.T @ d2, "b2": d2[0]}
""",
    [
        ("the 2 forgotten", "2 * (a2 - y) * a2 -> (a2 - y) * a2", everywhere("factor", 2)),
        ("f' at a", "a1 * (1 - a1)\n -> sigmoid(a1) * (1 - sigmoid(a1))\n",
         "derivative_at_activation@1"),
        ("f' of the output forgotten", "2 * (a2 - y) * a2 * (1 - a2) -> 2 * (a2 - y)",
         "other_loss@2 | derivative_missing@2 | factor@2 other_loss@2"),
    ],
    by_hand="""
X, y = X.astype(float), y.astype(float)
params = {name: value.astype(float) for name, value in params.items()}
""",
)  # fmt: skip
SATURATED = Form(
    "large weights, sigmoids that are saturated, values of other scales",
    """
import numpy as np

rng = np.random.default_rng(93)
X = 30 * rng.normal(size=(15, 3)) + 50
y = (rng.random((15, 1)) > 0.5) * 1.0
params = [3 * rng.normal(size=(3, 4)), rng.normal(size=(1, 4)), 1e-3 * rng.normal(size=(4, 1)),
          np.zeros((1, 1))]

def sigmoid(z):
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1, e) / (1 + e)

def forward(params, X, y):
    W1, b1, W2, b2 = params
    a = sigmoid(sigmoid(X @ W1 + b1) @ W2 + b2)
    return np.mean(-y * np.log(a + 1e-12) - (1 - y) * np.log(1 - a + 1e-12))

def backward(params, X, y):
    W1, b1, W2, b2 = params
    a1 = sigmoid(X @ W1 + b1)
    a2 = sigmoid(a1 @ W2 + b2)
    d2 = (a2 - y) / len(X)
    d1 = (d2 @ W2.T) * a1 * (1 - a1)
    return X.T @ d1, d1.sum(axis=0, keepdims=True), a1.T @ d2, d2.sum(axis=0, keepdims=True)
""",
    [
        ("f' forgotten", "d1 = (d2 @ W2.T) * a1 * (1 - a1) -> d1 = d2 @ W2.T",
         "derivative_missing@1"),
        ("a squared error's", "d2 = (a2 - y) / -> d2 = (a2 - y) * a2 * (1 - a2) /",
         "other_loss@2"),
        ("the mean twice", "a1.T @ d2, -> a1.T @ d2 / len(X),", "extra_mean@2"),
    ],
    by_hand="params[0] /= 100; params[2] *= 1000",
)  # fmt: skip
FORMS = [POSITIVE, ZEROS, LASSO, SMALL, SATURATED]
