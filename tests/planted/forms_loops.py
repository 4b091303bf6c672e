"""Forms with loops over samples, and small ones: logistic regression, einsum, global data."""

from .case import everywhere, misordered
from .form import Form

LOGISTIC = Form(
    "logistic regression, w (n,) and b a number",
    """
import numpy as np

rng = np.random.default_rng(81)
X = rng.normal(size=(20, 3))
y = (X @ np.array([1.0, -2.0, 0.5]) > 0).astype(int)
params = {"w": rng.normal(size=3), "b": 0.1}

def predict(params, X):
    return 1 / (1 + np.exp(-(X @ params["w"] + params["b"])))

def forward(params, X, y):
    p = predict(params, X)
    return -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean() + 0.01 * np.sum(params["w"] ** 2)

def backward(params, X, y):
    m = len(y)
    error = predict(params, X) - y
    dw = X.T @ error / m + 2 * 0.01 * params["w"]
    db = np.sum(error) / m
    return {"w": dw, "b": db}
""",
    [
        ("the 2 of the penalty", 'error / m + 2 * 0.01 * params["w"] -> '
         'error / m + 0.01 * params["w"]', "regularisation_factor@1"),
        ("no penalty", 'error / m + 2 * 0.01 * params["w"] -> error / m',
         "regularisation_missing@1"),
        ("1/m forgotten", "db = np.sum(error) / m -> db = np.sum(error)", "missing_mean@1"),
        ("the sign", "predict(params, X) - y -> y - predict(params, X)",
         "sign@1 | sign@1 regularisation_factor@1"),
        ("p (1 - p)", "error = predict(params, X) - y -> "
         "p = predict(params, X)\nerror = (p - y) * p * (1 - p)", "other_loss@1"),
    ],
)  # fmt: skip
UPDATING = Form(
    "a loop over samples with column vectors, gradients added up",
    """
import numpy as np

rng = np.random.default_rng(82)
X, Y = rng.normal(size=(6, 3)), (rng.random((6, 2)) > 0.5) * 1.0
params = [rng.normal(size=(4, 3)), rng.normal(size=(2, 4))]
rate = 0.1

def sigmoid(x):
    return 1 / (1 + np.exp(-x))

def forward(params, X, Y):
    W, V = params
    return sum(0.5 * np.sum((sigmoid(V @ sigmoid(W @ x)) - y) ** 2) for x, y in zip(X, Y))

def backward(params, X, Y):
    W, V = params[0].copy(), params[1].copy()
    total_W, total_V = np.zeros_like(W), np.zeros_like(V)
    for x, y in zip(X, Y):
        h = sigmoid(W @ x)
        o = sigmoid(V @ h)
        delta_o = (o - y) * o * (1 - o)
        dV = np.outer(delta_o, h)
        delta_h = V.T @ delta_o * h * (1 - h)
        dW = np.outer(delta_h, x)
        total_W += dW
        total_V += dV
    return [total_W, total_V]
""",
    [
        ("updated after each sample", "total_V += dV\n -> total_V += dV\nW -= rate * dW\n"
         "V -= rate * dV\n", "updated_weights@1 updated_weights@2 | updated_weights@1"
         " | updated_weights | updated_each_sample | sample_by_sample",
         (), ("V -= rate * dV",)),
        ("V is updated before it is used", "dV = np.outer(delta_o, h)\n -> "
         "dV = np.outer(delta_o, h)\nV = V - rate * dV\n",
         "updated_weights@1 | updated_weights | updated_weights@1 updated_weights@2"
         " | updated_each_sample | sample_by_sample", (), ("delta_h = V.T @ delta_o",)),
        ("the last sample only", "total_W += dW -> total_W = dW", "not_summed@1"),
        ("f' forgotten", "V.T @ delta_o * h * (1 - h) -> V.T @ delta_o", "derivative_missing@1"),
        ("the error without f'", "V.T @ delta_o * h -> V.T @ (o - y) * h",
         "derivative_missing@2 | derivative_missing@1"),
    ],
    call="check_gradients(forward, backward, params, X, Y)",
    by_hand="y = Y",
)  # fmt: skip
APPENDED = Form(
    "a one appended to each layer's output, weights (n_in + 1, n_out)",
    """
import numpy as np

rng = np.random.default_rng(83)
X = rng.normal(size=(10, 3))
T = rng.normal(size=(10, 2))
weights = [rng.normal(0, 0.5, (4, 5)), rng.normal(0, 0.5, (6, 2))]

def add_bias(a):
    return np.insert(a, a.shape[1], 1, axis=1)

def forward(weights, X, T):
    a = X
    a = np.tanh(add_bias(a).dot(weights[0]))
    return np.square(add_bias(a).dot(weights[1]) - T).sum() / (2 * len(X))

def backward(weights, X, T):
    a0 = add_bias(X)
    a1 = np.tanh(a0.dot(weights[0]))
    a1b = add_bias(a1)
    out = a1b.dot(weights[1])
    d2 = (out - T) / len(X)
    g2 = a1b.T.dot(d2)
    back = d2.dot(weights[1][:-1].T)
    d1 = back * (1 - a1 ** 2)
    g1 = a0.T.dot(d1)
    return [g1, g2]
""",
    [
        ("the first row left out", "weights[1][:-1].T -> weights[1][1:].T",
         "wrong_weights@1"),
        ("f' forgotten", "d1 = back * (1 - a1 ** 2) -> d1 = back", "derivative_missing@1"),
        ("no mean", "g1 = a0.T.dot(d1) -> g1 = a0.T.dot(d1) * len(X)", "missing_mean@1"),
        ("tanh' of the output layer too", "d2 = (out - T) / len(X) -> "
         "d2 = (out - T) * (1 - out ** 2) / len(X)",
         "derivative_formula@2 | derivative_extra@2 | other_loss@2"),
        ("the sign once", "back = d2.dot -> back = -d2.dot", "sign@1"),
    ],
    call="check_gradients(forward, backward, weights, X, T)",
    by_hand="params, y = weights, T",
)  # fmt: skip
EINSUM = Form(
    "einsum and tensordot for the products",
    """
import numpy as np

rng = np.random.default_rng(84)
X, y = rng.normal(size=(7, 3)), rng.normal(size=(7, 2))
theta = {"W_in": rng.normal(size=(5, 3)), "b_in": rng.normal(size=5),
         "W_out": rng.normal(size=(2, 5)), "b_out": rng.normal(size=2)}

def forward(theta, X, y):
    h = np.arctan(np.einsum("ni,hi->nh", X, theta["W_in"]) + theta["b_in"])
    out = np.einsum("nh,oh->no", h, theta["W_out"]) + theta["b_out"]
    return np.einsum("no,no->", out - y, out - y) / len(X)

def backward(theta, X, y):
    z = np.einsum("ni,hi->nh", X, theta["W_in"]) + theta["b_in"]
    h = np.arctan(z)
    e = 2 * (np.einsum("nh,oh->no", h, theta["W_out"]) + theta["b_out"] - y) / len(X)
    g = np.einsum("no,oh->nh", e, theta["W_out"]) / (1 + z ** 2)
    return {"W_in": np.einsum("nh,ni->hi", g, X), "b_in": g.sum(0),
            "W_out": np.einsum("no,nh->oh", e, h), "b_out": e.sum(0)}
""",
    [
        ("f' at h", "(1 + z ** 2) -> (1 + h ** 2)", "derivative_at_activation@1"),
        ("f' forgotten", 'theta["W_out"]) / (1 + z ** 2) -> theta["W_out"])',
         "derivative_missing@1"),
        ("the 2 forgotten", "e = 2 * ( -> e = (", everywhere("factor", 2)),
        ("z for h", '"no,nh->oh", e, h) -> "no,nh->oh", e, z)', "wrong_input@2"),
        ("mean for sum", '"b_out": e.sum(0) -> "b_out": e.mean(0)', "extra_mean@2"),
    ],
    call="check_gradients(forward, backward, theta, X, y)",
    by_hand="params = theta",
)  # fmt: skip
GLOBAL = Form(
    "functions of global data, 400 samples in columns",
    """
import numpy as np

rng = np.random.default_rng(85)
m = 400
X = rng.normal(size=(2, m))
Y = (X[:1] * X[1:] > 0).astype(float)

def sigmoid(z):
    return 1 / (1 + np.exp(-z))

def sigmoid_derivative(z):
    return sigmoid(z) * (1 - sigmoid(z))

W1, B1 = rng.normal(size=(4, 2)), np.zeros((4, 1))
W2, B2 = rng.normal(size=(1, 4)), np.zeros((1, 1))
params = {"W1": W1, "B1": B1, "W2": W2, "B2": B2}

def forward(params, *_):
    A1 = sigmoid(np.dot(params["W1"], X) + params["B1"])
    A2 = sigmoid(np.dot(params["W2"], A1) + params["B2"])
    return np.sum((A2 - Y) ** 2) / m

def backward(params, *_):
    Z1 = np.dot(params["W1"], X) + params["B1"]
    A1 = sigmoid(Z1)
    Z2 = np.dot(params["W2"], A1) + params["B2"]
    A2 = sigmoid(Z2)
    dA2 = 2 * (A2 - Y)
    dZ2 = dA2 * sigmoid_derivative(Z2)
    dW2 = np.dot(dZ2, A1.T) / m
    dB2 = np.sum(dZ2, axis=1, keepdims=True) / m
    dA1 = np.dot(params["W2"].T, dZ2)
    dZ1 = dA1 * sigmoid_derivative(Z1)
    dW1 = np.dot(dZ1, X.T) / m
    dB1 = np.sum(dZ1, axis=1, keepdims=True) / m
    return {"W1": dW1, "B1": dB1, "W2": dW2, "B2": dB2}
""",
    [
        ("the sign lost", "dA2 = 2 * (A2 - Y) -> dA2 = 2 * abs(A2 - Y)", "absolute@2"),
        ("the bias of each sample", "dB1 = np.sum(dZ1, axis=1, keepdims=True) / m -> "
         "dB1 = dZ1 / m", "not_summed@1"),
        ("f' in a matrix product", "dW1 = np.dot(dZ1, X.T) / m -> "
         "dW1 = np.dot(X, dZ1.T) / m", misordered(1)),
        ("three at once", ["dA2 = 2 * (A2 - Y) -> dA2 = 2 * abs(A2 - Y)",
         "dW2 = np.dot(dZ2, A1.T) / m -> dW2 = np.dot(dZ2, A1.T)",
         "dZ1 = dA1 * sigmoid_derivative(Z1) -> dZ1 = dA1 * sigmoid_derivative(A1)"],
         "absolute@2 & missing_mean@2 & derivative_at_activation@1"),
    ],
    call="check_gradients(forward, backward, params, X, Y)",
    by_hand="y = Y",
)  # fmt: skip
FORMS = [LOGISTIC, UPDATING, APPENDED, EINSUM, GLOBAL]
