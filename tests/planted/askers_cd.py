"""The other two askers: digits (here 36-8-10, and 36-10-10), and 1-3-1 for the sign of x."""

import re

import numpy as np

from .askers_ab import SIGMOID
from .case import Case, edited, elementwise, everywhere

# -- C: how to get past the output layer; weights (out, in), uniform in [-1, 1] -------------------
C_ROWS = (
    SIGMOID
    + """
def forward(params, X, y):
    h = sigmoid(X @ params["w_hidden"].T + params["b_hidden"])
    o = sigmoid(h @ params["w_out"].T + params["b_out"])
    return np.sum((o - y) ** 2)

def backward(params, X, y):
    w_out = params["w_out"]
    z_hidden = X @ params["w_hidden"].T + params["b_hidden"]
    h = sigmoid(z_hidden)
    z_out = h @ w_out.T + params["b_out"]
    o = sigmoid(z_out)
    d_out = 2 * (o - y) * sigmoid_prime(z_out)
    d_hidden = (d_out @ w_out) * sigmoid_prime(z_hidden)
    dw_out = d_out.T @ h
    db_out = d_out.sum(axis=0)
    dw_hidden = d_hidden.T @ X
    db_hidden = d_hidden.sum(axis=0)
    return {"w_hidden": dw_hidden, "b_hidden": db_hidden, "w_out": dw_out, "b_out": db_out}
"""
)
C_COLUMNS = (
    SIGMOID
    + """
def forward(params, X, y):
    h = sigmoid(params["w_hidden"] @ X + params["b_hidden"])
    o = sigmoid(params["w_out"] @ h + params["b_out"])
    return np.sum((o - y) ** 2)

def backward(params, X, y):
    w_out = params["w_out"]
    z_hidden = params["w_hidden"] @ X + params["b_hidden"]
    h = sigmoid(z_hidden)
    z_out = w_out @ h + params["b_out"]
    o = sigmoid(z_out)
    d_out = 2 * (o - y) * sigmoid_prime(z_out)
    d_hidden = (w_out.T @ d_out) * sigmoid_prime(z_hidden)
    dw_out = d_out @ h.T
    db_out = d_out.sum(axis=1, keepdims=True)
    dw_hidden = d_hidden @ X.T
    db_hidden = d_hidden.sum(axis=1, keepdims=True)
    return {"w_hidden": dw_hidden, "b_hidden": db_hidden, "w_out": dw_out, "b_out": db_out}
"""
)


def digits(rows, hidden, n):
    """Pictures of 6 x 6 pixels in [0, 1] with their one-hot labels, 0..9 in turn."""
    rng = np.random.default_rng(hidden)
    X, y = rng.random((n, 36)) * (rng.random((n, 36)) < 0.3), np.eye(10)[np.arange(n) % 10]
    params = {"w_hidden": rng.uniform(-1, 1, (hidden, 36)), "b_hidden": rng.uniform(-1, 1, hidden)}
    params |= {"w_out": rng.uniform(-1, 1, (10, hidden)), "b_out": rng.uniform(-1, 1, 10)}
    if rows:
        return params, X, y
    return {k: v if k[0] == "w" else v[:, None] for k, v in params.items()}, X.T.copy(), y.T.copy()


def cases_c():
    again = ["d_hidden = d_out * sigmoid_prime(z_hidden)"]
    at_h, either = ["d_hidden: (z_hidden) -> (h)"], "wrong_weights@1 | wrong_order@1"
    both = "zero@1 zero@2 & layer_skipped@1"
    zeros = [f'd{b} = np.zeros_like(params["{b}"])' for b in ("b_hidden", "b_out")]
    for way, source, reused, sent, turned in [
        ("rows", C_ROWS, "d_out.T @ X", "d_out @ w_out", "w_out -> w_out.T"),
        ("columns", C_COLUMNS, "d_out @ X.T", "w_out.T @ d_out", "w_out.T -> w_out"),
    ]:
        rows, reused, turned = way == "rows", [f"dw_hidden = {reused}"], [f"d_hidden: {turned}"]
        yield Case(f"C right: {way}, one picture", source, *digits(rows, 8, 1))
        yield Case(f"C right: {way}", source, *digits(rows, 8, 12))
        for what, hidden, edits, truth in [
            ("the output's error used again, 8 and 10 units", 8, again, "raised@1"),
            ("the output's error used again, 10 units each", 10, again, "layer_skipped@1"),
            ("the output's error for dW of the hidden layer", 10, reused, "layer_skipped@1"),
            ("sent back without sigmoid'", 8, [f"d_hidden = {sent}"], "derivative_missing@1"),
            ("sent back through untransposed weights, 8 and 10 units", 8, turned, "raised@1"),
            ("sent back through untransposed weights, 10 units each", 10, turned, either),
            ("sent back with sigmoid'(h)", 8, at_h, "derivative_at_activation@1"),
            ("the biases left out", 8, zeros, "zero@1 zero@2 | zero"),
            ("the biases left out, the output's error used again", 10, [*again, *zeros], both),
            ("the 2 of the square forgotten", 8, ["d_out: 2 *  -> "], everywhere("factor", 2)),
        ]:
            yield Case(f"C {what}: {way}", edited(source, edits), *digits(rows, hidden, 12), truth)


# -- D: 1-3-1 without biases; x an integer in -3..3, the target 1 for x > 0 -----------------------
D_ROWS = (
    SIGMOID
    + """
def forward(params, x, y):
    h = sigmoid(x @ params["W1"])
    o = sigmoid(h @ params["W2"])
    return np.sum((o - y) ** 2)

def backward(params, x, y):
    W1, W2 = params["W1"], params["W2"]
    z1 = x @ W1
    h = sigmoid(z1)
    z2 = h @ W2
    o = sigmoid(z2)
    delta2 = 2 * (o - y) * sigmoid_prime(z2)
    dW2 = h.T @ delta2
    delta1 = (delta2 @ W2.T) * sigmoid_prime(z1)
    dW1 = x.T @ delta1
    return {"W1": dW1, "W2": dW2}
"""
)
D_COLUMNS = (
    SIGMOID
    + """
def forward(params, x, y):
    h = sigmoid(params["W1"] @ x)
    o = sigmoid(params["W2"] @ h)
    return np.sum((o - y) ** 2)

def backward(params, x, y):
    W1, W2 = params["W1"], params["W2"]
    z1 = W1 @ x
    h = sigmoid(z1)
    z2 = W2 @ h
    o = sigmoid(z2)
    delta2 = 2 * (o - y) * sigmoid_prime(z2)
    dW2 = delta2 @ h.T
    delta1 = (W2.T @ delta2) * sigmoid_prime(z1)
    dW1 = delta1 @ x.T
    return {"W1": dW1, "W2": dW2}
"""
)
D_NEVER_RESET = (
    SIGMOID
    + """
class Net:
    z1 = 0
    z2 = 0

net = Net()

def forward(params, x, y):
    net.z1 = net.z1 + {first}
    net.h = sigmoid(net.z1)
    net.z2 = net.z2 + {second}
    net.o = sigmoid(net.z2)
    return np.sum((net.o - y) ** 2)

def backward(params, x, y):
    forward(params, x, y)
    delta2 = 2 * (net.o - y) * sigmoid_prime(net.z2)
    delta1 = ({back}) * sigmoid_prime(net.z1)
    return {{"W1": {dW1}, "W2": {dW2}}}
"""
)
D_TOTALS = """
totals = {"W1": 0, "W2": 0}

def backward(params, x, y):
    grads = backward_once(params, x, y)
    for name in totals:
        totals[name] = totals[name] + grads[name]
    return dict(totals)
"""
D_CLASSES = """import numpy as np

def softmax(z):
    e = np.exp(z - z.max(axis=UNITS, keepdims=True))
    return e / e.sum(axis=UNITS, keepdims=True)

def forward(params, x, y):
    W1, b1, W2, b2 = params
    h = np.tanh(FIRST + b1)
    p = softmax(SECOND + b2)
    return COST

def backward(params, x, y):
    W1, b1, W2, b2 = params
    n = y.shape[SAMPLES]
    h = np.tanh(FIRST + b1)
    p = softmax(SECOND + b2)
    delta2 = ERROR
    delta1 = (BACK) * (1 - h ** 2)
    return [DW1, delta1.sum(axis=SAMPLES, keepdims=True),
            DW2, delta2.sum(axis=SAMPLES, keepdims=True)]
"""
# The products of a 1-3-1 network by `rows`: forward, back, and the two gradients.
NAMES = ("first", "second", "back", "dW1", "dW2")
PARTS = {
    True: dict(zip(NAMES, ("x @ W1", "h @ W2", "delta2 @ W2.T", "x.T @ delta1", "h.T @ delta2"))),
    False: dict(zip(NAMES, ("W1 @ x", "W2 @ h", "W2.T @ delta2", "delta1 @ x.T", "delta2 @ h.T"))),
}


def signs(rows):
    x = np.array([-3.0, -2, -1, 0, 1, 2, 3])[:, None]
    rng = np.random.default_rng(4)
    params = {"W1": rng.normal(0, 1, (1, 3)), "W2": rng.normal(0, 1, (3, 1))}
    if rows:
        return params, x, (x > 0).astype(float)
    return {k: v.T.copy() for k, v in params.items()}, x.T.copy(), (x.T > 0).astype(float)


def sine_classes(rows, labels):
    """sin(x) in 21 classes: -1.0, -0.9 ... 1.0."""
    rng = np.random.default_rng(5)
    x = np.linspace(-3, 3, 11)[:, None]
    y = np.rint(10 * np.sin(x[:, 0])).astype(int) + 10
    params = [rng.normal(0, 0.7, shape) for shape in [(1, 3), (1, 3), (3, 21), (1, 21)]]
    if rows:
        return params, x, y if labels else np.eye(21)[y]
    return [p.T.copy() for p in params], x.T.copy(), y if labels else np.eye(21)[y].T.copy()


def classes_source(rows, cost, error):
    parts = {name.upper(): text for name, text in PARTS[rows].items()}
    words = {"UNITS": str(int(rows)), "SAMPLES": str(int(not rows)), "COST": cost, "ERROR": error}
    text = D_CLASSES
    for name, word in {**words, **parts}.items():
        text = text.replace(name, word)
    return text


def cases_d():
    star1, star2, wrong1 = "dW1 = x * delta1", "dW2 = h * delta2", "derivative_formula@1"
    sign1 = "delta1: sigmoid_prime(z1) -> np.exp(-z1) / (1 + np.exp(z1)) ** 2"
    sign2 = "delta2: sigmoid_prime(z2) -> np.exp(z2) / (1 + np.exp(-z2)) ** 2"
    both = f"{elementwise(2)} & {wrong1}"
    minus = "delta1: sigmoid_prime(z1) -> sigmoid(z1) * (1 - sigmoid(-z1))"
    for rows, source in [(True, D_ROWS), (False, D_COLUMNS)]:
        way, data = "rows" if rows else "columns", signs(rows)
        yield Case(f"D right: {way}", source, *data)
        for what, edits, truth in [
            ("* for the matrix product in dW2", [star2], elementwise(2)),
            ("* for the matrix product in dW1", [star1], elementwise(1)),
            ("* for both matrix products", [star2, star1], f"{elementwise(1)} & {elementwise(2)}"),
            ("one sign of the third sigmoid wrong", [sign1], wrong1),
            ("one sign of the third sigmoid wrong, at the output", [sign2], "derivative_formula@2"),
            ("a sigmoid without its minus", [minus], wrong1),
            ("* for dW2 and one sign of a sigmoid wrong", [star2, sign1], both),
        ]:
            yield Case(f"D {what}: {way}", edited(source, edits), *data, truth)
        parts = {
            name: re.sub(r"\bh\b", "net.h", re.sub(r"\b(W\d)", r'params["\1"]', text))
            for name, text in PARTS[rows].items()
        }
        never_reset = D_NEVER_RESET.format(**parts)
        yield Case(f"D activations never reset: {way}", never_reset, *data, "state")
        totals = source.replace("def backward", "def backward_once") + D_TOTALS
        yield Case(f"D gradients added to those of the last call: {way}", totals, *data, "state")
        yield from classes_d(rows, way)


def classes_d(rows, way):
    axis = int(rows)
    logs = f"-np.sum(y * np.log(p)) / y.shape[{1 - axis}]"
    square = f"0.5 * np.sum((p - y) ** 2) / y.shape[{1 - axis}]"
    jacobian = f"p * ((p - y) - ((p - y) * p).sum(axis={axis}, keepdims=True)) / n"
    pick, one = ("[np.arange(len(y)), y]", "[y]") if rows else ("[y, np.arange(len(y))]", "[:, y]")
    by_label, error_by_label = f"-np.mean(np.log(p{pick}))", f"(p - np.eye(21){one})"
    for what, cost, error, truth in [
        ("right", logs, "(p - y) / n", ""),
        ("right", square, jacobian, ""),
        ("right", by_label, f"{error_by_label} / len(y)", ""),
        ("the square's error, elementwise", logs, "(p - y) * p * (1 - p) / n", "other_loss@2"),
        ("the square's error", logs, jacobian, "other_loss@2"),
        (
            "the square's error",
            by_label,
            f"{error_by_label} * p * (1 - p) / len(y)",
            "other_loss@2",
        ),
        ("cross-entropy's error", square, "(p - y) / n", "other_loss@2 | derivative_missing@2"),
    ]:
        labels = cost is by_label
        under = "a square" if cost is square else "a cross-entropy"
        source = classes_source(rows, cost, error)
        if labels:
            source = source.replace(f"    n = y.shape[{1 - axis}]\n", "")
        targets = "labels" if labels else "classes"
        name = f"D 21 {targets}, {what} under {under}"
        yield Case(f"{name}: {way}", source, *sine_classes(rows, labels), truth)


CASES = [*cases_c(), *cases_d()]
