"""Forms of courses: caches, dicts of gradients, scores with a softmax, lists of layers, loops."""

from .case import down, everywhere, misordered
from .form import Form

CACHE = Form(
    "a cache in columns, parameters and grads as dicts",
    """
import numpy as np

np.random.seed(1)
X = np.random.randn(2, 30)
Y = (np.sum(X ** 2, axis=0, keepdims=True) > 1.4).astype(int)

def initialize_parameters(n_x, n_h, n_y):
    np.random.seed(2)
    return {"W1": np.random.randn(n_h, n_x) * 0.5, "b1": np.zeros((n_h, 1)),
            "W2": np.random.randn(n_y, n_h) * 0.5, "b2": np.zeros((n_y, 1))}

def sigmoid(z):
    return 1 / (1 + np.exp(-z))

def forward_propagation(X, parameters):
    Z1 = np.dot(parameters["W1"], X) + parameters["b1"]
    A1 = np.tanh(Z1)
    Z2 = np.dot(parameters["W2"], A1) + parameters["b2"]
    A2 = sigmoid(Z2)
    return A2, {"Z1": Z1, "A1": A1, "Z2": Z2, "A2": A2}

def compute_cost(A2, Y):
    m = Y.shape[1]
    logprobs = np.multiply(np.log(A2), Y) + np.multiply(np.log(1 - A2), 1 - Y)
    return float(np.squeeze(-np.sum(logprobs) / m))

def backward_propagation(parameters, cache, X, Y):
    m = X.shape[1]
    W2 = parameters["W2"]
    A1, A2 = cache["A1"], cache["A2"]
    dZ2 = A2 - Y
    dW2 = np.dot(dZ2, A1.T) / m
    db2 = np.sum(dZ2, axis=1, keepdims=True) / m
    dZ1 = np.dot(W2.T, dZ2) * (1 - np.power(A1, 2))
    dW1 = np.dot(dZ1, X.T) / m
    db1 = np.sum(dZ1, axis=1, keepdims=True) / m
    return {"dW1": dW1, "db1": db1, "dW2": dW2, "db2": db2}

parameters = initialize_parameters(2, 4, 1)
forward = lambda p, X, Y: compute_cost(forward_propagation(X, p)[0], Y)
backward = lambda p, X, Y: backward_propagation(p, forward_propagation(X, p)[1], X, Y)
""",
    [
        ("without keepdims", "db1 = np.sum(dZ1, axis=1, keepdims=True) / m -> "
         "db1 = np.sum(dZ1, axis=1) / m", "shape@1"),
        ("tanh' of sigmoid", "(1 - np.power(A1, 2)) -> A1 * (1 - A1)", "derivative_formula@1"),
        ("1/m forgotten in one", "dW2 = np.dot(dZ2, A1.T) / m -> dW2 = np.dot(dZ2, A1.T)",
         "missing_mean@2"),
        ("Z for A", "dW2 = np.dot(dZ2, A1.T) / m -> "
         'dW2 = np.dot(dZ2, cache["Z1"].T) / m', "wrong_input@2"),
        ("sum over everything", "db1 = np.sum(dZ1, axis=1, keepdims=True) -> db1 = np.sum(dZ1)",
         "wrong_axis@1"),
        ("absolute", "dZ2 = A2 - Y -> dZ2 = np.abs(A2 - Y)", "absolute@2"),
    ],
    call="check_gradients(forward, backward, parameters, X, Y)",
    by_hand="params, y = parameters, Y",
)  # fmt: skip
SCORES = Form(
    "scores, a softmax over integer labels, a penalty with reg",
    """
import numpy as np

rng = np.random.default_rng(0)
N, D, H, C = 14, 4, 6, 3
X = 2 * rng.normal(size=(N, D))
y = rng.integers(C, size=N)
params = {"W1": 0.4 * rng.normal(size=(D, H)), "b1": 0.1 * rng.normal(size=H),
          "W2": 0.4 * rng.normal(size=(H, C)), "b2": 0.1 * rng.normal(size=C)}
reg = 0.05

def loss(params, X, y):
    W1, b1, W2, b2 = params["W1"], params["b1"], params["W2"], params["b2"]
    N = X.shape[0]
    hidden = np.maximum(0, X.dot(W1) + b1)
    scores = hidden.dot(W2) + b2
    scores -= np.max(scores, axis=1, keepdims=True)
    exp_scores = np.exp(scores)
    probs = exp_scores / exp_scores.sum(axis=1, keepdims=True)
    data_loss = -np.log(probs[np.arange(N), y]).sum() / N
    data_loss += reg * (np.sum(W1 * W1) + np.sum(W2 * W2))
    dscores = probs
    dscores[np.arange(N), y] -= 1
    dscores /= N
    grads = {}
    grads["W2"] = hidden.T.dot(dscores) + 2 * reg * W2
    grads["b2"] = np.sum(dscores, axis=0)
    dhidden = dscores.dot(W2.T)
    dhidden[hidden <= 0] = 0
    grads["W1"] = X.T.dot(dhidden) + 2 * reg * W1
    grads["b1"] = np.sum(dhidden, axis=0)
    return data_loss, grads
""",
    [
        ("the division forgotten", "    dscores /= N\n -> ", everywhere("missing_mean", 2),
         (), ("dscores[np.arange(N), y] -= 1",)),
        ("the mask of relu forgotten", "    dhidden[hidden <= 0] = 0\n -> ",
         "derivative_missing@1", (), ("dhidden = dscores.dot(W2.T)",)),
        ("the 2 of the penalty", "+ 2 * reg * W1 -> + reg * W1", "regularisation_factor@1"),
        ("no penalty", "X.T.dot(dhidden) + 2 * reg * W1 -> X.T.dot(dhidden)",
         "regularisation_missing@1"),
        ("the mask turned", "dhidden[hidden <= 0] -> dhidden[hidden > 0]",
         "derivative_formula@1"),
        ("from X", 'grads["W2"] = hidden.T -> grads["W2"] = np.maximum(0, hidden @ W1.T @ W1).T',
         "wrong_input@2"),
    ],
    call="check_gradients(loss, params, X, y)",
    by_hand="""
forward = lambda params, X, y: loss(params, X, y)[0]
backward = lambda params, X, y: {k: loss(params, X, y)[1][k] for k in params}
""",
)  # fmt: skip
L_LAYERS = Form(
    "linear_backward and activation_backward over L layers, caches in a list",
    """
import numpy as np

rng = np.random.default_rng(10)
dims = [3, 5, 4, 1]
X = rng.normal(size=(3, 11))
Y = (rng.random((1, 11)) < 0.5).astype(float)
parameters = {}
for l in range(1, len(dims)):
    parameters["W" + str(l)] = rng.normal(0, 0.6, (dims[l], dims[l - 1]))
    parameters["b" + str(l)] = rng.normal(0, 0.2, (dims[l], 1))

def sigmoid(Z):
    return 1 / (1 + np.exp(-Z))

def L_model_forward(X, parameters):
    caches, A, L = [], X, len(parameters) // 2
    for l in range(1, L + 1):
        W, b = parameters[f"W{l}"], parameters[f"b{l}"]
        Z = W @ A + b
        caches.append((A, W, b, Z))
        A = np.maximum(0, Z) if l < L else sigmoid(Z)
    return A, caches

def linear_backward(dZ, A_prev, W):
    m = A_prev.shape[1]
    dW = dZ @ A_prev.T / m
    db = dZ.sum(axis=1, keepdims=True) / m
    return W.T @ dZ, dW, db

def relu_backward(dA, Z):
    dZ = np.array(dA, copy=True)
    dZ[Z <= 0] = 0
    return dZ

def sigmoid_backward(dA, Z):
    s = sigmoid(Z)
    return dA * s * (1 - s)

def L_model_backward(AL, Y, caches):
    grads, L = {}, len(caches)
    dA = -(np.divide(Y, AL) - np.divide(1 - Y, 1 - AL))
    for l in reversed(range(L)):
        A_prev, W, b, Z = caches[l]
        if l == L - 1:
            dZ = sigmoid_backward(dA, Z)
        else:
            dZ = relu_backward(dA, Z)
        dA, grads[f"dW{l + 1}"], grads[f"db{l + 1}"] = linear_backward(dZ, A_prev, W)
    return grads

def forward(parameters, X, Y):
    AL, _ = L_model_forward(X, parameters)
    return -np.mean(Y * np.log(AL) + (1 - Y) * np.log(1 - AL))

def backward(parameters, X, Y):
    AL, caches = L_model_forward(X, parameters)
    return L_model_backward(AL, Y, caches)
""",
    [
        ("the sign of dAL", "dA = -(np.divide -> dA = (np.divide", everywhere("sign", 3)),
        ("plus for minus", "np.divide(Y, AL) - np.divide -> np.divide(Y, AL) + np.divide",
         "absolute@3 sign@3 | absolute@3 | other_loss@3"),
        ("relu' forgotten", "dZ = relu_backward(dA, Z) -> dZ = dA",
         "derivative_missing@1 derivative_missing@2"),
        ("mean of the biases twice", "db = dZ.sum(axis=1, keepdims=True) / m -> "
         "db = dZ.mean(axis=1, keepdims=True) / m",
         "extra_mean@1 extra_mean@2 extra_mean@3 | extra_mean"),
        ("sigmoid' everywhere", "dZ = relu_backward(dA, Z) -> dZ = sigmoid_backward(dA, Z)",
         "derivative_formula@1 derivative_formula@2"),
        ("sigmoid' of the activation", "s = sigmoid(Z)\n    return -> s = sigmoid(sigmoid(Z))\n"
         "return", "derivative_at_activation@3"),
    ],
    call="check_gradients(forward, backward, parameters, X, Y)",
    by_hand="""
params, y, unordered = parameters, Y, backward
backward = lambda p, X, Y: {name: unordered(p, X, Y)[f"d{name}"] for name in p}
""",
)  # fmt: skip
ELEVEN = Form(
    "syn0 and syn1, updates that are added",
    """
import numpy as np

def nonlin(x, deriv=False):
    if deriv:
        return x * (1 - x)
    return 1 / (1 + np.exp(-x))

X = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1.0]])
y = np.array([[0, 1, 1, 0.0]]).T
np.random.seed(1)
params = [2 * np.random.random((3, 4)) - 1, 2 * np.random.random((4, 1)) - 1]

def forward(syns, X, y):
    syn0, syn1 = syns
    l2 = nonlin(nonlin(X @ syn0) @ syn1)
    return 0.5 * np.sum((y - l2) ** 2)

def backward(syns, X, y):
    syn0, syn1 = syns
    l1 = nonlin(np.dot(X, syn0))
    l2 = nonlin(np.dot(l1, syn1))
    l2_error = l2 - y
    l2_delta = l2_error * nonlin(l2, deriv=True)
    l1_error = l2_delta.dot(syn1.T)
    l1_delta = l1_error * nonlin(l1, deriv=True)
    return [X.T.dot(l1_delta), l1.T.dot(l2_delta)]
""",
    [
        ("added by the update", "l2_error = l2 - y -> l2_error = y - l2", everywhere("sign", 2)),
        ("the error instead of the delta", "l1_error = l2_delta.dot -> l1_error = l2_error.dot",
         "derivative_missing@2 | derivative_missing@1"),
        ("f' of z", "l1_error * nonlin(l1, deriv=True) -> "
         "l1_error * nonlin(np.dot(X, syn0), deriv=True)", "derivative_formula@1"),
        ("the order", "X.T.dot(l1_delta) -> l1_delta.T.dot(X)", f"{misordered(1)} | shape@1"),
        ("f' not asked for", "l2_error * nonlin(l2, deriv=True) -> l2_error * nonlin(l2)",
         "derivative_formula@2"),
    ],
)  # fmt: skip
ITEMS = Form(
    "loops over samples and units, no matrix products",
    """
import numpy as np
from math import exp

rng = np.random.default_rng(9)
X = rng.normal(size=(5, 2)).tolist()
y = [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]
params = {"hidden": rng.normal(size=(3, 3)), "output": rng.normal(size=(2, 4))}

def transfer(a):
    return 1.0 / (1.0 + exp(-a))

def layer_out(weights, inputs):
    out = []
    for row in weights:
        activation = row[-1]
        for i in range(len(row) - 1):
            activation += row[i] * inputs[i]
        out.append(transfer(activation))
    return out

def forward(params, X, y):
    total = 0
    for row, expected in zip(X, y):
        out = layer_out(params["output"], layer_out(params["hidden"], row))
        total += sum((expected[j] - out[j]) ** 2 for j in range(len(expected))) / 2
    return total

def backward(params, X, y):
    d_hidden = np.zeros_like(params["hidden"])
    d_output = np.zeros_like(params["output"])
    for row, expected in zip(X, y):
        h = layer_out(params["hidden"], row)
        o = layer_out(params["output"], h)
        delta_o = [(o[j] - expected[j]) * o[j] * (1 - o[j]) for j in range(len(o))]
        delta_h = []
        for i in range(len(h)):
            error = 0.0
            for j in range(len(o)):
                error += params["output"][j][i] * delta_o[j]
            delta_h.append(error * h[i] * (1 - h[i]))
        for j in range(len(o)):
            for i in range(len(h)):
                d_output[j][i] += delta_o[j] * h[i]
            d_output[j][-1] += delta_o[j]
        for j in range(len(h)):
            for i in range(len(row)):
                d_hidden[j][i] += delta_h[j] * row[i]
            d_hidden[j][-1] += delta_h[j]
    return {"hidden": d_hidden, "output": d_output}
""",
    [
        ("the last error only", "error += params -> error = params",
         "not_summed@1 | wrong_axis@1"),
        ("the error without f'", "delta_h.append(error * h[i] * (1 - h[i])) -> "
         "delta_h.append(error)", "derivative_missing@1"),
        ("expected - o", "(o[j] - expected[j]) * -> (expected[j] - o[j]) *",
         everywhere("sign", 2)),
        ("samples are not added up", "d_output[j][i] += delta_o[j] * h[i] -> "
         "d_output[j][i] = delta_o[j] * h[i]", "not_summed@2"),
        ("the bias forgotten", "            d_hidden[j][-1] += delta_h[j]\n -> ", "zero@1",
         (), ("d_hidden[j][i] += delta_h[j] * row[i]", "np.zeros_like(params")),
    ],
)  # fmt: skip
PAIRS = Form(
    "a list of pairs (W, b), a loop backwards",
    """
import numpy as np

rng = np.random.default_rng(14)
sizes = [4, 6, 5, 2]
X, T = rng.normal(size=(9, 4)), rng.normal(size=(9, 2))
layers = [(rng.normal(size=(i, o)) / np.sqrt(i), 0.1 * rng.normal(size=(1, o)))
          for i, o in zip(sizes[:-1], sizes[1:])]

def run(layers, X):
    acts = [X]
    for k, (W, b) in enumerate(layers):
        z = acts[-1] @ W + b
        acts.append(z if k == len(layers) - 1 else np.tanh(z))
    return acts

def forward(layers, X, T):
    return ((run(layers, X)[-1] - T) ** 2).mean()

def backward(layers, X, T):
    acts = run(layers, X)
    grads = []
    delta = 2 * (acts[-1] - T) / T.size
    for k in range(len(layers) - 1, -1, -1):
        W, b = layers[k]
        gW = acts[k].T @ delta
        gb = delta.sum(axis=0, keepdims=True)
        grads.insert(0, (gW, gb))
        if k > 0:
            delta = delta @ W.T * (1 - acts[k] ** 2)
    return grads
""",
    [
        ("in the order of the loop", "grads.insert(0, (gW, gb)) -> grads.append((gW, gb))",
         "swapped | swapped@1 swapped@3 | reversed"),
        ("divided by the samples", "/ T.size -> / len(T)", f"{down('factor', 3)} | factor"),
        ("the square around all", "(1 - acts[k] ** 2) -> (1 - acts[k]) ** 2",
         "derivative_formula@1 derivative_formula@2"),
        ("the mean of b", "delta.sum(axis=0, keepdims=True) -> delta.mean(axis=0, keepdims=True)",
         "extra_mean@1 extra_mean@2 extra_mean@3 | extra_mean"),
        ("f' forgotten", "delta @ W.T * (1 - acts[k] ** 2) -> delta @ W.T",
         "derivative_missing@1 derivative_missing@2"),
    ],
    call="check_gradients(forward, backward, layers, X, T)",
    by_hand="params, y = layers, T",
)  # fmt: skip
FORMS = [CACHE, SCORES, L_LAYERS, ELEVEN, ITEMS, PAIRS]
