"""Backprop with nothing wrong, in every style; some of it looks wrong at first sight."""

from .case import Case
from .net import STYLES, Net

NETWORKS = [
    ("3-1", "sigmoid", "bce"),
    ("4-3", "softmax", "ce"),
    ("2-4-1", "tanh sigmoid", "bce"),
    ("3-5-5-1", "sigmoid sigmoid sigmoid", "half"),
    ("3-4-2", "relu linear", "mse"),
    ("4-5-3", "sigmoid softmax", "ce_labels"),
    ("2-3-4-3-2", "tanh relu sigmoid linear", "sum_mean"),
    ("2-3-3-4-3-3", "tanh sigmoid relu tanh softmax", "ce_sum"),
]
GRID = [
    Net(*network, **style, seed=i).case(f"right: {network[0]} {network[1]}, {network[2]}; {name}")
    for i, network in enumerate(NETWORKS)
    for name, style in STYLES.items()
]
MORE = [
    Net(sizes, acts, loss, **options).case(f"right: {sizes} {acts}, {loss}; {options}")
    for sizes, acts, loss, options in [
        ("3-4-1", "tanh sigmoid", "bce", {"l2": "half"}),
        ("3-4-1", "tanh sigmoid", "bce", {"l2": "half_n", **STYLES["columns"]}),
        ("3-4-4-2", "relu tanh linear", "sum_mean", {"l2": "full"}),
        ("3-4-2", "sigmoid linear", "mse", {"l2": "half", **STYLES["columns, no bias"]}),
        ("4-3", "softmax", "ce_labels", {"l2": "half_n"}),
        ("3-4-2", "tanh sigmoid", "bce", {"fused": False}),
        ("3-4-2", "tanh sigmoid", "bce_sum", {"fused": False, **STYLES["columns, pairs"]}),
        ("3-4-3", "tanh softmax", "half_mean", {}),
        ("3-4-3", "tanh softmax", "mse", STYLES["columns"]),
        ("3-4-2", "linear linear", "half", {}),
        ("3-4-2", "tanh tanh", "sum", {"shown": True}),
        ("3-4-2", "relu sigmoid", "half_mean", STYLES["columns, (in, out), split list"]),
        ("3-4-1", "sigmoid sigmoid", "sum", {"n": 1}),
        ("3-4-1", "sigmoid sigmoid", "sum", {"n": 1, **STYLES["columns"]}),
        ("4-4-4-4", "tanh tanh tanh", "half_mean", {"n": 4}),
        ("4-4-4-4", "tanh tanh softmax", "ce", {"n": 4, **STYLES["columns"]}),
    ]
]
TRAPS = [  # changes that change nothing
    Net("3-4-1", "relu linear", "half_mean").case(
        "right: relu' taken at the activation is the same", ["dz1: (z1) -> (a1)"]
    ),
    Net("3-4-1", "sigmoid sigmoid", "half_mean", **STYLES["columns"]).case(
        "right: sigmoid' with the sign of z turned is the same", ["dz1: (z1) -> (-z1)"]
    ),
    Net("3-4-1", "tanh sigmoid", "bce").case(
        "right: * by broadcasting, one output", ["da1: @ -> *"]
    ),
    Net("3-4-1", "tanh linear", "half_mean").case(
        "right: the update comes after the error went back", ["after da1: W2 = W2 - 0.1 * dW2"]
    ),
    Net("3-4-2", "linear sigmoid", "bce", **STYLES["columns"]).case(
        "right: the input of a linear layer is its z", ["dW2: a1 -> z1"]
    ),
]

LOOP = """import numpy as np

def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))

def forward(params, X, y):
    total = 0
    for x, target in zip(X, y):
        a = x
        for w, b in zip(params["weights"], params["biases"]):
            a = sigmoid(w @ a + b)
        total += 0.5 * np.sum((a - target) ** 2)
    return total / len(X)

def backward(params, X, y):
    weights, biases = params["weights"], params["biases"]
    nabla_w = [np.zeros(w.shape) for w in weights]
    nabla_b = [np.zeros(b.shape) for b in biases]
    for x, target in zip(X, y):
        activations = [x]
        for w, b in zip(weights, biases):
            activations.append(sigmoid(w @ activations[-1] + b))
        a = activations[-1]
        delta = (a - target) * a * (1 - a)
        for l in range(len(weights) - 1, -1, -1):
            nabla_w[l] += np.outer(delta, activations[l]) / len(X)
            nabla_b[l] += delta / len(X)
            a = activations[l]
            delta = (weights[l].T @ delta) * a * (1 - a)
    return {"weights": nabla_w, "biases": nabla_b}
"""
FLAT_TARGETS = """import numpy as np

def forward(params, X, y):
    W1, b1, w2, b2 = params
    h = np.tanh(X.dot(W1) + b1)
    p = 1 / (1 + np.exp(-(h.dot(w2) + b2)))[:, 0]
    return -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))

def backward(params, X, y):
    W1, b1, w2, b2 = params
    h = np.tanh(X.dot(W1) + b1)
    p = 1 / (1 + np.exp(-(h.dot(w2) + b2)))
    d2 = (p - y.reshape(-1, 1)) / len(y)
    d1 = d2.dot(w2.T) * (1 - h * h)
    return [X.T.dot(d1), d1.sum(0), h.T.dot(d2), d2.sum(0)]
"""
AUTOENCODER = """import numpy as np

def forward(params, X):
    H = np.tanh(X @ params["W1"] + params["b1"])
    R = H @ params["W2"] + params["b2"]
    return 0.5 * np.sum((R - X) ** 2) / len(X)

def backward(params, X):
    H = np.tanh(X @ params["W1"] + params["b1"])
    R = H @ params["W2"] + params["b2"]
    dR = (R - X) / len(X)
    dH = dR @ params["W2"].T * (1 - H ** 2)
    return {"W1": X.T @ dH, "b1": dH.sum(0), "W2": H.T @ dR, "b2": dR.sum(0)}
"""
SKIP = """import numpy as np

def forward(params, X, y):
    H = np.tanh(X @ params["W1"] + params["b1"]) + X
    return np.mean((H @ params["W2"] - y) ** 2)

def backward(params, X, y):
    T = np.tanh(X @ params["W1"] + params["b1"])
    d = 2 * ((T + X) @ params["W2"] - y) / y.size
    dT = d @ params["W2"].T * (1 - T ** 2)
    return {"W1": X.T @ dT, "b1": dT.sum(0), "W2": (T + X).T @ d}
"""


def by_hand():
    plain = Net("3-4-1", "tanh sigmoid", "bce", seed=3)
    params, X, y = plain.numbers()
    columns = Net("3-4-2", "sigmoid sigmoid", "half_mean", io=False).numbers()
    nested = {
        "weights": [columns[0]["W1"], columns[0]["W2"]],
        "biases": [columns[0]["b1"], columns[0]["b2"]],
    }
    yield Case("right: one sample after another, nested lists", LOOP, nested, *columns[1:])
    yield Case(
        "right: the targets are flat", FLAT_TARGETS, list(params.values()), X, y[:, 0].astype(int)
    )
    params, X, _ = Net("3-2-3", "tanh linear", "half_mean").numbers()
    yield Case("right: autoencoder, no y", AUTOENCODER, params, X, None)
    params, X, y = Net("3-3-2", "tanh linear", "mse").numbers()
    del params["b2"]
    yield Case("right: a skip connection", SKIP, params, X, y)
    penalised = Net("3-4-1", "tanh sigmoid", "bce", l2="half")
    text = penalised.source().replace("return cost", "return cost + 0.15 * np.sum(b1 ** 2)")
    text = text.replace("db1 = dz1.sum(axis=0)", "db1 = dz1.sum(axis=0) + 0.3 * b1")
    assert text.count("b1 ** 2") == text.count("0.3 * b1") == 1
    yield Case("right: a penalty on b1 in cost and gradient", text, *penalised.numbers())


CASES = [*GRID, *MORE, *TRAPS, *by_hand()]
