"""Forms of other models, not looked at while mending: sequences, words, heads, patches, losses."""

from .case import everywhere
from .form import Form


def anywhere(kind):
    """A kind of a model whose arrays have no order of layers: any number is as true."""
    return f"{kind} | {kind}@1 | {kind}@2 | {kind}@3"


RNN = Form(
    "a recurrent network over three steps, Wxh, Whh, Why, one vector each",
    """
import numpy as np

np.random.seed(81)
inputs = np.random.randn(3, 4)
targets = [2, 0, 1]
params = {"Wxh": np.random.randn(5, 4) * 0.5, "Whh": np.random.randn(5, 5) * 0.5,
          "Why": np.random.randn(3, 5) * 0.5, "bh": np.random.randn(5) * 0.1,
          "by": np.random.randn(3) * 0.1}

def steps(params, inputs):
    hs, ps = {-1: np.zeros(5)}, {}
    for t in range(len(inputs)):
        hs[t] = np.tanh(params["Wxh"] @ inputs[t] + params["Whh"] @ hs[t - 1] + params["bh"])
        e = np.exp(params["Why"] @ hs[t] + params["by"])
        ps[t] = e / np.sum(e)
    return hs, ps

def loss(params, inputs, targets):
    _, ps = steps(params, inputs)
    return sum(-np.log(ps[t][targets[t]]) for t in range(len(inputs)))

def bptt(params, inputs, targets):
    hs, ps = steps(params, inputs)
    dWxh, dWhh, dWhy = [np.zeros_like(params[k]) for k in ("Wxh", "Whh", "Why")]
    dbh, dby = np.zeros_like(params["bh"]), np.zeros_like(params["by"])
    dhnext = np.zeros_like(hs[0])
    for t in reversed(range(len(inputs))):
        dy = np.copy(ps[t])
        dy[targets[t]] -= 1
        dWhy += np.outer(dy, hs[t])
        dby += dy
        dh = params["Why"].T @ dy + dhnext
        dhraw = (1 - hs[t] * hs[t]) * dh
        dbh += dhraw
        dWxh += np.outer(dhraw, inputs[t])
        dWhh += np.outer(dhraw, hs[t - 1])
        dhnext = params["Whh"].T @ dhraw
    return {"Wxh": dWxh, "Whh": dWhh, "Why": dWhy, "bh": dbh, "by": dby}
""",
    [
        ("nothing from the next step", 'dh = params["Why"].T @ dy + dhnext -> '
         'dh = params["Why"].T @ dy', f"{anywhere('path_missing')} | {anywhere('term_missing')}"),
        ("the state of now", "np.outer(dhraw, hs[t - 1]) -> np.outer(dhraw, hs[t])",
         anywhere("wrong_input")),
        ("the slope forgotten", "dhraw = (1 - hs[t] * hs[t]) * dh -> dhraw = dh",
         anywhere("derivative_missing")),
        ("the last bias only", "dbh += dhraw -> dbh = dhraw", anywhere("not_summed")),
        ("not turned", 'dhnext = params["Whh"].T @ dhraw -> dhnext = params["Whh"] @ dhraw',
         f"{anywhere('wrong_weights')} | {anywhere('wrong_order')}"),
        ("right, in two factors", "(1 - hs[t] * hs[t]) * dh -> (1 - hs[t]) * (1 + hs[t]) * dh", ""),
    ],
    call="check_gradients(loss, bptt, params, inputs, targets)",
    by_hand="X, y, forward, backward = inputs, targets, loss, bptt",
)  # fmt: skip
WORDS = Form(
    "an embedding of context words, averaged, then a softmax over the vocabulary",
    """
import numpy as np

rng = np.random.default_rng(82)
V, N = 7, 4
contexts = np.array([[0, 1, 3], [1, 2, 1], [4, 5, 0], [6, 3, 3], [2, 6, 5]])
centers = np.array([2, 3, 6, 5, 4])
params = {"E": rng.normal(0, 0.6, (V, N)), "U": rng.normal(0, 0.6, (N, V)),
          "b": rng.normal(0, 0.1, V)}

def cbow_forward(params, contexts):
    h = params["E"][contexts].mean(axis=1)
    u = h @ params["U"] + params["b"]
    e = np.exp(u - u.max(axis=1, keepdims=True))
    return h, e / e.sum(axis=1, keepdims=True)

def cross_entropy(params, contexts, centers):
    _, yhat = cbow_forward(params, contexts)
    return -np.mean(np.log(yhat[np.arange(len(centers)), centers]))

def cbow_backward(params, contexts, centers):
    batch_size, C = contexts.shape
    h, yhat = cbow_forward(params, contexts)
    y = np.eye(V)[centers]
    du = (yhat - y) / batch_size
    grad_U = h.T @ du
    grad_b = du.sum(axis=0)
    dh = du @ params["U"].T
    grad_E = np.zeros_like(params["E"])
    for c in range(C):
        np.add.at(grad_E, contexts[:, c], dh / C)
    return {"E": grad_E, "U": grad_U, "b": grad_b}
""",
    [
        ("words that come twice are added once", "np.add.at(grad_E, contexts[:, c], dh / C) -> "
         "grad_E[contexts[:, c]] = dh / C", "not_summed@1 | not_summed"),
        ("the mean over the context forgotten", "np.add.at(grad_E, contexts[:, c], dh / C) -> "
         "np.add.at(grad_E, contexts[:, c], dh)", "factor@1 | missing_mean@1 | factor"),
        ("the mean over the batch forgotten", "du = (yhat - y) / batch_size -> du = yhat - y",
         everywhere("missing_mean", 2)),
        ("y - yhat", "du = (yhat - y) / batch_size -> du = (y - yhat) / batch_size",
         everywhere("sign", 2)),
        ("right, by one-hot rows", "np.add.at(grad_E, contexts[:, c], dh / C) -> "
         "grad_E += np.eye(V)[contexts[:, c]].T @ dh / C", ""),
    ],
    call="check_gradients(cross_entropy, cbow_backward, params, contexts, centers)",
    by_hand="X, y, forward, backward = contexts, centers, cross_entropy, cbow_backward",
)  # fmt: skip
HEADS = Form(
    "two outputs of one hidden layer: a class and a number, costs added with a weight",
    """
import numpy as np

rng = np.random.default_rng(83)
X = rng.normal(size=(10, 3))
y = np.column_stack([(X[:, 0] > 0).astype(float), X[:, 1] ** 2])
params = {"Wh": rng.normal(0, 0.7, (3, 6)), "bh": rng.normal(0, 0.2, 6),
          "Wc": rng.normal(0, 0.7, (6, 1)), "bc": np.zeros(1) + 0.1,
          "Wr": rng.normal(0, 0.7, (6, 1)), "br": np.zeros(1) - 0.2}
weight = 0.3

def forward_pass(params, X):
    h = np.tanh(X @ params["Wh"] + params["bh"])
    prob = 1 / (1 + np.exp(-(h @ params["Wc"] + params["bc"])))
    return h, prob, h @ params["Wr"] + params["br"]

def total_cost(params, X, y):
    h, prob, value = forward_pass(params, X)
    label, number = y[:, :1], y[:, 1:]
    bce = -np.mean(label * np.log(prob) + (1 - label) * np.log(1 - prob))
    return bce + weight * np.mean((value - number) ** 2)

def total_gradient(params, X, y):
    n = len(X)
    h, prob, value = forward_pass(params, X)
    dc = (prob - y[:, :1]) / n
    dr = weight * 2 * (value - y[:, 1:]) / n
    dh = dc @ params["Wc"].T + dr @ params["Wr"].T
    dz = dh * (1 - h ** 2)
    return {"Wh": X.T @ dz, "bh": dz.sum(0), "Wc": h.T @ dc, "bc": dc.sum(0),
            "Wr": h.T @ dr, "br": dr.sum(0)}
""",
    [
        ("the number's error is not sent back", 'dh = dc @ params["Wc"].T + dr @ params["Wr"].T -> '
         'dh = dc @ params["Wc"].T', "path_missing@1 | term_missing@1 | path_missing"
         " | error_formula@1"),
        ("the weight forgotten", "dr = weight * 2 * (value -> dr = 2 * (value",
         "factor@3 | factor@2"),
        ("the weights of the other head", 'dr @ params["Wr"].T -> dr @ params["Wc"].T',
         "wrong_weights@1 | wrong_weights"),
        ("f' forgotten", "dz = dh * (1 - h ** 2) -> dz = dh", "derivative_missing@1"),
    ],
    call="check_gradients(total_cost, total_gradient, params, X, y)",
    by_hand="forward, backward = total_cost, total_gradient",
)  # fmt: skip
TIED = Form(
    "an autoencoder whose decoder is the encoder transposed",
    """
import numpy as np

rng = np.random.RandomState(84)
data = rng.rand(8, 6)
W, bhid, bvis = rng.uniform(-0.7, 0.7, (6, 4)), 0.1 * rng.randn(4), 0.1 * rng.randn(6)

def sigmoid(x):
    return 1 / (1 + np.exp(-x))

def reconstruction_error(params, data, target):
    W, bhid, bvis = params
    z = sigmoid(sigmoid(data @ W + bhid) @ W.T + bvis)
    return -np.sum(target * np.log(z) + (1 - target) * np.log(1 - z)) / len(data)

def get_gradient(params, data, target):
    W, bhid, bvis = params
    hidden = sigmoid(data @ W + bhid)
    z = sigmoid(hidden @ W.T + bvis)
    L_vbias = (z - target) / len(data)
    L_hbias = (L_vbias @ W) * hidden * (1 - hidden)
    L_W = data.T @ L_hbias + L_vbias.T @ hidden
    return L_W, L_hbias.sum(axis=0), L_vbias.sum(axis=0)
""",
    [
        ("the encoder only", "L_W = data.T @ L_hbias + L_vbias.T @ hidden -> "
         "L_W = data.T @ L_hbias", "shared_missing@2 | shared_missing@1 | shared_missing"),
        ("the decoder only", "L_W = data.T @ L_hbias + L_vbias.T @ hidden -> "
         "L_W = L_vbias.T @ hidden", "shared_missing@1 | shared_missing@2 | shared_missing"),
        ("the slope forgotten", "(L_vbias @ W) * hidden * (1 - hidden) -> L_vbias @ W",
         "derivative_missing@1"),
        ("the sign of older code", "L_vbias = (z - target) / -> L_vbias = (target - z) /",
         everywhere("sign", 2)),
        ("right, turned", "L_W = data.T @ L_hbias + L_vbias.T @ hidden -> "
         "L_W = (L_hbias.T @ data + hidden.T @ L_vbias).T", ""),
    ],
    call="check_gradients(reconstruction_error, get_gradient, [W, bhid, bvis], data, data)",
    by_hand="params, X, y = [W, bhid, bvis], data, data\n"
    "forward, backward = reconstruction_error, get_gradient",
)  # fmt: skip
PATCHES = Form(
    "a convolution as patches times one kernel, relu, flattened, a linear output",
    """
import numpy as np

rng = np.random.default_rng(85)
signals = rng.normal(size=(6, 9))
y = rng.normal(size=(6, 2))
params = {"K": rng.normal(size=(3, 4)), "kb": rng.normal(0, 0.2, 4),
          "W": rng.normal(0, 0.4, (28, 2)), "b": rng.normal(0, 0.2, 2)}

def im2col(signals):
    return np.stack([signals[:, i:i + 3] for i in range(7)], axis=1)

def conv_forward(params, signals):
    cols = im2col(signals).reshape(-1, 3)
    maps = cols @ params["K"] + params["kb"]
    flat = np.maximum(maps, 0).reshape(len(signals), -1)
    return cols, maps, flat, flat @ params["W"] + params["b"]

def cost(params, signals, y):
    return 0.5 * np.mean(np.sum((conv_forward(params, signals)[-1] - y) ** 2, axis=1))

def conv_backward(params, signals, y):
    cols, maps, flat, out = conv_forward(params, signals)
    dout = (out - y) / len(signals)
    dW = flat.T @ dout
    db = dout.sum(axis=0)
    dflat = dout @ params["W"].T
    dmaps = dflat.reshape(maps.shape) * (maps > 0)
    dK = cols.T @ dmaps
    dkb = dmaps.sum(axis=0)
    return {"K": dK, "kb": dkb, "W": dW, "b": db}
""",
    [
        ("relu' forgotten", "dflat.reshape(maps.shape) * (maps > 0) -> dflat.reshape(maps.shape)",
         "derivative_missing@1"),
        ("an average over the positions", "dK = cols.T @ dmaps -> dK = cols.T @ dmaps / 7",
         "factor@1"),
        ("the patches backwards", "dK = cols.T @ dmaps -> dK = cols[:, ::-1].T @ dmaps",
         "wrong_input@1"),
        ("the mean forgotten", "dout = (out - y) / len(signals) -> dout = out - y",
         f"{everywhere('missing_mean', 2)} | factor"),
        ("right, ones times it", "dmaps.sum(axis=0) -> np.ones(len(dmaps)) @ dmaps", ""),
    ],
    call="check_gradients(cost, conv_backward, params, signals, y)",
    by_hand="X, forward, backward = signals, cost, conv_backward",
)  # fmt: skip
MARGIN = Form(
    "own loss: a hinge of labels -1 and 1, weights w, an L2 term",
    """
import numpy as np

rng = np.random.default_rng(86)
X = rng.normal(size=(18, 3))
y = np.where(X @ [1.0, -0.5, 0.2] > 0, 1, -1)
model = {"w": rng.normal(size=3), "b": 0.1}
C = 2.0

def svm_loss(model, X, y):
    distances = 1 - y * (X @ model["w"] + model["b"])
    hinge = C * np.sum(np.maximum(0, distances)) / len(y)
    return 0.5 * np.dot(model["w"], model["w"]) + hinge

def svm_gradient(model, X, y):
    dw, db = np.zeros(3), 0.0
    for x_i, y_i in zip(X, y):
        if y_i * (np.dot(x_i, model["w"]) + model["b"]) < 1:
            dw = dw - C * y_i * x_i
            db = db - C * y_i
    return {"w": model["w"] + dw / len(y), "b": db / len(y)}
""",
    [
        ("only points on the wrong side", '+ model["b"]) < 1: -> + model["b"]) < 0:',
         "derivative_formula@1 | error_formula@1 | other_loss@1"),
        ("the labels forgotten", "dw = dw - C * y_i * x_i -> dw = dw - C * x_i",
         "error_formula@1 | absolute@1 | other_loss@1"),
        ("the penalty forgotten", '"w": model["w"] + dw / len(y) -> "w": dw / len(y)',
         "regularisation_missing@1"),
        ("the penalty divided too", '"w": model["w"] + dw / len(y) -> "w": (model["w"] + dw) / '
         "len(y)", "regularisation_factor@1"),
        ("right, with <=", '+ model["b"]) < 1: -> + model["b"]) <= 1:', ""),
    ],
    call="check_gradients(svm_loss, svm_gradient, model, X, y)",
    by_hand="params, forward, backward = model, svm_loss, svm_gradient",
)  # fmt: skip
COUNTS = Form(
    "own loss: counts of a Poisson distribution, the output an exponential",
    """
import numpy as np

rng = np.random.default_rng(87)
X = rng.normal(size=(3, 14))
counts = rng.poisson(2.0, (1, 14))
P = [rng.normal(0, 0.5, (4, 3)), np.zeros((4, 1)) + 0.1, rng.normal(0, 0.5, (1, 4)),
     np.full((1, 1), 0.3)]

def rates(P, X):
    A = 1 / (1 + np.exp(-(P[0] @ X + P[1])))
    return A, np.exp(P[2] @ A + P[3])

def nll(P, X, counts):
    _, rate = rates(P, X)
    return np.mean(rate - counts * np.log(rate))

def nll_grad(P, X, counts):
    m = X.shape[1]
    A, rate = rates(P, X)
    dE = 1 - counts / rate
    dZ2 = dE * rate / m
    dW2 = dZ2 @ A.T
    db2 = np.sum(dZ2, axis=1, keepdims=True)
    dZ1 = P[2].T @ dZ2 * (A - A ** 2)
    dW1 = dZ1 @ X.T
    db1 = np.sum(dZ1, axis=1, keepdims=True)
    return [dW1, db1, dW2, db2]
""",
    [
        ("exp' forgotten", "dZ2 = dE * rate / m -> dZ2 = dE / m",
         "derivative_missing@2 | other_loss@2"),
        ("the log twice", "dE = 1 - counts / rate -> dE = np.log(rate) - counts",
         "other_loss@2 | error_formula@2"),
        ("A (A - 1)", "(A - A ** 2) -> (A ** 2 - A)", "sign@1 | derivative_formula@1"),
        ("the bias of both", "db1 = np.sum(dZ1, axis=1, keepdims=True) -> "
         "db1 = np.sum(dZ1, axis=0, keepdims=True)", "wrong_axis@1 | shape@1"),
        ("right, the short form", "dZ2 = dE * rate / m -> dZ2 = (rate - counts) / m", ""),
        ("two: no exp', a bias over the units", ["dZ2 = dE * rate / m -> dZ2 = dE / m",
         "db1 = np.sum(dZ1, axis=1, keepdims=True) -> db1 = np.sum(dZ1, axis=0, keepdims=True)"],
         "derivative_missing@2 | other_loss@2 & wrong_axis@1 | shape@1"),
    ],
    call="check_gradients(nll, nll_grad, P, X, counts)",
    by_hand="params, y, forward, backward = P, counts, nll, nll_grad",
)  # fmt: skip
JACOBIAN = Form(
    "softmax through its matrix of derivatives, sample by sample",
    """
import numpy as np

rng = np.random.default_rng(88)
images = rng.random((7, 6))
labels = np.eye(4)[[0, 3, 1, 2, 2, 0, 1]]
weights = [rng.normal(0, 0.5, (6, 5)), rng.normal(0, 0.5, (5, 4))]

def softmax(z):
    e = np.exp(z - np.max(z))
    return e / e.sum()

def loss(weights, images, labels):
    total = 0
    for x, t in zip(images, labels):
        total -= np.sum(t * np.log(softmax(np.tanh(x @ weights[0]) @ weights[1])))
    return total / len(images)

def gradient(weights, images, labels):
    g0, g1 = np.zeros_like(weights[0]), np.zeros_like(weights[1])
    for x, t in zip(images, labels):
        h = np.tanh(x @ weights[0])
        s = softmax(h @ weights[1])
        dL_ds = -t / s
        J = np.diag(s) - np.outer(s, s)
        dL_dz = J @ dL_ds
        g1 += np.outer(h, dL_dz)
        dh = weights[1] @ dL_dz
        g0 += np.outer(x, dh * (1 - h ** 2))
    return [g0 / len(images), g1 / len(images)]
""",
    [
        ("the diagonal only", "J = np.diag(s) - np.outer(s, s) -> J = np.diag(s * (1 - s))",
         "derivative_formula@2 | other_loss@2"),
        ("plus the outer product", "np.diag(s) - np.outer(s, s) -> np.diag(s) + np.outer(s, s)",
         "derivative_formula@2 | other_loss@2 | error_formula@2"),
        ("the slope of h forgotten", "np.outer(x, dh * (1 - h ** 2)) -> np.outer(x, dh)",
         "derivative_missing@1"),
        ("the last sample only", "g1 += np.outer(h, dL_dz) -> g1 = np.outer(h, dL_dz)",
         "not_summed@2"),
        ("not divided", "[g0 / len(images), -> [g0,", "missing_mean@1"),
        ("right, the short form", "dL_dz = J @ dL_ds -> dL_dz = s - t", ""),
    ],
    call="check_gradients(loss, gradient, weights, images, labels)",
    by_hand="params, X, y, forward, backward = weights, images, labels, loss, gradient",
)  # fmt: skip
FORMS = [RNN, WORDS, HEADS, TIED, PATCHES, MARGIN, COUNTS, JACOBIAN]
