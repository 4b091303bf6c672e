"""What cannot be identified: there only what is true of single arrays may be said."""

from .case import Case, edited, everywhere
from .net import STYLES, Net

START = "import numpy as np\n"
PRODUCT = (
    START
    + """
def forward(params, X, y):
    u = np.tanh(X @ params["W1"] + params["b1"])
    h = u[:, :2] * u[:, 2:]
    return np.mean((h @ params["W2"] - y) ** 2)

def backward(params, X, y):
    u = np.tanh(X @ params["W1"] + params["b1"])
    h = u[:, :2] * u[:, 2:]
    d2 = 2 * (h @ params["W2"] - y) / y.size
    dh = d2 @ params["W2"].T
    du = np.hstack([dh * u[:, 2:], dh * u[:, :2]])
    d1 = du * (1 - u ** 2)
    dW1 = X.T @ d1
    db1 = d1.sum(axis=0)
    dW2 = h.T @ d2
    return {"W1": dW1, "b1": db1, "W2": dW2}
"""
)
SKIP = (
    START
    + """
def forward(params, X, y):
    u = np.tanh(params["W1"] @ X + params["b1"])
    z = params["W2"] @ u + params["W3"] @ X
    return 0.5 * np.sum((z - y) ** 2)

def backward(params, X, y):
    u = np.tanh(params["W1"] @ X + params["b1"])
    d2 = params["W2"] @ u + params["W3"] @ X - y
    d1 = (params["W2"].T @ d2) * (1 - u ** 2)
    dW1 = d1 @ X.T
    db1 = d1.sum(axis=1, keepdims=True)
    dW2 = d2 @ u.T
    dW3 = d2 @ X.T
    return {"W1": dW1, "b1": db1, "W2": dW2, "W3": dW3}
"""
)
MAX_POOL = (
    START
    + """
def forward(params, X, y):
    u = (X @ params["W1"] + params["b1"]).reshape(len(X), 2, 2)
    return np.mean((u.max(axis=2) @ params["W2"] - y) ** 2)

def backward(params, X, y):
    u = (X @ params["W1"] + params["b1"]).reshape(len(X), 2, 2)
    h = u.max(axis=2)
    d2 = 2 * (h @ params["W2"] - y) / y.size
    taken = u == h[:, :, None]
    d1 = ((d2 @ params["W2"].T)[:, :, None] * taken).reshape(len(X), 4)
    dW1 = X.T @ d1
    db1 = d1.sum(axis=0)
    dW2 = h.T @ d2
    return {"W1": dW1, "b1": db1, "W2": dW2}
"""
)
LOG_COSH_SINE = (
    START
    + """
def forward(params, X, y):
    W1, b1, W2, b2 = params
    return np.sum(np.log(np.cosh(np.sin(X @ W1 + b1) @ W2 + b2 - y)))

def backward(params, X, y):
    W1, b1, W2, b2 = params
    z1 = X @ W1 + b1
    d2 = np.tanh(np.sin(z1) @ W2 + b2 - y)
    d1 = d2 @ W2.T * np.cos(z1)
    dW1 = X.T @ d1
    db1 = d1.sum(axis=0)
    dW2 = np.sin(z1).T @ d2
    db2 = d2.sum(axis=0)
    return [dW1, db1, dW2, db2]
"""
)
TIED = (
    START
    + """
def forward(params, X):
    W, = params
    return 0.5 * np.sum((np.tanh(X @ W) @ W.T - X) ** 2)

def backward(params, X):
    W, = params
    h = np.tanh(X @ W)
    d = h @ W.T - X
    dW = d.T @ h + X.T @ (d @ W * (1 - h ** 2))
    return [dW]
"""
)
STANDARDISED = (
    START
    + """
def forward(params, X, y):
    z = X @ params["W1"]
    h = np.tanh((z - z.mean(axis=0)) / z.std(axis=0))
    return 0.5 * np.mean((h @ params["W2"] - y) ** 2)

def backward(params, X, y):
    z = X @ params["W1"]
    s = z.std(axis=0)
    zhat = (z - z.mean(axis=0)) / s
    h = np.tanh(zhat)
    d2 = (h @ params["W2"] - y) / y.size
    d = d2 @ params["W2"].T * (1 - h ** 2)
    d1 = (d - d.mean(axis=0) - zhat * (d * zhat).mean(axis=0)) / s
    dW1 = X.T @ d1
    dW2 = h.T @ d2
    return {"W1": dW1, "W2": dW2}
"""
)


def only(params, *names):
    return {name: params[name] for name in names}


def cases():
    params, X, y = Net("3-4-2", "tanh linear", "mse", seed=1).numbers()
    pooled = {**only(params, "W1", "b1"), "W2": params["W2"][:2]}
    columns, Xc, yc = Net("3-4-2", "tanh linear", "half", **STYLES["columns"]).numbers()
    crossed = {**only(columns, "W1", "b1", "W2"), "W3": 0.5 * columns["W2"][:, :3]}
    twice = "factor@1 | accumulated@1"
    networks = {
        "a product of units": (PRODUCT, pooled, X, y),
        "a skip connection": (SKIP, crossed, Xc, yc),
        "a max pool": (MAX_POOL, pooled, X, y),
        "log cosh and a sine": (LOG_COSH_SINE, list(params.values()), X, y),
        "tied weights": (TIED, [params["W1"]], X, None),
        "units standardised over the batch": (STANDARDISED, only(params, "W1", "W2"), X, y),
    }
    for what, edits, truth in [
        ("a product of units", ["dW1 = 2 * ({})"], twice),
        ("a product of units", ["du = np.hstack([dh, dh])"], ""),
        ("a skip connection", ["dW3 = ({}).T"], "transposed@3 | wrong_order@3"),
        ("a skip connection", ["d1 = d2[:1] * (1 - u ** 2)"], ""),
        ("a skip connection", ["db1 = d1"], "not_summed@1"),
        ("a max pool", ["taken = np.ones(u.shape)"], ""),
        ("a max pool", ["dW2 = -({})"], "sign@2"),
        ("log cosh and a sine", ["d2 = -({})"], everywhere("sign", 2)),
        ("log cosh and a sine", ["d1 = d2 @ W2.T"], "derivative_missing@1"),
        ("log cosh and a sine", ["dW1 = np.zeros_like(W1)", "dW2 = 3 * ({})"], "zero@1 factor@2"),
        ("tied weights", ["dW = d.T @ h"], "shared_missing@2"),
        ("tied weights", ["dW = 0.5 * ({})"], "factor@1 | factor"),
        ("units standardised over the batch", ["d1 = d / s"], "derivative_missing@1"),
    ]:
        source, *data = networks[what]
        name = f"odd: {what}; {' and '.join(edits)}"
        yield Case(name, edited(source, edits), *data, truth, odd=True)
    for what, (source, *data) in networks.items():
        yield Case(f"odd but right: {what}", source, *data)
    yield from ordinary()


def ordinary():
    """Networks as everybody's, with a gradient that no known mistake makes."""
    noise = "dW1 = np.random.default_rng(0).normal(size=W1.shape)"
    for style, edits, truth in [
        ("rows", [noise], ""),
        ("columns", [noise, "db2 = -({})"], "sign@2"),
        ("columns", ["dW2 = {} + 0.01"], ""),
        ("rows", ["db1 = dz1[0]"], "not_summed@1"),
        ("rows", ["dW2 = ({}) * np.arange(1, 5)[:, None]"], ""),
        ("rows, (out, in), list", ["dz1 = np.sqrt(np.abs({}))"], ""),
        ("columns", ["da1 = np.cos({})"], ""),
        ("rows", ["dW1 = np.full(W1.shape, np.nan)"], ""),
    ]:
        net = Net("3-4-2", "tanh sigmoid", "bce", **STYLES[style])
        yield net.case(f"odd: {' and '.join(edits)}; {style}", edits, truth, odd=True)
    decay = Net("3-4-1", "tanh sigmoid", "bce", **STYLES["columns"])
    truth, edits = "regularisation_factor@1 | regularisation_factor", ["dW1 = {} + 0.1 * W1"]
    yield decay.case("odd: a penalty that the cost has not", edits, truth, odd=True)
    noisy = Net("3-4-1", "tanh sigmoid", "bce")
    source = noisy.source().replace(
        "\n\ndef sigmoid", "\nrng = np.random.default_rng(0)\n\ndef sigmoid"
    )
    source = source.replace("a1 = tanh(z1)", "a1 = tanh(z1) * (rng.random(z1.shape) < 0.5) * 2")
    yield Case("odd: dropout, other units each call", source, *noisy.numbers(), "state", odd=True)
    words = noisy.source()
    words = words.replace("-np.sum(y * np.log(a2)", "-np.sum(2 * y * np.log(a2)")
    name = "odd: one class counts twice, the error does not know"
    yield Case(name, words, *noisy.numbers(), "other_loss@2", odd=True)


CASES = list(cases())
