"""Forms whose arrays are no matrices and rows: vectors, numbers, a bias inside the weights."""

from .case import down, elementwise, everywhere, misordered
from .form import Form

VECTORS = Form(
    "1-D weights of one output unit",
    """
import numpy as np

rng = np.random.default_rng(3)
X = rng.normal(size=(12, 4))
y = (X[:, 0] > 0.2).astype(float)
params = {"W": rng.normal(0, 0.6, (4, 5)), "b": rng.normal(0, 0.3, 5),
          "v": rng.normal(0, 0.6, 5), "c": 0.2}

def sigmoid(t):
    return 1.0 / (1.0 + np.exp(-t))

def forward(params, X, y):
    hidden = np.tanh(X @ params["W"] + params["b"])
    out = sigmoid(hidden @ params["v"] + params["c"])
    return -np.mean(y * np.log(out) + (1 - y) * np.log(1 - out))

def backward(params, X, y):
    n = len(y)
    hidden = np.tanh(X @ params["W"] + params["b"])
    out = sigmoid(hidden @ params["v"] + params["c"])
    delta = (out - y) / n
    grad_v = hidden.T @ delta
    grad_c = delta.sum()
    back = np.outer(delta, params["v"])
    delta_h = back * (1 - hidden ** 2)
    grad_W = X.T @ delta_h
    grad_b = delta_h.sum(axis=0)
    return {"W": grad_W, "b": grad_b, "v": grad_v, "c": grad_c}
""",
    [
        ("f' forgotten", "back * (1 - hidden ** 2) -> back", "derivative_missing@1"),
        ("the mean forgotten", "(out - y) / n -> out - y", everywhere("missing_mean", 2)),
        ("tanh' of the activation", "(1 - hidden ** 2) -> (1 - np.tanh(hidden) ** 2)",
         "derivative_at_activation@1"),
        ("the bias not summed", "delta_h.sum(axis=0) -> delta_h.mean(axis=0)",
         "extra_mean@1 | not_summed@1"),
        ("the derivative of a square", "(out - y) / n -> (out - y) * out * (1 - out) / n",
         "other_loss@2"),
    ],
)  # fmt: skip
THETA = Form(
    "bias in the first column of Theta",
    """
import numpy as np

rng = np.random.default_rng(5)
X = rng.normal(size=(9, 3))
labels = np.arange(9) % 4
Y = np.eye(4)[labels]
params = [rng.uniform(-0.8, 0.8, (5, 4)), rng.uniform(-0.8, 0.8, (4, 6))]

def sigmoid(z):
    return 1 / (1 + np.exp(-z))

def with_ones(A):
    return np.hstack([np.ones((A.shape[0], 1)), A])

def forward(params, X, Y):
    Theta1, Theta2 = params
    h = sigmoid(with_ones(sigmoid(with_ones(X) @ Theta1.T)) @ Theta2.T)
    m = X.shape[0]
    J = -np.sum(Y * np.log(h) + (1 - Y) * np.log(1 - h)) / m
    return J + 0.4 / (2 * m) * (np.sum(Theta1[:, 1:] ** 2) + np.sum(Theta2[:, 1:] ** 2))

def backward(params, X, Y):
    Theta1, Theta2 = params
    m = X.shape[0]
    a1 = with_ones(X)
    z2 = a1 @ Theta1.T
    a2 = with_ones(sigmoid(z2))
    h = sigmoid(a2 @ Theta2.T)
    d3 = h - Y
    d2 = (d3 @ Theta2[:, 1:]) * sigmoid(z2) * (1 - sigmoid(z2))
    Theta1_grad = d2.T @ a1 / m
    Theta2_grad = d3.T @ a2 / m
    Theta1_grad[:, 1:] += 0.4 / m * Theta1[:, 1:]
    Theta2_grad[:, 1:] += 0.4 / m * Theta2[:, 1:]
    return [Theta1_grad, Theta2_grad]
""",
    [
        ("the columns from the other end", "d3 @ Theta2[:, 1:] -> d3 @ Theta2[:, :-1]",
         "wrong_weights@1"),
        ("1/m forgotten once", "d2.T @ a1 / m -> d2.T @ a1", "missing_mean@1"),
        ("the bias is penalised", "Theta1_grad[:, 1:] += 0.4 / m * Theta1[:, 1:]"
         " -> Theta1_grad += 0.4 / m * Theta1", "regularisation_on_bias@1"),
        ("no penalty", "Theta2_grad[:, 1:] += 0.4 / m * Theta2[:, 1:] -> "
         "Theta2_grad[:, 1:] += 0.4 * Theta2[:, 1:]", "regularisation_factor@2"),
        ("sigmoid' as z (1 - z)", "sigmoid(z2) * (1 - sigmoid(z2)) -> z2 * (1 - z2)",
         "derivative_formula@1"),
        ("f' forgotten", "* sigmoid(z2) * (1 - sigmoid(z2)) -> * 1", "derivative_missing@1"),
    ],
    call="check_gradients(forward, backward, params, X, Y)",
    by_hand="y = Y",
)  # fmt: skip
ONES = Form(
    "a column of ones at the end of X, no other bias",
    """
import numpy as np

np.random.seed(2)
X = np.random.randn(15, 2)
y = (X[:, :1] * X[:, 1:] > 0).astype(float)
X = np.c_[X, np.ones(len(X))]
w1 = np.random.randn(3, 6) * 0.7
w2 = np.random.randn(6, 1) * 0.7
params = (w1, w2)

def logistic(s):
    return 1 / (1 + np.exp(-s))

def forward(params, X, y):
    w1, w2 = params
    yhat = logistic(logistic(X.dot(w1)).dot(w2))
    return 0.5 * ((y - yhat) ** 2).sum()

def backward(params, X, y):
    w1, w2 = params
    h = logistic(X.dot(w1))
    yhat = logistic(h.dot(w2))
    g2 = (yhat - y) * yhat * (1 - yhat)
    dw2 = h.T.dot(g2)
    g1 = g2.dot(w2.T) * h * (1 - h)
    dw1 = X.T.dot(g1)
    return dw1, dw2
""",
    [
        ("the wrong sign", "(yhat - y) * yhat -> (y - yhat) * yhat", everywhere("sign", 2)),
        ("f' of the output forgotten", "(yhat - y) * yhat * (1 - yhat) -> yhat - y",
         "other_loss@2 | derivative_missing@2"),
        ("the output error is sent back", "g2.dot(w2.T) * h -> (yhat - y).dot(w2.T) * h",
         "derivative_missing@2 | derivative_missing@1 | layer_skipped@1"),
        ("averaged", "dw1 = X.T.dot(g1) -> dw1 = X.T.dot(g1) / len(X)", "extra_mean@1"),
    ],
)  # fmt: skip
UNROLLED = Form(
    "one unrolled vector",
    """
import numpy as np

rng = np.random.default_rng(8)
n_in, n_hid, n_out = 3, 4, 2
X = rng.normal(size=(10, n_in))
Y = rng.normal(size=(10, n_out))
params = rng.normal(0, 0.5, n_in * n_hid + n_hid + n_hid * n_out + n_out)

def unpack(theta):
    i = n_in * n_hid
    j = i + n_hid
    k = j + n_hid * n_out
    return (theta[:i].reshape(n_in, n_hid), theta[i:j],
            theta[j:k].reshape(n_hid, n_out), theta[k:])

def forward(theta, X, Y):
    W1, b1, W2, b2 = unpack(theta)
    return 0.5 * np.mean(np.sum((np.tanh(X @ W1 + b1) @ W2 + b2 - Y) ** 2, axis=1))

def backward(theta, X, Y):
    W1, b1, W2, b2 = unpack(theta)
    a1 = np.tanh(X @ W1 + b1)
    err = (a1 @ W2 + b2 - Y) / X.shape[0]
    dW2 = a1.T @ err
    db2 = np.sum(err, axis=0)
    dz1 = (err @ W2.T) * (1 - a1 ** 2)
    dW1 = X.T @ dz1
    db1 = np.sum(dz1, axis=0)
    return np.concatenate([dW1.ravel(), db1, dW2.ravel(), db2])
""",
    [
        ("rolled out in columns", "dW1.ravel(), db1 -> dW1.T.ravel(), db1", "transposed@1"),
        ("f' forgotten", "(err @ W2.T) * (1 - a1 ** 2) -> err @ W2.T", "derivative_missing@1"),
        ("the biases change places", "dW1.ravel(), db1, dW2.ravel(), db2 -> "
         "dW1.ravel(), dW2.ravel(), db1, db2", "swapped@1 swapped@2 | swapped"),
        ("divided twice", "dW2 = a1.T @ err -> dW2 = a1.T @ err / X.shape[0]", "extra_mean@2"),
        ("tanh' without the square", "(1 - a1 ** 2) -> (1 - a1)", "derivative_formula@1"),
    ],
    call="check_gradients(forward, backward, params, X, Y)",
    by_hand="y = Y",
)  # fmt: skip
COST_AND_GRADIENT = Form(
    "one function of one vector returns cost and gradient",
    """
import numpy as np

rng = np.random.default_rng(21)
X = rng.normal(size=(3, 8))
y = (rng.random((1, 8)) > 0.5) * 1.0
theta = rng.normal(0, 0.6, 4 * 3 + 4 + 4 + 1)

def sigmoid(z):
    return 1 / (1 + np.exp(-z))

def cost(theta, X, y):
    m = X.shape[1]
    W1 = theta[0:12].reshape((4, 3), order="F")
    b1 = theta[12:16].reshape(4, 1)
    W2 = theta[16:20].reshape((1, 4), order="F")
    b2 = theta[20]
    A1 = sigmoid(W1 @ X + b1)
    A2 = sigmoid(W2 @ A1 + b2)
    J = -np.sum(y * np.log(A2) + (1 - y) * np.log(1 - A2)) / m
    dZ2 = A2 - y
    dW2 = dZ2 @ A1.T / m
    db2 = np.sum(dZ2) / m
    dZ1 = W2.T @ dZ2 * A1 * (1 - A1)
    dW1 = dZ1 @ X.T / m
    db1 = np.sum(dZ1, axis=1) / m
    grad = np.hstack([dW1.flatten(order="F"), db1, dW2.flatten(order="F"), db2])
    return J, grad
""",
    [
        ("unrolled in rows", 'dW1.flatten(order="F"), db1 -> dW1.flatten(), db1',
         "transposed@1"),
        ("1/m forgotten", "db1 = np.sum(dZ1, axis=1) / m -> db1 = np.sum(dZ1, axis=1)",
         "missing_mean@1"),
        ("f' at z", "dZ1 = W2.T @ dZ2 * A1 * (1 - A1) -> "
         "dZ1 = W2.T @ dZ2 * sigmoid(A1) * (1 - sigmoid(A1))", "derivative_at_activation@1"),
        ("y - a", "dZ2 = A2 - y -> dZ2 = y - A2", everywhere("sign", 2)),
    ],
    call="check_gradients(cost, theta, X, y)",
    by_hand="""
params = theta
forward = lambda theta, X, y: cost(theta, X, y)[0]
backward = lambda theta, X, y: cost(theta, X, y)[1]
""",
)  # fmt: skip
SCALARS = Form(
    "numbers and a loop over samples",
    """
import math
import numpy as np

X = [0.5, -1.2, 0.9, 2.0, -0.3]
y = [1.0, 0.0, 1.0, 1.0, 0.0]
params = {"w1": 0.7, "b1": -0.2, "w2": 1.1, "b2": 0.3}

def sigmoid(z):
    return 1 / (1 + math.exp(-z))

def forward(p, X, y):
    total = 0.0
    for x, t in zip(X, y):
        h = sigmoid(p["w1"] * x + p["b1"])
        o = sigmoid(p["w2"] * h + p["b2"])
        total += (o - t) ** 2
    return total / len(X)

def backward(p, X, y):
    dw1 = db1 = dw2 = db2 = 0.0
    for x, t in zip(X, y):
        h = sigmoid(p["w1"] * x + p["b1"])
        o = sigmoid(p["w2"] * h + p["b2"])
        delta_o = 2 * (o - t) * o * (1 - o) / len(X)
        delta_h = delta_o * p["w2"] * h * (1 - h)
        dw2 += delta_o * h
        db2 += delta_o
        dw1 += delta_h * x
        db1 += delta_h
    return {"w1": dw1, "b1": db1, "w2": dw2, "b2": db2}
""",
    [
        ("without the weight", 'delta_o * p["w2"] * h -> delta_o * h', "layer_skipped@1"),
        ("the 2 forgotten", "2 * (o - t) -> (o - t)", everywhere("factor", 2)),
        ("= for +=", "dw1 += delta_h * x -> dw1 = delta_h * x", "not_summed@1"),
        ("without the input", "dw2 += delta_o * h -> dw2 += delta_o", "wrong_input@2"),
        ("f' of the hidden unit forgotten", '* p["w2"] * h * (1 - h) -> * p["w2"]',
         "derivative_missing@1"),
    ],
)  # fmt: skip
OUTER = Form(
    "one sample as a vector, np.outer",
    """
import numpy as np

rng = np.random.default_rng(4)
x = rng.normal(size=3)
t = np.array([0.0, 1.0])
params = [rng.normal(size=(4, 3)), rng.normal(size=4), rng.normal(size=(2, 4)), rng.normal(size=2)]

def sigmoid(z):
    return 1 / (1 + np.exp(-z))

def forward(params, x, t):
    W1, b1, W2, b2 = params
    return 0.5 * np.sum((sigmoid(W2.dot(sigmoid(W1.dot(x) + b1)) + b2) - t) ** 2)

def backward(params, x, t):
    W1, b1, W2, b2 = params
    z1 = W1.dot(x) + b1
    a1 = sigmoid(z1)
    z2 = W2.dot(a1) + b2
    a2 = sigmoid(z2)
    delta2 = (a2 - t) * a2 * (1 - a2)
    delta1 = W2.T.dot(delta2) * a1 * (1 - a1)
    dW2 = np.outer(delta2, a1)
    dW1 = np.outer(delta1, x)
    return [dW1, delta1, dW2, delta2]
""",
    [
        ("the factors of outer", "np.outer(delta1, x) -> np.outer(x, delta1)", misordered(1)),
        ("the wrong input", "np.outer(delta2, a1) -> np.outer(delta2, z1)", "wrong_input@2"),
        ("f' at a", "delta1 = W2.T.dot(delta2) * a1 * (1 - a1) -> "
         "delta1 = W2.T.dot(delta2) * sigmoid(a1) * (1 - sigmoid(a1))",
         "derivative_at_activation@1"),
        ("f' of the output forgotten", "(a2 - t) * a2 * (1 - a2) -> a2 - t",
         "other_loss@2 | derivative_missing@2"),
        ("z (1 - z)", "* a1 * (1 - a1) -> * z1 * (1 - z1)", "derivative_formula@1"),
    ],
    call="check_gradients(forward, backward, params, x, t)",
    by_hand="X, y = x, t",
)  # fmt: skip
FIXED = Form(
    "fixed biases outside params, shared by the units of a layer",
    """
import numpy as np

x = np.array([[0.05, 0.10]])
target = np.array([[0.01, 0.99]])
bias = [0.35, 0.60]
params = {"w_ih": np.array([[0.15, 0.25], [0.20, 0.30]]),
          "w_ho": np.array([[0.40, 0.50], [0.45, 0.55]])}

def squash(net):
    return 1 / (1 + np.exp(-net))

def forward(params, x, target):
    out_h = squash(x @ params["w_ih"] + bias[0])
    out_o = squash(out_h @ params["w_ho"] + bias[1])
    return np.sum(0.5 * (target - out_o) ** 2)

def backward(params, x, target):
    out_h = squash(x @ params["w_ih"] + bias[0])
    out_o = squash(out_h @ params["w_ho"] + bias[1])
    dE_dout = -(target - out_o)
    dE_dnet = dE_dout * out_o * (1 - out_o)
    dE_dho = out_h.T @ dE_dnet
    dE_dh = dE_dnet @ params["w_ho"].T
    dE_dnet_h = dE_dh * out_h * (1 - out_h)
    dE_dih = x.T @ dE_dnet_h
    return {"w_ih": dE_dih, "w_ho": dE_dho}
""",
    [
        ("the sign of the error", "-(target - out_o) -> target - out_o", everywhere("sign", 2)),
        ("f' of the output forgotten on the way", 'dE_dnet @ params["w_ho"].T -> '
         'dE_dout @ params["w_ho"].T', "derivative_missing@2 | derivative_missing@1"),
        ("weights turned", 'dE_dnet @ params["w_ho"].T -> dE_dnet @ params["w_ho"]',
         "wrong_weights@1 | wrong_order@1"),
        ("f' of the hidden layer forgotten", "dE_dh * out_h * (1 - out_h) -> dE_dh",
         "derivative_missing@1"),
        ("elementwise", "x.T @ dE_dnet_h -> x * dE_dnet_h",
         f"{elementwise(1)} | shape@1"),
    ],
    call="check_gradients(forward, backward, params, x, target)",
    by_hand="X, y = x, target",
)  # fmt: skip
SHARED = Form(
    "one bias shared by two layers",
    """
import numpy as np

rng = np.random.default_rng(12)
X = rng.normal(size=(8, 3))
y = rng.normal(size=(8, 4))
params = {"U": rng.normal(0, 0.6, (3, 4)), "V": rng.normal(0, 0.6, (4, 4)), "b": rng.normal(size=4)}

def forward(params, X, y):
    U, V, b = params["U"], params["V"], params["b"]
    return np.mean((np.tanh(X @ U + b) @ V + b - y) ** 2)

def backward(params, X, y):
    U, V, b = params["U"], params["V"], params["b"]
    h = np.tanh(X @ U + b)
    d_out = 2 * (h @ V + b - y) / y.size
    d_hid = d_out @ V.T * (1 - h ** 2)
    dU = X.T @ d_hid
    dV = h.T @ d_out
    db = d_out.sum(0) + d_hid.sum(0)
    return {"U": dU, "V": dV, "b": db}
""",
    [
        ("the bias of one layer only", "d_out.sum(0) + d_hid.sum(0) -> d_out.sum(0)",
         "shared_missing@1 | shared_missing@2 | shared_missing"),
        ("f' forgotten", "d_out @ V.T * (1 - h ** 2) -> d_out @ V.T", "derivative_missing@1"),
        ("divided by the samples only", "/ y.size -> / len(X)",
         f"{down('factor', 2)} | factor"),
        ("V turned", "d_out @ V.T * -> d_out @ V *", "wrong_weights@1 | wrong_order@1"),
    ],
)  # fmt: skip

FORMS = [
    VECTORS, THETA, ONES, UNROLLED, COST_AND_GRADIENT, SCALARS, OUTER, FIXED, SHARED,
]  # fmt: skip
