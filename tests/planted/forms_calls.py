"""Forms that bring something else than a cost and a dict of gradients: predictions, tuples."""

from .case import everywhere
from .form import Form

NET = """
import numpy as np

rng = np.random.default_rng(51)
X = rng.normal(size=(16, 3))
y = rng.normal(size=(16, 1))
W1, b1 = rng.normal(0, 0.6, (3, 5)), np.full((1, 5), 0.1)
W2, b2 = rng.normal(0, 0.6, (5, 1)), np.full((1, 1), -0.1)

def sigmoid(z):
    return 1 / (1 + np.exp(-z))
"""
PREDICTIONS = Form(
    "forward returns predictions, params one by one, gradients as a tuple",
    NET
    + """
def forward(X, W1, b1, W2, b2):
    z1 = X @ W1 + b1
    a1 = sigmoid(z1)
    z2 = a1 @ W2 + b2
    return z1, a1, z2

def backward(X, y, W1, b1, W2, b2):
    z1, a1, z2 = forward(X, W1, b1, W2, b2)
    m = y.shape[0]
    dz2 = 2 * (z2 - y) / m
    dW2 = a1.T @ dz2
    db2 = np.sum(dz2, axis=0, keepdims=True)
    da1 = dz2 @ W2.T
    dz1 = da1 * a1 * (1 - a1)
    dW1 = X.T @ dz1
    db1 = np.sum(dz1, axis=0, keepdims=True)
    return dW1, db1, dW2, db2
""",
    [
        ("f' forgotten", "dz1 = da1 * a1 * (1 - a1) -> dz1 = da1", "derivative_missing@1"),
        ("f' at z", "da1 * a1 * (1 - a1) -> da1 * z1 * (1 - z1)", "derivative_formula@1"),
        ("the order of the tuple", "return dW1, db1, dW2, db2 -> return dW2, db2, dW1, db1",
         "swapped | swapped@1 swapped@2 | reversed"),
        ("one sum forgotten", "db1 = np.sum(dz1, axis=0, keepdims=True) -> db1 = dz1",
         "not_summed@1"),
    ],
    call='check_gradients(forward, backward, [W1, b1, W2, b2], X, y, loss="mse")',
    by_hand="""
params, passed = [W1, b1, W2, b2], (forward, backward)
forward = lambda params, X, y: np.mean((passed[0](X, *params)[2] - y) ** 2)
def backward(params, X, y):
    global forward
    kept, forward = forward, passed[0]
    found = passed[1](X, y, *params)
    forward = kept
    return found
""",
)  # fmt: skip
KEYS = Form(
    "gradients with keys such as dJdW1, a cost apart",
    NET
    + """
def forward(params, X, y):
    a1 = sigmoid(X @ params["W1"] + params["b1"])
    return np.sum((a1 @ params["W2"] + params["b2"] - y) ** 2) / (2 * len(X))

def backward(params, X, y):
    a1 = sigmoid(X @ params["W1"] + params["b1"])
    error = (a1 @ params["W2"] + params["b2"] - y) / len(X)
    delta1 = error @ params["W2"].T * a1 * (1 - a1)
    return {"dJdW1": X.T @ delta1, "dJdb1": delta1.sum(axis=0, keepdims=True),
            "dJdW2": a1.T @ error, "dJdb2": error.sum(axis=0, keepdims=True)}

params = {"W1": W1, "b1": b1, "W2": W2, "b2": b2}
""",
    [
        ("the mean forgotten", "- y) / len(X)\n    delta1 -> - y)\ndelta1",
         everywhere("missing_mean", 2)),
        ("a (1 + a)", "a1 * (1 - a1) -> a1 * (1 + a1)", "derivative_formula@1"),
        ("dW2 from X", '"dJdW2": a1.T @ error -> "dJdW2": sigmoid(a1).T @ error',
         "wrong_input@2"),
    ],
    call="check_gradients(forward, backward, params=params, X=X, y=y)",
    by_hand="""
named = backward
backward = lambda params, X, y: {name: named(params, X, y)[f"dJd{name}"] for name in params}
""",
)  # fmt: skip
LISTS = Form(
    "gradients as ([dW], [db]), weights and biases in two lists",
    """
import numpy as np

rng = np.random.default_rng(52)
X, Y = rng.normal(size=(3, 9)), (rng.random((2, 9)) > 0.5).astype(float)
W = [rng.normal(size=(4, 3)), rng.normal(size=(2, 4))]
b = [rng.normal(size=(4, 1)), rng.normal(size=(2, 1))]

def sigma(z):
    return 1 / (1 + np.exp(-z))

def cost(params, X, Y):
    W, b = params
    a = X
    for w, c in zip(W, b):
        a = sigma(w @ a + c)
    return np.sum((a - Y) ** 2) / 2

def gradients(params, X, Y):
    W, b = params
    a = [X]
    for w, c in zip(W, b):
        a.append(sigma(w @ a[-1] + c))
    dW, db = [None] * 2, [None] * 2
    d = (a[-1] - Y) * a[-1] * (1 - a[-1])
    for l in (1, 0):
        dW[l] = d @ a[l].T
        db[l] = d.sum(axis=1, keepdims=True)
        d = (W[l].T @ d) * a[l] * (1 - a[l])
    return dW, db
""",
    [
        ("the error before f' is sent", "d = (W[l].T @ d) * a[l] * (1 - a[l]) -> "
         "d = W[l].T @ d * a[l] * (1 + a[l])", "derivative_formula@1"),
        ("f' forgotten", "d = (a[-1] - Y) * a[-1] * (1 - a[-1]) -> d = a[-1] - Y",
         "other_loss@2 | derivative_missing@2"),
        ("means of the biases", "d.sum(axis=1 -> d.mean(axis=1",
         "extra_mean@1 extra_mean@2 | extra_mean"),
        ("elementwise", "d = (W[l].T @ d) * a[l] * (1 - a[l]) -> "
         "d = (W[l].T @ d) @ (a[l] * (1 - a[l])).T @ a[l]",
         "matmul_for_elementwise@1"),
    ],
    call="check_gradients(cost, gradients, (W, b), X, Y)",
    by_hand="params, y, forward, backward = (W, b), Y, cost, gradients",
)  # fmt: skip
UPDATES = Form(
    "updates written into params, nothing returned",
    NET
    + """
lr = 0.1
params = {"W1": W1, "b1": b1, "W2": W2, "b2": b2}

def forward(params, X, y):
    a1 = sigmoid(X @ params["W1"] + params["b1"])
    return np.mean((a1 @ params["W2"] + params["b2"] - y) ** 2)

def train_step(params, X, y):
    a1 = sigmoid(X @ params["W1"] + params["b1"])
    d2 = 2 * (a1 @ params["W2"] + params["b2"] - y) / len(X)
    d1 = (d2 @ params["W2"].T) * a1 * (1 - a1)
    params["W2"] -= lr * (a1.T @ d2)
    params["b2"] -= lr * d2.sum(axis=0, keepdims=True)
    params["W1"] -= lr * (X.T @ d1)
    params["b1"] -= lr * d1.sum(axis=0, keepdims=True)
""",
    [
        ("updated first", ['\n    params["W2"] -= lr * (a1.T @ d2) -> ',
         '- y) / len(X)\n -> - y) / len(X)\nparams["W2"] -= lr * (a1.T @ d2)\n'],
         "updated_weights@1", (), ('d1 = (d2 @ params["W2"].T) * a1',)),
        ("added", 'params["W1"] -= lr -> params["W1"] += lr', "sign@1"),
        ("without the rate", 'params["b2"] -= lr * d2 -> params["b2"] -= d2', "factor@2"),
        ("f' forgotten", 'd1 = (d2 @ params["W2"].T) * a1 * (1 - a1) -> '
         'd1 = d2 @ params["W2"].T', "derivative_missing@1"),
    ],
    call="check_gradients(forward, train_step, params, X, y, rate=0.1)",
    by_hand="""
def backward(params, X, y):
    moved = {name: value.copy() for name, value in params.items()}
    train_step(moved, X, y)
    return {name: (params[name] - moved[name]) / lr for name in params}
""",
)  # fmt: skip
OBJECT_ARRAYS = Form(
    "a dict for each layer in an object array, None and a rate beside the arrays",
    """
import numpy as np

rng = np.random.default_rng(53)
X, Y = rng.normal(size=(3, 8)), rng.normal(size=(1, 8))
params = {"weights": np.empty(3, dtype=object), "bias": [None, rng.normal(size=(4, 1)),
          rng.normal(size=(1, 1))], "rate": 0.05, "act": "tanh"}
params["weights"][1] = rng.normal(size=(4, 3))
params["weights"][2] = rng.normal(size=(1, 4))

def forward(p, X, Y):
    h = np.tanh(p["weights"][1] @ X + p["bias"][1])
    return np.mean((p["weights"][2] @ h + p["bias"][2] - Y) ** 2)

def backward(p, X, Y):
    h = np.tanh(p["weights"][1] @ X + p["bias"][1])
    dw, db = np.empty(3, dtype=object), [None] * 3
    dz2 = 2 * (p["weights"][2] @ h + p["bias"][2] - Y) / X.shape[1]
    dw[2] = dz2 @ h.T
    db[2] = dz2.sum(axis=1, keepdims=True)
    dz1 = p["weights"][2].T @ dz2 * (1 - h ** 2)
    dw[1] = dz1 @ X.T
    db[1] = dz1.sum(axis=1, keepdims=True)
    return {"weights": dw, "bias": db}
""",
    [
        ("f' forgotten", "dz1 = p[\"weights\"][2].T @ dz2 * (1 - h ** 2) -> "
         "dz1 = p[\"weights\"][2].T @ dz2", "derivative_missing@1"),
        ("the 2 forgotten", "dz2 = 2 * ( -> dz2 = (", everywhere("factor", 2)),
        ("transposed", "dw[1] = dz1 @ X.T -> dw[1] = X @ dz1.T", "transposed@1 | wrong_order@1"),
    ],
    call="check_gradients(forward, backward, params, X, Y)",
    by_hand="""
shaped = forward, backward
params, y = [params["weights"][1], params["bias"][1], params["weights"][2], params["bias"][2]], Y
form = lambda p: {"weights": [None, p[0], p[2]], "bias": [None, p[1], p[3]]}
forward = lambda p, X, Y: shaped[0](form(p), X, Y)
def backward(p, X, Y):
    found = shaped[1](form(p), X, Y)
    return [found["weights"][1], found["bias"][1], found["weights"][2], found["bias"][2]]
""",
)  # fmt: skip
FORMS = [PREDICTIONS, KEYS, LISTS, UPDATES, OBJECT_ARRAYS]
