"""Forms with losses of many writings: own ones, weights, logits, one-hot, sums and means."""

from .case import down, everywhere
from .form import Form

HUBER = Form(
    "own loss: huber",
    """
import numpy as np

rng = np.random.default_rng(41)
X, y = rng.normal(size=(10, 3)), 2 * rng.normal(size=(10, 1))
params = {"W1": rng.normal(size=(3, 5)), "b1": rng.normal(size=5),
          "W2": rng.normal(size=(5, 1)), "b2": rng.normal(size=1)}
delta = 1.0

def forward(params, X, y):
    pred = np.tanh(X @ params["W1"] + params["b1"]) @ params["W2"] + params["b2"]
    r = pred - y
    small = np.abs(r) <= delta
    return np.mean(np.where(small, 0.5 * r ** 2, delta * (np.abs(r) - 0.5 * delta)))

def backward(params, X, y):
    a1 = np.tanh(X @ params["W1"] + params["b1"])
    r = a1 @ params["W2"] + params["b2"] - y
    dpred = np.where(np.abs(r) <= delta, r, delta * np.sign(r)) / len(y)
    dW2 = a1.T @ dpred
    db2 = dpred.sum(axis=0)
    da1 = dpred @ params["W2"].T
    dz1 = da1 * (1 - a1 ** 2)
    dW1 = X.T @ dz1
    db1 = dz1.sum(axis=0)
    return {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2}
""",
    [
        ("a square's error", "np.where(np.abs(r) <= delta, r, delta * np.sign(r)) / -> r /",
         "other_loss@2"),
        ("the sign forgotten", "delta * np.sign(r)) -> delta)",
         "absolute@2 | other_loss@2 | derivative_formula@2"),
        ("f' forgotten", "dz1 = da1 * (1 - a1 ** 2) -> dz1 = da1", "derivative_missing@1"),
        ("f' of tanh of tanh", "(1 - a1 ** 2) -> (1 - np.tanh(a1) ** 2)",
         "derivative_at_activation@1"),
        ("the mean forgotten", ") / len(y)\n    dW2 -> )\ndW2", everywhere("missing_mean", 2)),
    ],
)  # fmt: skip
WEIGHTED = Form(
    "own loss: a weighted cross-entropy",
    """
import numpy as np

rng = np.random.default_rng(42)
X = rng.normal(size=(3, 12))
Y = (rng.random((1, 12)) < 0.3).astype(float)
params = {"W1": rng.normal(size=(4, 3)), "b1": rng.normal(size=(4, 1)),
          "W2": rng.normal(size=(1, 4)), "b2": rng.normal(size=(1, 1))}
pos_weight = 3.0

def sigmoid(z):
    return 1 / (1 + np.exp(-z))

def forward(params, X, Y):
    A2 = sigmoid(params["W2"] @ np.tanh(params["W1"] @ X + params["b1"]) + params["b2"])
    losses = pos_weight * Y * np.log(A2) + (1 - Y) * np.log(1 - A2)
    return -np.sum(losses) / X.shape[1]

def backward(params, X, Y):
    m = X.shape[1]
    A1 = np.tanh(params["W1"] @ X + params["b1"])
    A2 = sigmoid(params["W2"] @ A1 + params["b2"])
    dZ2 = (1 - Y) * A2 - pos_weight * Y * (1 - A2)
    dW2 = dZ2 @ A1.T / m
    db2 = np.sum(dZ2, axis=1, keepdims=True) / m
    dZ1 = (params["W2"].T @ dZ2) * (1 - A1 ** 2)
    dW1 = dZ1 @ X.T / m
    db1 = np.sum(dZ1, axis=1, keepdims=True) / m
    return {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2}
""",
    [
        ("the weight forgotten", "dZ2 = (1 - Y) * A2 - pos_weight * Y * (1 - A2) -> dZ2 = A2 - Y",
         "other_loss@2"),
        ("all are weighted", "dZ2 = (1 - Y) * A2 - pos_weight * Y * (1 - A2) -> "
         "dZ2 = pos_weight * (A2 - Y)", "other_loss@2"),
        ("1/m forgotten", "dW1 = dZ1 @ X.T / m -> dW1 = dZ1 @ X.T", "missing_mean@1"),
        ("db1 over the units", "db1 = np.sum(dZ1, axis=1, keepdims=True) -> "
         "db1 = np.sum(dZ1, axis=0, keepdims=True)", "wrong_axis@1 | shape@1"),
        ("tanh' of z", "(1 - A1 ** 2) -> (1 - (params[\"W1\"] @ X + params[\"b1\"]) ** 2)",
         "derivative_formula@1"),
    ],
    call="check_gradients(forward, backward, params, X, Y)",
    by_hand="y = Y",
)  # fmt: skip
LOG_COSH = Form(
    "own loss: log-cosh, weights of several widths",
    """
import numpy as np

rng = np.random.default_rng(43)
X, y = rng.normal(size=(9, 2)), rng.normal(size=(9, 2))
params = [rng.normal(size=(2, 4)), rng.normal(size=(1, 4)), rng.normal(size=(4, 2)),
          rng.normal(size=(1, 2))]

def relu(z):
    return z * (z > 0)

def forward(params, X, y):
    W1, b1, W2, b2 = params
    return np.log(np.cosh(relu(X @ W1 + b1) @ W2 + b2 - y)).sum() / len(X)

def backward(params, X, y):
    W1, b1, W2, b2 = params
    z1 = X @ W1 + b1
    a1 = relu(z1)
    e = a1 @ W2 + b2 - y
    d2 = np.tanh(e) / len(X)
    d1 = (d2 @ W2.T) * (z1 > 0)
    return [X.T @ d1, d1.sum(0, keepdims=True), a1.T @ d2, d2.sum(0, keepdims=True)]
""",
    [
        ("the error itself", "d2 = np.tanh(e) / -> d2 = e /", "other_loss@2"),
        ("relu of the error", "d1 = (d2 @ W2.T) * (z1 > 0) -> d1 = relu(d2 @ W2.T)",
         "activation_on_error@1 | derivative_formula@1 | activation_for_derivative@1"),
        ("relu' forgotten", "d1 = (d2 @ W2.T) * (z1 > 0) -> d1 = d2 @ W2.T",
         "derivative_missing@1"),
        ("dW2 from z1", "a1.T @ d2 -> z1.T @ d2", "wrong_input@2"),
    ],
)  # fmt: skip
LOGITS = Form(
    "cross-entropy of logits, log-sum-exp and one-hot",
    """
import numpy as np

rng = np.random.default_rng(44)
X = rng.normal(size=(11, 4))
y = rng.integers(0, 3, 11)
params = {"W1": rng.normal(0, 0.6, (4, 6)), "b1": np.zeros(6), "W2": rng.normal(0, 0.6, (6, 3)),
          "b2": np.zeros(3)}

def logits_of(p, X):
    return np.maximum(X @ p["W1"] + p["b1"], 0.1 * (X @ p["W1"] + p["b1"])) @ p["W2"] + p["b2"]

def forward(p, X, y):
    logits = logits_of(p, X)
    top = logits.max(axis=1)
    lse = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
    return np.mean(lse - logits[np.arange(len(y)), y])

def backward(p, X, y):
    z = X @ p["W1"] + p["b1"]
    h = np.where(z > 0, z, 0.1 * z)
    logits = logits_of(p, X)
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    probs = e / e.sum(axis=1, keepdims=True)
    onehot = np.eye(3)[y]
    dlogits = (probs - onehot) / len(y)
    dh = dlogits @ p["W2"].T
    dz = dh * np.where(z > 0, 1, 0.1)
    return {"W1": X.T @ dz, "b1": dz.sum(axis=0), "W2": h.T @ dlogits, "b2": dlogits.sum(axis=0)}
""",
    [
        ("softmax' once more", "(probs - onehot) / -> (probs - onehot) * probs * (1 - probs) /",
         "other_loss@2"),
        ("relu' for leaky relu'", "np.where(z > 0, 1, 0.1) -> np.where(z > 0, 1, 0)",
         "derivative_formula@1"),
        ("logits for probabilities", "(probs - onehot) -> (logits - onehot)",
         "other_loss@2 | derivative_formula@2"),
        ("divided by all numbers", "dlogits = (probs - onehot) / len(y) -> "
         "dlogits = (probs - onehot) / onehot.size", f"{down('factor', 2)} | factor"),
        ("the mean of b", "dz.sum(axis=0) -> dz.mean(axis=0)", "extra_mean@1"),
    ],
)  # fmt: skip
EPSILON = Form(
    "log(a + 1e-8) and clipped probabilities, several outputs, np.mean over all",
    """
import numpy as np

rng = np.random.default_rng(45)
X = rng.normal(size=(8, 5))
Y = np.eye(3)[rng.integers(0, 3, 8)]
params = {"w1": rng.normal(0, 0.5, (5, 4)), "b1": rng.normal(0, 0.1, (1, 4)),
          "w2": rng.normal(0, 0.5, (4, 3)), "b2": rng.normal(0, 0.1, (1, 3))}

def sigmoid(z):
    return 1 / (1 + np.exp(-np.clip(z, -500, 500)))

def softmax(z):
    e = np.exp(z - np.max(z, axis=1, keepdims=True))
    return e / np.sum(e, axis=1, keepdims=True)

def forward(params, X, Y):
    a1 = sigmoid(X @ params["w1"] + params["b1"])
    a2 = softmax(a1 @ params["w2"] + params["b2"])
    return np.mean(-np.sum(Y * np.log(a2 + 1e-8), axis=1))

def backward(params, X, Y):
    a1 = sigmoid(X @ params["w1"] + params["b1"])
    a2 = softmax(a1 @ params["w2"] + params["b2"])
    m = Y.shape[0]
    delta2 = (a2 - Y) / m
    grad_w2 = np.dot(a1.T, delta2)
    grad_b2 = np.sum(delta2, axis=0, keepdims=True)
    delta1 = np.dot(delta2, params["w2"].T) * a1 * (1 - a1)
    grad_w1 = np.dot(X.T, delta1)
    grad_b1 = np.sum(delta1, axis=0, keepdims=True)
    return {"w1": grad_w1, "b1": grad_b1, "w2": grad_w2, "b2": grad_b2}
""",
    [
        ("Y / a is the whole error", "delta2 = (a2 - Y) / m -> delta2 = -Y / a2 / m",
         "derivative_missing@2 | other_loss@2"),
        ("the wrong way round", "delta2 = (a2 - Y) / m -> delta2 = (Y - a2) / m",
         everywhere("sign", 2)),
        ("sigmoid of the activation", "* a1 * (1 - a1) -> * sigmoid(a1) * (1 - sigmoid(a1))",
         "derivative_at_activation@1"),
        ("the mean twice", "grad_w1 = np.dot(X.T, delta1) -> grad_w1 = np.dot(X.T, delta1) / m",
         "extra_mean@1"),
        ("axis 1", "grad_b1 = np.sum(delta1, axis=0, keepdims=True) -> "
         "grad_b1 = np.sum(delta1, axis=1, keepdims=True)", "wrong_axis@1 | shape@1"),
    ],
    call="check_gradients(forward, backward, params, X, Y)",
    by_hand="y = Y",
)  # fmt: skip
OUTPUTS = Form(
    "a mean over outputs, a half, and an L2 penalty of all weights",
    """
import numpy as np

rng = np.random.default_rng(46)
X, Y = rng.normal(size=(7, 3)), rng.normal(size=(7, 4))
W1, b1 = rng.normal(size=(3, 5)), rng.normal(size=5)
W2, b2 = rng.normal(size=(5, 4)), rng.normal(size=4)
params = [W1, b1, W2, b2]
lam = 0.1

def forward(params, X, Y):
    W1, b1, W2, b2 = params
    out = np.tanh(X @ W1 + b1) @ W2 + b2
    mse = 0.5 * np.mean((out - Y) ** 2, axis=1).mean()
    return mse + 0.5 * lam * sum(np.sum(W ** 2) for W in (W1, W2))

def backward(params, X, Y):
    W1, b1, W2, b2 = params
    n, k = Y.shape
    h = np.tanh(X @ W1 + b1)
    out = h @ W2 + b2
    d_out = (out - Y) / (n * k)
    d_h = d_out @ W2.T
    d_z = d_h * (1 - h * h)
    dW1 = X.T @ d_z + lam * W1
    db1 = d_z.sum(axis=0)
    dW2 = h.T @ d_out + lam * W2
    db2 = d_out.sum(axis=0)
    return [dW1, db1, dW2, db2]
""",
    [
        ("n for n k", "(out - Y) / (n * k) -> (out - Y) / n", f"{down('factor', 2)} | factor"),
        ("no mean beside the penalty", "(out - Y) / (n * k) -> (out - Y)",
         f"{everywhere('missing_mean', 2)} | {everywhere('factor', 2)}"
         " | factor missing_mean | factor@2 missing_mean@2"),
        ("1/n on the penalty", "dW1 = X.T @ d_z + lam * W1 -> dW1 = X.T @ d_z + lam / n * W1",
         "regularisation_factor@1"),
        ("no penalty", "dW2 = h.T @ d_out + lam * W2 -> dW2 = h.T @ d_out",
         "regularisation_missing@2"),
        ("a penalty with f' missing", ["d_z = d_h * (1 - h * h) -> d_z = d_h",
         "dW1 = X.T @ d_z + lam * W1 -> dW1 = X.T @ d_z"],
         "derivative_missing@1 & regularisation_missing@1"),
    ],
    call="check_gradients(forward, backward, params, X, Y)",
    by_hand="y = Y",
)  # fmt: skip
FORMS = [HUBER, WEIGHTED, LOG_COSH, LOGITS, EPSILON, OUTPUTS]
