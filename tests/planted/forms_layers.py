"""Forms whose layers are no plain ones: masks, normalization, shortcuts, own activations."""

from .case import everywhere
from .form import Form

DROPOUT = Form(
    "a dropout mask that is seeded, inverted",
    """
import numpy as np

rng = np.random.default_rng(31)
X, y = rng.normal(size=(10, 4)), rng.normal(size=(10, 2))
params = {"W1": rng.normal(0, 0.5, (4, 8)), "b1": rng.normal(0, 0.2, 8),
          "W2": rng.normal(0, 0.5, (8, 2)), "b2": np.zeros(2)}
keep = 0.7

def mask_of(shape):
    return (np.random.default_rng(123).random(shape) < keep) / keep

def forward(p, X, y):
    h = np.tanh(X @ p["W1"] + p["b1"])
    h = h * mask_of(h.shape)
    return 0.5 * np.mean(np.sum((h @ p["W2"] + p["b2"] - y) ** 2, axis=1))

def backward(p, X, y):
    n = len(X)
    h = np.tanh(X @ p["W1"] + p["b1"])
    mask = mask_of(h.shape)
    hd = h * mask
    dout = (hd @ p["W2"] + p["b2"] - y) / n
    dhd = dout @ p["W2"].T
    dh = dhd * mask
    dz = dh * (1 - h ** 2)
    return {"W1": X.T @ dz, "b1": dz.sum(0), "W2": hd.T @ dout, "b2": dout.sum(0)}
""",
    [
        ("the mask forgotten", "dh = dhd * mask -> dh = dhd",
         "mask_missing@1 | derivative_missing@1"),
        ("the scale forgotten", "dh = dhd * mask -> dh = dhd * (mask > 0)", "factor@1"),
        ("the input without its mask", "hd.T @ dout -> h.T @ dout", "wrong_input@2"),
        ("tanh' behind the mask", "(1 - h ** 2) -> (1 - hd ** 2)", "derivative_at_activation@1"
         " | derivative_formula@1"),
    ],
)  # fmt: skip
BATCH_NORM = Form(
    "batch normalization between the layers",
    """
import numpy as np

rng = np.random.default_rng(15)
X, y = rng.normal(size=(12, 3)), rng.normal(size=(12, 1))
params = {"W1": rng.normal(size=(3, 5)), "gamma": rng.normal(1, 0.2, 5),
          "beta": rng.normal(0, 0.2, 5), "W2": rng.normal(size=(5, 1)), "b2": np.zeros(1)}

def normalise(z, eps=1e-5):
    mu, var = z.mean(axis=0), z.var(axis=0)
    return (z - mu) / np.sqrt(var + eps), np.sqrt(var + eps)

def forward(params, X, y):
    zhat, _ = normalise(X @ params["W1"])
    h = np.tanh(params["gamma"] * zhat + params["beta"])
    return np.mean((h @ params["W2"] + params["b2"] - y) ** 2)

def backward(params, X, y):
    N = X.shape[0]
    zhat, std = normalise(X @ params["W1"])
    h = np.tanh(params["gamma"] * zhat + params["beta"])
    dout = 2 * (h @ params["W2"] + params["b2"] - y) / N
    dW2 = h.T @ dout
    db2 = dout.sum(axis=0)
    du = (dout @ params["W2"].T) * (1 - h ** 2)
    dgamma = np.sum(du * zhat, axis=0)
    dbeta = np.sum(du, axis=0)
    dzhat = du * params["gamma"]
    dz = (N * dzhat - dzhat.sum(axis=0) - zhat * np.sum(dzhat * zhat, axis=0)) / (N * std)
    dW1 = X.T @ dz
    return {"W1": dW1, "gamma": dgamma, "beta": dbeta, "W2": dW2, "b2": db2}
""",
    [
        ("mean and deviation as constants", "dz = (N * dzhat - dzhat.sum(axis=0) - zhat * "
         "np.sum(dzhat * zhat, axis=0)) / (N * std) -> dz = dzhat / std",
         "derivative_missing@1 | derivative_formula@1"),
        ("gamma forgotten", 'dzhat = du * params["gamma"] -> dzhat = du',
         "layer_skipped@1 | derivative_missing@1 | wrong_weights@1"),
        ("dgamma without zhat", "dgamma = np.sum(du * zhat, axis=0) -> dgamma = np.sum(du, axis=0)",
         "wrong_input@1 | swapped | swapped@1"),
        ("dbeta averaged", "dbeta = np.sum(du, axis=0) -> dbeta = np.mean(du, axis=0)",
         "extra_mean@1"),
        ("the 2 forgotten", "dout = 2 * (h @ -> dout = (h @", everywhere("factor", 2)),
    ],
)  # fmt: skip
LAYER_NORM = Form(
    "layer normalization of the hidden units",
    """
import numpy as np

rng = np.random.default_rng(16)
X, y = rng.normal(size=(9, 4)), rng.normal(size=(9, 2))
params = {"W1": rng.normal(size=(4, 6)), "b1": rng.normal(size=6),
          "W2": rng.normal(size=(6, 2)), "b2": rng.normal(size=2)}

def layer_norm(z):
    mu = z.mean(axis=1, keepdims=True)
    s = np.sqrt(((z - mu) ** 2).mean(axis=1, keepdims=True) + 1e-5)
    return (z - mu) / s, s

def forward(params, X, y):
    n, _ = layer_norm(X @ params["W1"] + params["b1"])
    h = np.maximum(n, 0)
    return np.sum((h @ params["W2"] + params["b2"] - y) ** 2) / len(X)

def backward(params, X, y):
    n, s = layer_norm(X @ params["W1"] + params["b1"])
    h = np.maximum(n, 0)
    dout = 2 * (h @ params["W2"] + params["b2"] - y) / len(X)
    dn = (dout @ params["W2"].T) * (n > 0)
    dz = (dn - dn.mean(axis=1, keepdims=True) - n * (dn * n).mean(axis=1, keepdims=True)) / s
    return {"W1": X.T @ dz, "b1": dz.sum(axis=0), "W2": h.T @ dout, "b2": dout.sum(axis=0)}
""",
    [
        ("over the samples", "dn - dn.mean(axis=1, keepdims=True) -> "
         "dn - dn.mean(axis=0, keepdims=True)", "wrong_axis@1 | derivative_formula@1"),
        ("only divided", "dz = (dn - dn.mean(axis=1, keepdims=True) - n * "
         "(dn * n).mean(axis=1, keepdims=True)) / s -> dz = dn / s",
         "derivative_missing@1 | derivative_formula@1"),
        ("relu' forgotten", "(dout @ params[\"W2\"].T) * (n > 0) -> dout @ params[\"W2\"].T",
         "derivative_missing@1"),
        ("dW2 from z", '"W2": h.T @ dout -> "W2": n.T @ dout', "wrong_input@2"),
    ],
)  # fmt: skip
SOFTMAX_HIDDEN = Form(
    "a softmax in the hidden layer, a linear layer behind",
    """
import numpy as np

rng = np.random.default_rng(17)
X, y = rng.normal(size=(7, 3)), rng.normal(size=(7, 2))
params = [rng.normal(size=(3, 4)), rng.normal(size=4), rng.normal(size=(4, 3)), rng.normal(size=3),
          rng.normal(size=(3, 2)), rng.normal(size=2)]

def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)

def forward(params, X, y):
    W1, b1, W2, b2, W3, b3 = params
    s = softmax(X @ W1 + b1)
    lin = s @ W2 + b2
    return np.mean(np.sum((lin @ W3 + b3 - y) ** 2, axis=1)) / 2

def backward(params, X, y):
    W1, b1, W2, b2, W3, b3 = params
    s = softmax(X @ W1 + b1)
    lin = s @ W2 + b2
    d3 = (lin @ W3 + b3 - y) / len(X)
    d2 = d3 @ W3.T
    ds = d2 @ W2.T
    d1 = s * (ds - np.sum(ds * s, axis=1, keepdims=True))
    return [X.T @ d1, d1.sum(0), s.T @ d2, d2.sum(0), lin.T @ d3, d3.sum(0)]
""",
    [
        ("only the diagonal of softmax'", "d1 = s * (ds - np.sum(ds * s, axis=1, keepdims=True))"
         " -> d1 = ds * s * (1 - s)", "derivative_formula@1"),
        ("summed over the samples", "np.sum(ds * s, axis=1, keepdims=True) -> "
         "np.sum(ds * s, axis=0, keepdims=True)", "wrong_axis@1 | derivative_formula@1"),
        ("a derivative for the linear layer", "d2 = d3 @ W3.T -> d2 = d3 @ W3.T * (1 - lin ** 2)",
         "derivative_formula@2 | derivative_extra@2"),
        ("an error over another layer", "ds = d2 @ W2.T -> ds = d3 @ W3.T @ W2.T * 0.5",
         "factor@1"),
    ],
)  # fmt: skip
SHORTCUT = Form(
    "a shortcut around a layer",
    """
import numpy as np

rng = np.random.default_rng(18)
X, y = rng.normal(size=(8, 4)), (rng.random((8, 1)) > 0.5).astype(float)
params = {"W1": rng.normal(0, 0.5, (4, 5)), "b1": rng.normal(0, 0.2, 5),
          "W2": rng.normal(0, 0.5, (5, 5)), "b2": rng.normal(0, 0.2, 5),
          "W3": rng.normal(0, 0.5, (5, 1)), "b3": rng.normal(0, 0.2, 1)}

def sigmoid(z):
    return 1 / (1 + np.exp(-z))

def forward(p, X, y):
    h1 = np.tanh(X @ p["W1"] + p["b1"])
    h2 = np.tanh(h1 @ p["W2"] + p["b2"]) + h1
    out = sigmoid(h2 @ p["W3"] + p["b3"])
    return -np.mean(y * np.log(out) + (1 - y) * np.log(1 - out))

def backward(p, X, y):
    h1 = np.tanh(X @ p["W1"] + p["b1"])
    t2 = np.tanh(h1 @ p["W2"] + p["b2"])
    h2 = t2 + h1
    out = sigmoid(h2 @ p["W3"] + p["b3"])
    d3 = (out - y) / len(y)
    dh2 = d3 @ p["W3"].T
    d2 = dh2 * (1 - t2 ** 2)
    dh1 = d2 @ p["W2"].T + dh2
    d1 = dh1 * (1 - h1 ** 2)
    return {"W1": X.T @ d1, "b1": d1.sum(0), "W2": h1.T @ d2, "b2": d2.sum(0),
            "W3": h2.T @ d3, "b3": d3.sum(0)}
""",
    [
        ("the shortcut forgotten", 'd2 @ p["W2"].T + dh2 -> d2 @ p["W2"].T',
         "path_missing@1"),
        ("f' of the sum", "(1 - t2 ** 2) -> (1 - h2 ** 2)",
         "derivative_formula@2 | derivative_at_activation@2 | derivative_wrong_layer@2"),
        ("the other input", '"W3": h2.T @ d3 -> "W3": t2.T @ d3', "wrong_input@3"),
        ("f' forgotten", "d1 = dh1 * (1 - h1 ** 2) -> d1 = dh1", "derivative_missing@1"),
    ],
)  # fmt: skip
OWN = """
import numpy as np

rng = np.random.default_rng(19)
X, y = rng.normal(size=(10, 3)), rng.normal(size=(10, 1))
params = {"W1": rng.normal(size=(3, 6)), "b1": rng.normal(0, 0.3, 6),
          "W2": rng.normal(0, 0.5, (6, 4)), "b2": rng.normal(0, 0.3, 4),
          "W3": rng.normal(0, 0.5, (4, 1)), "b3": rng.normal(0, 0.3, 1)}

def act(z):
    return VALUE

def act_prime(z):
    return SLOPE

def forward(params, X, y):
    a1 = act(X @ params["W1"] + params["b1"])
    a2 = act(a1 @ params["W2"] + params["b2"])
    return np.mean((a2 @ params["W3"] + params["b3"] - y) ** 2)

def backward(params, X, y):
    z1 = X @ params["W1"] + params["b1"]
    a1 = act(z1)
    z2 = a1 @ params["W2"] + params["b2"]
    a2 = act(z2)
    delta3 = 2 * (a2 @ params["W3"] + params["b3"] - y) / len(X)
    delta2 = (delta3 @ params["W3"].T) * act_prime(z2)
    delta1 = (delta2 @ params["W2"].T) * act_prime(z1)
    return {"W1": X.T @ delta1, "b1": np.sum(delta1, axis=0), "W2": a1.T @ delta2,
            "b2": np.sum(delta2, axis=0), "W3": a2.T @ delta3, "b3": np.sum(delta3, axis=0)}
"""
OF_OWN = [
    ("f' at a", "act_prime(z1) -> act_prime(a1)", "derivative_at_activation@1"),
    ("f' forgotten", "(delta3 @ params[\"W3\"].T) * act_prime(z2) -> delta3 @ params[\"W3\"].T",
     "derivative_missing@2"),
    ("b2 not summed", '"b2": np.sum(delta2, axis=0) -> "b2": delta2', "not_summed@2"),
    ("W2 turned over", "delta2 @ params[\"W2\"].T -> delta2 @ params[\"W2\"].reshape(4, 6)",
     "wrong_weights@1 | wrong_order@1"),
]  # fmt: skip
ACTIVATIONS = [
    ("swish", "z / (1 + np.exp(-z))", "1 / (1 + np.exp(-z)) * (1 + z * (1 - 1 / (1 + np.exp(-z))))",
     ("swish' as sigmoid", "return 1 / (1 + np.exp(-z)) * (1 + z * (1 - 1 / (1 + np.exp(-z)))) -> "
      "return 1 / (1 + np.exp(-z))")),
    ("elu", "np.where(z > 0, z, np.exp(z) - 1)", "np.where(z > 0, 1.0, np.exp(z))",
     ("elu' as relu'", "np.where(z > 0, 1.0, np.exp(z)) -> np.where(z > 0, 1.0, 0.0)")),
    ("softsign", "z / (1 + np.abs(z))", "1 / (1 + np.abs(z)) ** 2",
     ("no square", "return 1 / (1 + np.abs(z)) ** 2 -> return 1 / (1 + np.abs(z))")),
    ("sine", "np.sin(z)", "np.cos(z)", ("a sign", "return np.cos(z) -> return -np.cos(z)")),
]  # fmt: skip


def own(name, value, slope, change):
    """The form of an own activation."""
    what, edit = change
    truth = "derivative_formula@1 derivative_formula@2 | derivative_formula@2 | derivative_formula"
    if name == "sine":
        truth += " | sign@2 | sign@1 sign@2"
    source = OWN.replace("VALUE", value).replace("SLOPE", slope)
    return Form(f"own activation: {name}", source, [*OF_OWN, (what, edit, truth)])


FORMS = [DROPOUT, BATCH_NORM, LAYER_NORM, SOFTMAX_HIDDEN, SHORTCUT]
FORMS += [own(*row) for row in ACTIVATIONS]
